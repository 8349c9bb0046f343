"""The interactive program with a scripted person, on a console that is kept."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy.cli.chatting.prelude import prelude_of
from llmpy.cli.chatting.program import Program
from llmpy.cli.chatting.screen import ConsoleScreen, made_console
from llmpy.cli.chatting.settings import Settings
from llmpy.cli.chatting.talk import Talk
from tests.cli.conftest import BACKEND


class Script:
    """A person who writes these lines and leaves; `seen` are the texts that stood there."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)
        self.seen: list[str] = []

    def read(self, default: str = "", *, may_be_empty: bool = False) -> str | None:
        del may_be_empty
        self.seen.append(default)
        line = self._lines.pop(0) if self._lines else None
        for n in range(len(line or "") + 1):
            self.typed((line or "")[:n])
        return line

    def typed(self, text: str) -> None:
        """What the keyboard calls after each key."""


class Play:
    """A program, and what it has shown."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self._out = io.StringIO()
        console = made_console(file=self._out, width=100)
        self._program = Program(talk, ConsoleScreen(console), plain=True)

    def __call__(self, *lines: str) -> str:
        """Write lines; what is shown after that."""
        start = len(self._out.getvalue())
        self.person = Script(*lines)
        self.person.typed = self._program.typed  # type: ignore[method-assign]
        self._program.run(self.person)
        return self._out.getvalue()[start:]

    @property
    def messages(self) -> list[str]:
        return [f"{m['role'][0]}:{m['content']}" for m in self.talk.chat.messages]


@pytest.fixture
def played(stories: Path) -> Iterator[Callable[..., Play]]:
    """Makes plays with a small model, without chance."""
    made: list[Play] = []

    def load(path: Path) -> llmpy.Model:
        return llmpy.load(path, backend=BACKEND, n_ctx=256)

    def call(**options: Any) -> Play:
        settings = Settings(sampling={"temperature": 0.0}, max_tokens=5)
        made.append(Play(Talk(load, stories, settings, **options)))
        return made[-1]

    yield call
    for one in made:
        one.talk.model.close()


@pytest.fixture
def play(played: Callable[..., Play]) -> Play:
    return played(template="alpaca")


def test_a_message_is_answered(play: Play) -> None:
    shown = play("Once")
    assert len(play.messages) == 2
    assert play.talk.chat.messages[1]["content"] in shown
    assert "max_tokens = 5" in shown


def test_a_message_is_read_while_it_is_typed(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    committed: list[tuple[int, bool]] = []
    commit = llmpy.ChatDraft.commit

    def noted(draft: llmpy.ChatDraft, text: str, **options: Any) -> Any:
        draft.wait(60)
        n = draft.n_read
        events = commit(draft, text, **options)
        committed.append((n, text == "Once there was a boy"))
        return events

    monkeypatch.setattr(llmpy.ChatDraft, "commit", noted)
    play("/help", "Once there was a boy", "/undo")
    ((n_read, whole),) = committed
    assert whole
    assert n_read > 10
    in_use = play.talk.model._engine.pool.in_use
    play.talk.chat.close()
    assert play.talk.model._engine.pool.in_use == 0 < in_use


def test_undo_takes_back_a_turn(play: Play) -> None:
    play("Once", "Twice")
    assert "Taken back: Twice" in play("/undo")
    assert play.messages[0] == "u:Once"
    assert len(play.messages) == 2


def test_retry_answers_again(play: Play) -> None:
    play("Once")
    before = play.messages
    play("/retry")
    assert play.messages == before  # without chance


def test_edit_changes_any_message_and_goes_on_from_there(play: Play) -> None:
    play("Once", "Twice")
    play("/edit 1", "Thrice")
    assert play.person.seen == ["", "Once", ""]
    assert play.messages[0] == "u:Thrice"
    assert len(play.messages) == 2


@pytest.mark.parametrize("line", ["", "Once"])
def test_an_edit_that_changes_nothing(play: Play, line: str) -> None:
    play("Once")
    before = play.messages
    assert "Nothing changed" in play("/edit", line)
    assert play.messages == before


def test_an_edit_that_does_not_fit_changes_nothing(play: Play) -> None:
    play("Once")
    before = play.messages
    shown = play("/edit", "word " * 300, "", "/quit")
    assert "The context is full" in shown
    assert play.person.seen[2] == "word " * 300
    assert play.messages == before


def test_a_message_that_does_not_fit_stays_in_the_line(play: Play) -> None:
    shown = play("word " * 300)
    assert "/set overflow drop_oldest" in shown
    assert play.person.seen[1] == "word " * 300
    assert play.messages == []


def test_old_turns_are_left_out_where_that_is_chosen(play: Play) -> None:
    play("/set overflow drop_oldest", "/set max_tokens 10")
    shown = play(*["word " * 20] * 8)
    assert "oldest messages are left out" in shown
    assert "The context is full" not in shown


def test_system_shows_changes_and_removes(play: Play) -> None:
    assert "No system message" in play("/system")
    assert "System message: Be brief." in play("/system Be brief.")
    assert play.messages == ["s:Be brief."]
    play("/system none")
    assert play.messages == []


def test_save_and_load(play: Play, tmp_path: Path) -> None:
    play("Once", f"/save {tmp_path}/a.json")
    saved = play.messages
    play("Twice", f"/save {tmp_path}/b.json")
    shown = play(f"/load {tmp_path}/a.json").split()  # lines break where a long path lets them
    assert "/undo brings back" in " ".join(shown)
    assert play.messages == saved
    assert "the one before again" in play("/undo")
    assert len(play.messages) == 4
    assert json.loads((tmp_path / "a.json").read_text())[0] == {"role": "user", "content": "Once"}


def test_a_file_of_another_is_not_overwritten(play: Play, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    assert "exists already" in play("Once", f"/save {tmp_path}/a.json")
    assert (tmp_path / "a.json").read_text() == "mine"
    play(f"/save {tmp_path}/b.json", "/undo", "/save")
    assert json.loads((tmp_path / "b.json").read_text()) == []


def test_set_takes_effect_at_once(play: Play) -> None:
    play("/set temperature 2", "/set seed 7", "Once")
    first = play.messages
    play("/undo", "/set seed 7", "Once")
    assert play.messages == first
    play("/undo", "/set seed 8", "Once")
    assert play.messages != first
    shown = play("/set", "/set top-k=3", "/set top_k")
    assert shown.count("Sample from the k most likely") == 3


def test_stats_count(play: Play) -> None:
    assert "0 of 256 tokens" in play("/stats")
    assert "5 tokens, " in play("Once", "/stats")


def test_another_model_goes_on_with_the_conversation(play: Play, stories: Path) -> None:
    play("Once")
    before, old = play.messages, play.talk.model
    assert "Model: " in play(f"/model {stories}")
    assert play.messages == before
    assert play.talk.model is not old
    play("Twice")
    assert len(play.messages) == 4


def test_a_model_that_cannot_be_loaded_changes_nothing(play: Play, tmp_path: Path) -> None:
    play("Once")
    before, old = play.messages, play.talk.model
    assert "none.gguf" in play(f"/model {tmp_path}/none.gguf", "Twice")
    assert play.messages[:2] == before
    assert play.talk.model is old
    assert len(play.messages) == 4


def test_a_model_too_large_for_both_gets_the_memory_of_the_first(
    play: Play, stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, old = play.talk.load, play.talk.model
    monkeypatch.setattr(play.talk, "load", full_unless(lambda: old._engine.closed, load))
    play("Once", f"/model {stories}", "Twice")
    assert play.talk.model is not old
    assert len(play.messages) == 4


def test_a_model_too_large_leaves_the_first(
    play: Play, stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = play.talk.load
    link = tmp_path / "large.gguf"
    link.write_bytes(stories.read_bytes())

    def refuse(path: Path) -> llmpy.Model:
        return full_unless(lambda: path != link, load)(path)

    monkeypatch.setattr(play.talk, "load", refuse)
    shown = play("Once", f"/model {link}", "Twice")
    assert "memory" in shown
    assert len(play.messages) == 4


def full_unless(
    fits: Callable[[], bool], load: Callable[[Path], llmpy.Model]
) -> Callable[[Path], llmpy.Model]:
    def loading(path: Path) -> llmpy.Model:
        if not fits():
            raise llmpy.OutOfMemory("not enough memory for this model")
        return load(path)

    return loading


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/nosuch", "There is no command"),
        ("/undo 3", "takes nothing"),
        ("/undo", "nothing to take back"),
        ("/retry", "no message to answer"),
        ("/edit", "no message to edit"),
        ("/save", "name of a file"),
        ("/save /no/such/folder/a.json", "No such file"),
        ("/load", "name of a file"),
        ("/load /no/such/file.json", "No such file"),
        ("/set nosuch", "temperature"),
        ("/set nosuch 1", "temperature"),
        ("/set top_p 2", "top_p"),
        ("/think maybe", "on, off or auto"),
        ("/think on", "no format for thinking"),
        ("/think", "Nothing was thought"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_and_the_program_lives(
    play: Play, line: str, message: str
) -> None:
    shown = play(line, "Once")
    assert message in " ".join(shown.split())
    assert len(play.messages) == 2


@pytest.mark.parametrize(
    "data", [b"{", b'[{"role": "boss", "content": "x"}]', b'["x"]', b'[{"role": "user"}]']
)
def test_a_conversation_that_is_none_changes_nothing(
    play: Play, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "a.json").write_bytes(data)
    play("Once")
    before = play.messages
    shown = play(f"/load {tmp_path}/a.json")
    assert "Loaded" not in shown
    assert play.messages == before


def test_an_edit_of_a_number_that_there_is_not(play: Play) -> None:
    assert "1 to 1" in " ".join(play("Once", "/edit 2").split())


def test_a_message_may_begin_with_a_slash_after_a_space(play: Play) -> None:
    play(" /nosuch")
    assert play.messages[0] == "u: /nosuch"


def test_a_fresh_talk_keeps_only_the_system_message(play: Play) -> None:
    play.talk.fresh = True
    play("/system Be brief.", "Once", "Twice")
    assert [m[0] for m in play.messages] == ["s", "u", "a"]
    assert play.messages[1] == "u:Twice"


def test_a_prelude_is_read_once_and_its_frames_go_around_messages(
    played: Callable[..., Play],
) -> None:
    play = played(prelude=prelude_of("A talk.\nUser: {{PROMPT}}\nAI:"))
    play("Once")
    first = play.talk.chat.session.text
    assert first.lstrip().startswith("A talk.\nUser: Once\nAI:")
    play("Twice")
    second = play.talk.chat.session.text
    assert second.count("A talk.") == 1
    assert "\nUser: Twice\nAI:" in second
    assert play.talk.chat.stats.n_reused > 10
    play("/undo")
    assert play.messages[0] == "u:Once"


THINKS = "{{ messages[-1].content }}{% if enable_thinking %}{% endif %}<think>{# </think> #}"


def test_thinking_is_shown_again_and_turned_off(played: Callable[..., Play]) -> None:
    play = played(template=THINKS)
    play("Once upon a time")
    thought = play.talk.chat.messages[1]["reasoning_content"]
    assert thought.strip() in " ".join(play("/think").split())
    assert "Thinking: off" in play("/think off")
    assert play.talk.chat.think is False
    play("/think auto")
    assert play.talk.chat.think is None


def test_clear_begins_a_new_conversation(play: Play) -> None:
    play("/system Be brief.", "Once")
    assert "/undo brings back" in play("/clear")
    assert play.messages == ["s:Be brief."]


def test_undo_brings_back_what_was_cleared(play: Play) -> None:
    play("Once")
    before = play.messages
    play("/clear", "/undo")
    assert play.messages == before


def test_there_is_nothing_to_clear_in_a_new_conversation(play: Play) -> None:
    assert "new already" in play("/clear")


def test_a_cleared_conversation_is_not_saved_over_the_one_before(
    play: Play, tmp_path: Path
) -> None:
    assert "needs the name" in play("Once", f"/save {tmp_path}/a.json", "/clear", "/save")


def test_nobody_is_told_to_choose_what_is_chosen_already(play: Play) -> None:
    shown = play("/set overflow drop_oldest", "word " * 300)
    assert "The context is full" in shown
    assert "leave out the oldest" not in shown


def test_a_message_that_stays_in_the_line_is_mentioned(play: Play) -> None:
    assert "Your message stands below" in play("word " * 300)
