"""The parts of the chat: settings, files, preludes, keys, and how an answer is shown."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import llmpy
from llmpy import Piece
from llmpy.cli.chatting import files
from llmpy.cli.chatting.answering import InterruptedAnswer, shown
from llmpy.cli.chatting.commands import COMMANDS, WrongCommandError, command_in
from llmpy.cli.chatting.keyboard import CommandCompleter, Keyboard, opened_history
from llmpy.cli.chatting.live import LiveDisplay, end_of
from llmpy.cli.chatting.plain import PlainDisplay
from llmpy.cli.chatting.prelude import Frame, Prelude, prelude_of
from llmpy.cli.chatting.screen import ConsoleScreen, made_console
from llmpy.cli.chatting.settings import NAMES, Settings

MESSAGES = [{"role": "user", "content": "h\u00e9"}, {"role": "assistant", "content": "a\nb"}]


class TestSettings:
    def test_a_value_goes_into_the_sampler(self) -> None:
        found = Settings(recommended={"temperature": 0.5})
        found.set("top_k", "7")
        expected = llmpy.default_chain(temperature=0.5, top_k=7)
        assert str(found.sampler()) == str(expected)

    def test_default_takes_a_value_back(self) -> None:
        found = Settings(seed=4, max_tokens=3, overflow="drop_oldest", thinking="hide")
        found.set("temperature", "0")
        for name in NAMES:
            found.set(name, "default")
        assert found == Settings()

    def test_every_setting_is_listed_with_its_value(self) -> None:
        found = Settings(recommended={"top_p": 0.9})
        found.set("temperature", "0.25")
        rows = {name: value for name, value, _ in found.rows()}
        assert tuple(rows) == NAMES
        assert (rows["temperature"], rows["top_p"], rows["seed"]) == ("0.25", "0.9", "random")

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("temperature", "hot", "a number"),
            ("temperature", "-1", "temperature"),
            ("temperature", "nan", "temperature"),
            ("top_k", "1.5", "a whole number"),
            ("top_p", "2", "top_p"),
            ("seed", "-1", "whole number"),
            ("seed", "9" * 400, "whole number"),
            ("seed", "\u0665", "whole number"),
            ("max_tokens", str(2**31), "whole number"),
            ("overflow", "shift", "error or drop_oldest"),
            ("thinking", "loud", "fold or show or hide"),
            ("nosuch", "1", "temperature"),
        ],
    )
    def test_a_wrong_value_changes_nothing(self, name: str, text: str, message: str) -> None:
        found = Settings()
        with pytest.raises(ValueError, match=message):
            found.set(name, text)
        assert found == Settings()


class TestFiles:
    def test_messages_come_back(self, tmp_path: Path) -> None:
        files.write_messages(tmp_path / "a.json", MESSAGES)
        assert files.read_messages(tmp_path / "a.json") == MESSAGES
        assert [p.name for p in tmp_path.iterdir()] == ["a.json"]

    def test_an_object_with_messages_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text(json.dumps({"text": "x", "messages": MESSAGES}))
        assert files.read_messages(tmp_path / "a.json") == MESSAGES

    def test_what_was_there_stays_where_writing_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.write_messages(tmp_path / "a.json", MESSAGES)

        def full(_: int) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            files.write_messages(tmp_path / "a.json", [])
        assert files.read_messages(tmp_path / "a.json") == MESSAGES
        assert [p.name for p in tmp_path.iterdir()] == ["a.json"]

    @pytest.mark.parametrize(
        "data",
        [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"3", b'{"a": 1}', b'{"messages": {}}'],
    )
    def test_a_file_that_is_no_conversation(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "a.json").write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.json: expected"):
            files.read_messages(tmp_path / "a.json")

    def test_history_is_kept_for_its_user_alone(self, tmp_path: Path) -> None:
        history = opened_history(tmp_path / "data" / "llmpy")
        history.append_string("one\ntwo")
        history.append_string("half \ud800 of one")
        again = opened_history(tmp_path / "data" / "llmpy")
        assert list(again.load_history_strings()) == ["half ? of one", "one\ntwo"]
        if os.name == "posix":
            path = tmp_path / "data" / "llmpy" / "history"
            assert path.stat().st_mode & 0o777 == 0o600

    def test_history_without_a_place_lasts_as_long_as_the_program(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert isinstance(opened_history(tmp_path / "file" / "llmpy"), InMemoryHistory)


class TestPrelude:
    def test_the_frame_is_the_line_of_the_mark_and_what_follows(self) -> None:
        found = prelude_of("A talk.\n\nUser: {{PROMPT}}\nAI:")
        frame = Frame("User: ", "\nAI:")
        assert found == Prelude("A talk.\n\n", frame, frame)
        assert found.stop == ("User:",)

    def test_a_mark_alone_in_its_line_belongs_to_the_line_above(self) -> None:
        found = prelude_of("Below.\n\n### Instruction:\n\n{{PROMPT}}\n\n### Response:\n")
        frame = Frame("### Instruction:\n\n", "\n\n### Response:\n")
        assert found == Prelude("Below.\n\n", frame, frame)
        assert found.stop == ("### Instruction:",)

    def test_a_prefix_comes_before_each_message(self) -> None:
        found = prelude_of("A talk.", "User: ")
        frame = Frame("User: ", "\n")
        assert found == Prelude("A talk.\n", frame, frame)

    def test_a_prefix_with_a_mark_is_a_frame(self) -> None:
        found = prelude_of("Q: {{PROMPT}}\nA:", "\nQ: {{PROMPT}}\nA:")
        assert (found.first, found.next) == (Frame("Q: ", "\nA:"), Frame("\nQ: ", "\nA:"))
        assert found.stop == ("Q:",)

    def test_the_mark_alone_lets_the_model_go_on(self) -> None:
        found = prelude_of("{{PROMPT}}")
        assert (found.head, found.first, found.stop) == ("", Frame("", ""), ())

    @pytest.mark.parametrize(
        ("text", "prefix"),
        [("A talk.", None), ("{{PROMPT}}{{PROMPT}}", None), ("a", "{{PROMPT}}{{PROMPT}}")],
    )
    def test_no_place_or_two_for_a_message(self, text: str, prefix: str | None) -> None:
        with pytest.raises(ValueError, match="PROMPT"):
            prelude_of(text, prefix)

    def test_the_template_writes_prelude_and_frames(self, stories: Path) -> None:
        found = prelude_of("{{ x }} {% if %}\nUser: {{PROMPT}}\nAI:")
        template = llmpy.load_template(stories, found.template)
        talk = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Who?"},
        ]
        text = template.render(talk, template_kwargs=found.template_kwargs())
        expected = "Be brief.\n\n{{ x }} {% if %}\nUser: Hi\nAI: Hello.\nUser: Who?\nAI:"
        assert text == "<s>" + expected

    def test_the_first_message_has_a_frame_of_its_own(self, stories: Path) -> None:
        found = prelude_of("Q: {{PROMPT}}\nA:", "\nNext: {{PROMPT}}\n")
        template = llmpy.load_template(stories, found.template)
        talk = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Who?"},
        ]
        text = template.render(talk, template_kwargs=found.template_kwargs())
        assert text == "<s>Q: Hi\nA: Hello.\n\nNext: Who?\n"


class TestCommandLine:
    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("/help", ("help", "")),
            ("/?", ("help", "")),
            ("/exit ", ("quit", "")),
            ("/system  a\nb ", ("system", "a\nb")),
            ("hello", None),
            (" /help", None),
            ("/usr/bin is what?", None),
            ("//", None),
        ],
    )
    def test_what_is_a_command(self, line: str, found: tuple[str, str] | None) -> None:
        assert command_in(line) == found

    @pytest.mark.parametrize(("line", "message"), [("/sav a", "/save"), ("/zzz", "/help")])
    def test_a_command_that_there_is_not(self, line: str, message: str) -> None:
        with pytest.raises(WrongCommandError, match=message):
            command_in(line)

    def completed(self, text: str) -> list[str]:
        found = CommandCompleter().get_completions(Document(text), CompleteEvent())
        return [completion.text for completion in found]

    def test_commands_are_completed(self) -> None:
        assert self.completed("/") == list(COMMANDS)
        assert self.completed("/se") == ["set"]
        assert self.completed("a") == self.completed("/a\n/") == []

    def test_settings_and_values_are_completed(self) -> None:
        assert self.completed("/set top") == ["top_k", "top_p"]
        assert self.completed("/set overflow ") == ["error", "drop_oldest"]
        assert self.completed("/think o") == ["on", "off"]

    def test_files_are_completed(self, tmp_path: Path) -> None:
        (tmp_path / "talk one.json").write_text("")
        assert self.completed(f"/load {tmp_path}/ta") == ["lk one.json"]


class TestKeyboard:
    def read(self, keys: str, **options: object) -> str | None:
        with create_pipe_input() as pipe:
            keyboard = Keyboard(InMemoryHistory(), list, input=pipe, output=DummyOutput())
            pipe.send_text(keys)
            return keyboard.read(**options)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("keys", "text"),
        [
            ("a\r", "a"),
            ("a\x1b\rb\r", "a\nb"),
            ("a\\\rb\r", "a\nb"),
            ("\x1b[200~a\r\nb\nc\x1b[201~\r", "a\nb\nc"),
            ("\r \ra\r", " a"),
            ("abc\x03d\r", "d"),
            ("\x03a\r", "a"),
            ("\x04", None),
            ("\x03\x03", None),
        ],
    )
    def test_keys(self, keys: str, text: str | None) -> None:
        assert self.read(keys) == text

    def test_what_is_typed_is_told(self) -> None:
        texts: list[str] = []
        with create_pipe_input() as pipe:
            keyboard = Keyboard(
                InMemoryHistory(), list, texts.append, input=pipe, output=DummyOutput()
            )
            pipe.send_text("ab\x7fc\r")
            keyboard.read()
        assert texts[:4] == ["a", "ab", "a", "ac"]

    def test_a_text_to_change_stands_in_the_line(self) -> None:
        assert self.read("!\r", default="a") == "a!"

    def test_an_empty_line_where_it_may_be(self) -> None:
        assert self.read("\x03", default="a", may_be_empty=True) == ""
        assert self.read("\x03", may_be_empty=True) == ""


def answer_of(*pieces: Piece):  # type: ignore[no-untyped-def]
    def start(progress):  # type: ignore[no-untyped-def]
        progress(1, 2)
        yield from pieces

    return start


ANSWER = (
    Piece("Hm\x1b[2J.", 5, "thinking"),
    Piece("*Yes*", 6, "generated"),
    Piece(" \x1b]0;x\x07\n\nno\n", 7, "generated"),
    Piece("", 2, "end", finish_reason="end"),
)


class TestDisplays:
    def live(self, thinking: str, *pieces: Piece) -> str:
        out = io.StringIO()
        console = made_console(file=out, force_terminal=True, width=60, color_system=None)
        display = LiveDisplay(console, thinking)  # type: ignore[arg-type]
        assert shown(answer_of(*pieces), display, threading.Event()) == "end"
        return out.getvalue()

    def test_a_pipe_gets_the_text_as_it_is(self) -> None:
        out, err = io.StringIO(), io.StringIO()
        assert shown(answer_of(*ANSWER), PlainDisplay(out, err), threading.Event()) == "end"
        assert out.getvalue() == "*Yes* \x1b]0;x\x07\n\nno\n\n"
        assert err.getvalue() == "Hm\x1b[2J.\n"

    def test_thinking_may_be_left_out(self) -> None:
        out = io.StringIO()
        shown(answer_of(*ANSWER), PlainDisplay(out, None), threading.Event())
        assert out.getvalue().startswith("*Yes*")

    def test_a_stderr_that_is_full_stops_nothing(self) -> None:
        class Full(io.StringIO):
            def write(self, _: str) -> int:
                raise OSError("no space left")

        out = io.StringIO()
        shown(answer_of(*ANSWER), PlainDisplay(out, Full()), threading.Event())
        assert out.getvalue().startswith("*Yes*")
        with pytest.raises(OSError, match="no space"):
            shown(answer_of(*ANSWER), PlainDisplay(Full(), None), threading.Event())

    def test_a_terminal_gets_no_escape_of_the_model(self) -> None:
        for thinking in ("fold", "show", "hide"):
            found = self.live(thinking, *ANSWER)
            assert "\x1b[2J" not in found
            assert "\x1b]0;" not in found
            assert "\x07" not in found

    def test_thinking_is_folded_shown_or_hidden(self) -> None:
        assert "Thought for" in self.live("fold", *ANSWER)
        assert "Hm" in self.live("show", *ANSWER)
        hidden = self.live("hide", *ANSWER)
        assert "Thought" not in hidden
        assert "Hm" not in hidden

    def test_all_blocks_stay_in_order(self) -> None:
        words = [f"word{i:03}" for i in range(300)]
        pieces = [Piece(f"{word}\n\n", 5, "generated") for word in words]
        found = self.live("fold", *pieces, ANSWER[-1])
        places = [found.rindex(word) for word in words]
        assert places == sorted(places)

    @pytest.mark.parametrize(
        ("text", "end"),
        [
            ("ab\ncd\n", "ab\ncd\n"),
            ("a\nb\nc\nd\n", "c\nd\n"),
            ("x" * 50 + "end", "x" * 17 + "end"),
            ("```py\na\nb\nc\n", "```py\nb\nc\n"),
        ],
    )
    def test_only_the_end_of_a_long_block_is_drawn_again(self, text: str, end: str) -> None:
        assert end_of(text, 2, 10) == end

    def test_an_interrupt_ends_the_answer_after_a_piece(self) -> None:
        out, stop = io.StringIO(), threading.Event()

        def start(_):  # type: ignore[no-untyped-def]
            yield Piece("a", 5, "generated")
            stop.set()
            yield Piece("b", 5, "generated")
            raise AssertionError("it went on")

        assert shown(start, PlainDisplay(out, None), stop) == "interrupted"
        assert out.getvalue() == "ab\n"

    def test_an_interrupt_ends_the_reading(self) -> None:
        stop = threading.Event()
        stop.set()
        with pytest.raises(InterruptedAnswer):
            shown(answer_of(*ANSWER), PlainDisplay(None, None), stop)


class TestScreen:
    def test_a_loaded_conversation_cannot_write_to_the_terminal(self) -> None:
        out = io.StringIO()
        screen = ConsoleScreen(made_console(file=out, force_terminal=True, color_system=None))
        bad = "a\x1b[2J\x9b\x07[red]b[/red]"
        parts = [{"type": "text", "text": bad}]
        screen.conversation(
            [
                {"role": "system", "content": bad},
                {"role": "user", "content": parts},
                {"role": "assistant", "content": bad},
                {"role": "tool", "content": bad},
            ]
        )
        screen.say(bad)
        screen.fail(bad)
        screen.thought(bad)
        screen.title(bad, bad)
        screen.table([(bad, bad, bad)])
        assert {"\x9b", "\x07", "\x1b"}.isdisjoint(out.getvalue())
        assert out.getvalue().count("[red]b[/red]") == 12
