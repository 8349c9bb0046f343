"""A conversation: what is said, what is read of it, and what is taken back."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.chat import NAMED, chosen_template
from llmpy.tokenizer import Tokenizer

CAPITAL = "What is the capital of France? Answer in one sentence."
GREEDY = llmpy.greedy()


@pytest.fixture
def chat(smol: llmpy.Model) -> Iterator[llmpy.Chat]:
    with smol.chat(sampler=GREEDY) as chat:
        yield chat


def test_a_real_model_knows_the_capital_of_france(chat: llmpy.Chat) -> None:
    assert "Paris" in chat.ask(CAPITAL)


@pytest.mark.parametrize("seed", range(6))
def test_it_answers_with_any_seed(smol: llmpy.Model, seed: int) -> None:
    with smol.chat(seed=seed) as chat:
        assert "France" in chat.ask(CAPITAL, max_tokens=40)


def test_the_messages_are_dicts_in_their_usual_form(chat: llmpy.Chat) -> None:
    answer = chat.ask(CAPITAL)
    assert chat.messages == [
        {"role": "user", "content": CAPITAL},
        {"role": "assistant", "content": answer},
    ]


def test_pieces_are_the_answer_and_one_end(chat: llmpy.Chat) -> None:
    pieces = list(chat.say(CAPITAL))
    assert {piece.kind for piece in pieces[:-1]} == {"generated"}
    assert pieces[-1].kind == "end"
    assert pieces[-1].finish_reason == "end"
    assert pieces[-1].token in chat.session.tokenizer.end_ids
    assert "".join(piece.text for piece in pieces) == chat.messages[-1]["content"]
    assert "<|" not in chat.messages[-1]["content"]


def test_a_callback_gets_the_same_pieces_and_may_stop(smol: llmpy.Model) -> None:
    with smol.chat(sampler=GREEDY) as chat:
        pieces: list[llmpy.Piece] = []

        def three(piece: llmpy.Piece) -> Any:
            pieces.append(piece)
            return llmpy.STOP if len(pieces) == 3 else None

        answer = chat.ask(CAPITAL, three)
    assert len(pieces) == 3
    assert answer == "".join(piece.text for piece in pieces).strip()
    assert chat.messages[-1]["content"] == answer


def test_the_system_message_comes_first_and_can_be_changed(smol: llmpy.Model) -> None:
    with smol.chat("Answer in French.", messages=[{"role": "user", "content": "Hello"}]) as chat:
        assert chat.system == "Answer in French."
        assert [m["role"] for m in chat.messages] == ["system", "user"]
        chat.system = "Answer in German."
        assert chat.messages[0] == {"role": "system", "content": "Answer in German."}
        chat.system = None
        assert [m["role"] for m in chat.messages] == ["user"]


def test_only_what_is_new_is_read(smol: llmpy.Model) -> None:
    """50 turns: each reads as much as its own message and what the template puts around it."""
    read = []
    with smol.chat(seed=3) as chat:
        for i in range(50):
            chat.ask(f"Tell me fact number {i}.", max_tokens=8)
            assert chat.stats is not None
            read.append(chat.stats.n_prompt)
            assert chat.stats.n_prompt + chat.stats.n_reused + chat.stats.n_generated == len(
                chat.session
            )
    assert len(chat.messages) == 100
    assert max(read[1:]) <= 25
    assert read[0] > max(read[1:])  # with the system message of the template


def test_undo_costs_nothing(chat: llmpy.Chat) -> None:
    chat.ask(CAPITAL)
    before = chat.session.tokens
    chat.ask("And of Italy?", max_tokens=4)
    removed = chat.undo()
    assert [m["content"] for m in removed][:1] == ["And of Italy?"]
    assert len(chat.messages) == 2
    chat.ask("And of Spain?", max_tokens=4)
    assert chat.session.tokens[: len(before)] == before
    assert chat.stats is not None
    assert chat.stats.n_reused >= len(before)
    assert chat.stats.n_prompt < 20


def test_undo_takes_a_question_without_its_answer_back_too(chat: llmpy.Chat) -> None:
    chat.messages = [{"role": "user", "content": CAPITAL}]
    assert len(chat.undo()) == 1
    assert chat.messages == []
    assert chat.undo() == []


def test_retry_reads_nothing_again(chat: llmpy.Chat) -> None:
    first = chat.ask(CAPITAL)
    list(chat.retry())
    assert chat.stats is not None
    assert chat.stats.n_prompt == 0
    assert chat.messages[-1]["content"] == first  # greedy
    assert len(chat.messages) == 2


def test_retry_can_give_another_answer(smol: llmpy.Model) -> None:
    with smol.chat(seed=5, sampler=llmpy.temperature(1.5)) as chat:
        first = chat.ask("Tell me a story.", max_tokens=12)
        list(chat.retry(max_tokens=12))
        assert chat.messages[-1]["content"] != first


def test_edit_changes_a_message_and_drops_what_answered_it(chat: llmpy.Chat) -> None:
    chat.ask("What is the capital of Italy?")
    chat.ask("Thanks.", max_tokens=4)
    chat.edit(0, CAPITAL)
    assert [m["content"] for m in chat.messages] == [CAPITAL]
    assert "Paris" in "".join(piece.text for piece in chat.retry())
    chat.edit(-1, "It is Lyon.")
    assert chat.messages[-1] == {"role": "assistant", "content": "It is Lyon."}
    with pytest.raises(IndexError, match="2 messages, found 7"):
        chat.edit(7, "x")


def test_an_edited_conversation_is_answered_as_a_fresh_one(smol: llmpy.Model) -> None:
    messages = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada!"},
    ]
    with smol.chat(sampler=GREEDY) as edited, smol.chat(sampler=GREEDY, messages=messages) as fresh:
        edited.ask("My name is Bob.", max_tokens=10)
        edited.messages[:] = copy.deepcopy(messages)
        assert edited.ask("Who am I?", max_tokens=10) == fresh.ask("Who am I?", max_tokens=10)


def test_a_fork_goes_its_own_way(chat: llmpy.Chat) -> None:
    chat.ask(CAPITAL)
    with chat.fork() as other:
        other.ask("And of Italy?", max_tokens=8)
        assert len(chat.messages) == 2
        assert len(other.messages) == 4
        assert other.stats is not None
        assert other.stats.n_prompt < 20
    assert "Paris" in chat.ask(CAPITAL)


def test_a_loop_left_early_keeps_what_was_seen(chat: llmpy.Chat) -> None:
    seen = []
    for piece in chat.say(CAPITAL):
        seen.append(piece.text)
        if len(seen) == 3:
            break
    assert chat.messages[-1] == {"role": "assistant", "content": "".join(seen).strip()}
    assert chat.stats is not None
    assert chat.stats.finish_reason == "callback"
    assert chat.stats.n_generated == 3
    assert "Paris" in chat.ask(CAPITAL)


def test_going_back_keeps_to_the_messages_of_a_loop_that_waits(chat: llmpy.Chat) -> None:
    waiting = chat.say(CAPITAL)
    next(waiting)
    assert [m["role"] for m in chat.undo()] == ["user", "assistant"]
    again = chat.say(CAPITAL)
    next(again)
    chat.edit(0, "Hello")
    assert chat.messages == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_tokens": "3"}, TypeError), ({"max_tokens": -1}, ValueError),
        ({"stop": 5}, TypeError), ({"stop": b"x"}, TypeError), ({"stop": ["x", ""]}, ValueError),
        ({"logprobs": -1}, ValueError), ({"progress": 5}, TypeError),
    ],
)  # fmt: skip
def test_options_are_checked_before_anything_happens(
    chat: llmpy.Chat, options: Any, error: type[Exception]
) -> None:
    (name,) = options
    with pytest.raises(error, match=f"^{name}: expected"):
        chat.ask("Hello", **options)
    chat.think = "yes"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="think: expected True or False"):
        chat.ask("Hello")
    with pytest.raises(TypeError, match="callback: expected a function"):
        chat.ask("Hello", 5)  # type: ignore[arg-type]
    assert chat.messages == []
    assert len(chat.session) == 0


def test_a_generator_that_never_began_changes_nothing(chat: llmpy.Chat) -> None:
    chat.say(CAPITAL)
    assert chat.messages == []
    assert len(chat.session) == 0


def test_stop_and_max_tokens_end_an_answer(chat: llmpy.Chat) -> None:
    assert chat.ask(CAPITAL, stop=" is") == "The capital of France"
    assert chat.stats is not None
    assert chat.stats.finish_reason == "stop"
    chat.undo()
    chat.ask(CAPITAL, max_tokens=2)
    assert chat.stats.finish_reason == "length"
    assert chat.stats.n_generated == 2


def test_logprobs_come_with_the_pieces(chat: llmpy.Chat) -> None:
    pieces = [piece for piece in chat.say(CAPITAL, logprobs=2) if piece.kind == "generated"]
    assert all(p.logprobs is not None and len(p.logprobs.top) == 2 for p in pieces if p.token)
    assert any(p.logprobs for p in pieces)


def test_progress_is_told_while_a_long_message_is_read(chat: llmpy.Chat) -> None:
    calls: list[tuple[int, int]] = []
    chat.ask("word " * 700 + CAPITAL, max_tokens=1, progress=lambda *n: calls.append(n))
    assert len(calls) >= 2
    assert calls[0][0] < calls[-1][0] == calls[-1][1]


def test_templates_can_be_chosen_by_name_or_given(smol: llmpy.Model) -> None:
    with smol.chat(template="alpaca", sampler=GREEDY) as chat:
        chat.ask("Say hello.", max_tokens=4)
        assert chat.session.text.startswith("### Instruction:\nSay hello.\n\n### Response:\n")
    with smol.chat(template="{{ messages[0].content }} =", sampler=GREEDY) as chat:
        chat.ask("1 + 1", max_tokens=1)
        assert chat.session.text.startswith("1 + 1 =")
    with pytest.raises(llmpy.TemplateError, match="expected chatml"):
        smol.chat(template="no such")


def test_a_file_may_have_several_templates(plain_tokenizer: Tokenizer) -> None:
    metadata = {"tokenizer.chat_template": "A", "tokenizer.chat_template.tool_use": "B"}
    for name, text in ((None, "A"), ("tool_use", "B")):
        template = chosen_template(metadata, plain_tokenizer, name)
        assert template.render([{"role": "user", "content": "x"}]) == text
    with pytest.raises(llmpy.TemplateError, match="expected tool_use, chatml"):
        chosen_template(metadata, plain_tokenizer, "other")


@pytest.mark.parametrize("name", NAMED)
def test_named_templates_render_a_whole_conversation(smol: llmpy.Model, name: str) -> None:
    with smol.chat("S-text", template=name) as chat:
        text = chat.template.render(
            [
                {"role": "system", "content": "S-text"},
                {"role": "user", "content": "U-text"},
                {"role": "assistant", "content": "A-text"},
                {"role": "user", "content": "V-text"},
            ]
        )
    places = [text.index(word) for word in ("S-text", "U-text", "A-text", "V-text")]
    assert places == sorted(places)


def test_thinking_can_be_switched_off_where_the_template_has_no_switch(smol: llmpy.Model) -> None:
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\n<think>\n"
    )
    with smol.chat(template=source, think=False, sampler=GREEDY) as chat:
        assert chat.can_think
        kinds = {piece.kind for piece in chat.say(CAPITAL, max_tokens=5)}
        assert kinds == {"generated", "end"}
        assert "<think>\n</think>\n\n" in chat.session.text
        chat.think = None
        chat.undo()
        kinds = {piece.kind for piece in chat.say(CAPITAL, max_tokens=5)}
        assert kinds == {"thinking", "end"}
        assert chat.messages[-1]["reasoning_content"]
        assert chat.messages[-1]["content"] == ""


def test_thinking_is_switched_by_the_template_where_it_can(smol: llmpy.Model) -> None:
    source = "{{ messages[0].content }}{{ ' T' if enable_thinking else ' F' }}"
    for think, end in ((True, " T"), (False, " F"), (None, " F")):
        with smol.chat(template=source, think=think) as chat:
            chat.ask("Hello", max_tokens=0)
            assert chat.session.text == "Hello" + end


def test_a_chat_says_what_it_is(chat: llmpy.Chat) -> None:
    assert repr(chat) == "<llmpy.Chat: 0 messages, 0 of 2048 tokens>"


# Bad input: a clear error, and the chat as it was


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("", ValueError, "found an empty text"),
        (" \n", ValueError, "found an empty text"),
        (b"Hello", TypeError, "expected a str, found bytes"),
        (None, TypeError, "expected a str, found NoneType"),
        (7, TypeError, "expected a str, found int"),
        (["Hello"], TypeError, "expected a str, found list"),
        ("a\ud800b", ValueError, r"lone surrogate \(U\+D800 at character 1\)"),
    ],
)
def test_what_cannot_be_said_is_refused(
    chat: llmpy.Chat, text: Any, error: type[Exception], match: str
) -> None:
    chat.ask(CAPITAL, max_tokens=3)
    before, tokens = copy.deepcopy(chat.messages), chat.session.tokens
    with pytest.raises(error, match=match):
        chat.ask(text)
    assert chat.messages == before
    assert chat.session.tokens == tokens


@dataclass
class Data:
    role: str = "user"
    content: str = "Hello"


class Dumped:
    """As models of pydantic and messages of API clients are."""

    def model_dump(self) -> dict[str, Any]:
        return {"role": "assistant", "content": "Hi", "refusal": None, "tokens": np.int64(3)}


def test_messages_may_be_objects_of_data(chat: llmpy.Chat) -> None:
    chat.messages = [Data(), Dumped()]  # type: ignore[list-item]
    assert chat.messages == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi", "tokens": 3},
    ]


@pytest.mark.parametrize(
    ("messages", "error", "match"),
    [
        ("Hello", TypeError, "expected a list of dicts, found str"),
        ({"role": "user"}, TypeError, "expected a list of dicts, found dict"),
        ([7], TypeError, r"messages\[0\]: expected a dict"),
        ([{"content": "x"}], ValueError, "role: expected one of system"),
        ([{"role": "robot", "content": "x"}], ValueError, "found 'robot'"),
        ([{"role": "user"}], ValueError, "content: expected a text, found none"),
        ([{"role": "user", "content": 7}], TypeError, "content: expected a text, found int"),
        (
            [{"role": "user", "content": b"x"}],
            TypeError,
            "expected text or plain data, found bytes",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
            TypeError,
            "expected a part of type 'text', found 'image_url'",
        ),
        (
            [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}],
            ValueError,
            "expected one system message",
        ),
        ([{"role": "user", "content": "x", "thinking": 5}], TypeError, "thinking: expected a text"),
        ([{"role": "user", "content": "x", 5: 5}], TypeError, "expected texts as keys"),
    ],
)
def test_what_are_no_messages_is_refused(
    chat: llmpy.Chat, messages: Any, error: type[Exception], match: str
) -> None:
    chat.messages = [{"role": "user", "content": "kept"}]
    with pytest.raises(error, match=match):
        chat.messages = messages
    assert chat.messages == [{"role": "user", "content": "kept"}]


def test_messages_spoilt_in_place_are_refused_when_they_are_read(chat: llmpy.Chat) -> None:
    chat.messages.append({"role": "robot", "content": "x"})
    with pytest.raises(ValueError, match=r"messages\[0\]: role"):
        chat.ask("Hello")
    with pytest.raises(ValueError, match=r"messages\[0\]: role"):
        chat.undo()
    with pytest.raises(ValueError, match=r"messages\[0\]: role"):
        _ = chat.system
    assert chat.messages == [{"role": "robot", "content": "x"}]


@pytest.mark.parametrize(
    "source",
    ["{{ raise_exception('no') }}", "{% for i in range(99999) %}{{ messages }}{% endfor %}"],
)
def test_a_template_that_refuses_leaves_the_chat_as_it_was(smol: llmpy.Model, source: str) -> None:
    with smol.chat(template=source) as chat:
        with pytest.raises(llmpy.TemplateError):
            chat.ask("Hello")
        assert chat.messages == []
        assert len(chat.session) == 0


def test_a_callback_that_raises_leaves_the_chat_as_it_was(chat: llmpy.Chat) -> None:
    chat.ask(CAPITAL, max_tokens=3)
    before = copy.deepcopy(chat.messages)

    def bad(_piece: llmpy.Piece) -> None:
        raise LookupError("from the callback")

    with pytest.raises(LookupError, match="from the callback"):
        chat.ask("Hello", bad)
    assert chat.messages == before
    assert "Paris" in chat.ask(CAPITAL)


def test_a_sampler_that_raises_leaves_the_chat_as_it_was(smol: llmpy.Model) -> None:
    def bad(_logits: Any, _session: Any) -> Any:
        raise LookupError("from the sampler")

    with smol.chat(sampler=bad) as chat:
        with pytest.raises(LookupError, match="from the sampler"):
            chat.ask("Hello")
        assert chat.messages == []


def test_a_base_model_says_what_it_needs(fast_stories: llmpy.Model) -> None:
    with pytest.raises(llmpy.TemplateError, match=r"a base model.*model\.generate.*chatml"):
        fast_stories.chat()


def test_a_closed_chat_says_so(smol: llmpy.Model) -> None:
    chat = smol.chat()
    chat.close()
    with pytest.raises(llmpy.SessionClosed):
        chat.ask("Hello")


def test_what_is_no_number_of_tokens_is_named(chat: llmpy.Chat) -> None:
    with pytest.raises(TypeError, match="max_tokens: expected a whole number"):
        chat.ask("Hi", max_tokens="10")  # type: ignore[arg-type]


def test_what_is_no_stop_string_is_named(chat: llmpy.Chat) -> None:
    with pytest.raises(TypeError, match="stop: expected a string or strings"):
        chat.ask("Hi", stop=5)  # type: ignore[arg-type]


def test_a_list_of_messages_as_system_message_is_sent_to_its_place(smol: llmpy.Model) -> None:
    with pytest.raises(TypeError, match="messages= takes a conversation"):
        smol.chat([{"role": "user", "content": "Hi"}])  # type: ignore[arg-type]


def test_a_list_of_messages_as_text_is_sent_to_its_place(chat: llmpy.Chat) -> None:
    with pytest.raises(TypeError, match=r"model.chat\(messages=...\) takes a conversation"):
        chat.ask([{"role": "user", "content": "Hi"}])  # type: ignore[arg-type]


def test_think_is_a_flag(smol: llmpy.Model) -> None:
    with pytest.raises(TypeError, match="think: expected True or False"):
        smol.chat(think="yes")  # type: ignore[arg-type]
