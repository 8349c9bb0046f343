"""A full context: an error, older turns left out, or what the caller decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llmpy

LONG = "word " * 60
FULL = "ignore::llmpy.ContextWarning"


@pytest.fixture(scope="module")
def small(smollm2: Path) -> Iterator[llmpy.Model]:
    with llmpy.load(smollm2, n_ctx=256) as model:
        yield model


def turns(chat: llmpy.Chat, n: int) -> None:
    for i in range(n):
        chat.ask(f"{i}: {LONG}", max_tokens=8)


def test_a_full_context_is_an_error_that_says_what_to_do(small: llmpy.Model) -> None:
    with small.chat(seed=1) as chat:
        turns(chat, 2)
        before = list(chat.messages)
        with pytest.raises(llmpy.ContextFull, match=r"256 tokens and .*n_ctx.*drop_oldest") as full:
            turns(chat, 2)
        assert full.value.n_ctx == 256
        assert chat.messages[: len(before)] == before
        chat.undo()
        turns(chat, 1)


def test_an_answer_that_fills_the_context_says_so(small: llmpy.Model) -> None:
    with small.chat(sampler=lambda logits, _: _without_end(logits, small)) as chat:
        chat.ask("Tell me a story.")
        assert chat.stats is not None
        assert chat.stats.finish_reason == "context"
        assert len(chat.session) == 256


def _without_end(logits: Any, model: llmpy.Model) -> Any:
    logits[list(model.tokenizer.end_ids)] = -float("inf")
    return logits


@pytest.mark.filterwarnings(FULL)
def test_the_oldest_turns_are_left_out_whole(small: llmpy.Model) -> None:
    with small.chat("Be brief.", overflow="drop_oldest", seed=1) as chat:
        turns(chat, 6)
        roles = [message["role"] for message in chat.messages]
        assert roles[0] == "system"
        assert roles[1:] == ["user", "assistant"] * (len(roles) // 2)
        assert chat.messages[-2]["content"].startswith("5: ")
        assert len(chat.messages) < 8
        assert len(chat.messages) + chat.n_left_out == 13
        assert len(chat.session) <= 256


def test_leaving_out_is_never_silent(small: llmpy.Model) -> None:
    with (
        small.chat(overflow="drop_oldest", seed=1) as chat,
        pytest.warns(llmpy.ContextWarning, match="context of 256 tokens is full: 2 of the oldest"),
    ):
        turns(chat, 4)


@pytest.mark.filterwarnings(FULL)
def test_an_answer_goes_on_where_room_is_made_for_it(small: llmpy.Model) -> None:
    sampler = llmpy.chain(lambda logits, _: _without_end(logits, small), llmpy.greedy())
    with small.chat(overflow="drop_oldest", sampler=sampler) as chat:
        turns(chat, 2)
        answer = chat.ask("Tell me a long story.", max_tokens=150)
        assert chat.stats is not None
        assert chat.stats.finish_reason == "length"
        assert chat.stats.n_generated == 150
        assert len(chat.messages) == 2
        assert chat.messages[-1]["content"] == answer


@pytest.mark.filterwarnings(FULL)
def test_the_newest_message_is_never_left_out(small: llmpy.Model) -> None:
    with small.chat(overflow="drop_oldest", seed=1) as chat:
        turns(chat, 1)
        before = list(chat.messages)
        with pytest.raises(llmpy.ContextFull):
            chat.ask(LONG * 10)
        assert chat.messages == before


@pytest.mark.filterwarnings(FULL)
def test_a_callable_decides_what_stays(small: llmpy.Model) -> None:
    calls = []

    def last_only(messages: list[Any], needed: int, n_ctx: int) -> list[Any]:
        calls.append((needed, n_ctx))
        return messages[-1:]

    with small.chat(overflow=last_only, seed=1) as chat:
        turns(chat, 4)
        assert len(chat.messages) < 8
        assert all(needed > n_ctx == 256 for needed, n_ctx in calls)
    with small.chat(overflow=lambda messages, *_: messages) as chat:
        with pytest.raises(llmpy.ContextFull, match="has shortened nothing"):
            turns(chat, 4)
        assert len(chat.messages) in (4, 6)


@pytest.mark.parametrize("choice", ["shift", "drop", 7, None])
def test_what_a_chat_cannot_do_is_refused(small: llmpy.Model, choice: Any) -> None:
    with pytest.raises(
        ValueError, match="expected 'error', 'drop_oldest' or a callable for a chat"
    ):
        small.chat(overflow=choice)


@pytest.fixture(scope="module")
def stories(shared_data: Callable[[str], Path]) -> Iterator[llmpy.Model]:
    path = shared_data("weights/stories260K/stories260K.gguf")
    with llmpy.load(path, n_ctx=128) as model:
        yield model


def test_a_session_shifts_tokens(stories: llmpy.Model) -> None:
    sampler = llmpy.chain(llmpy.logit_bias({2: -100.0}), llmpy.temperature(1.0))
    with stories.session(overflow="shift", seed=1, sampler=sampler) as session:
        with pytest.warns(llmpy.ContextWarning, match="128 tokens is full: 64 of them"):
            stats = session.infer("Once upon a time", max_tokens=300)
        assert stats.finish_reason == "length"
        assert stats.n_generated == 300
        assert len(session) <= 128
        assert session.tokens[0] == stories.tokenizer.bos
        assert session.n_appended == stats.n_prompt + 300


def test_after_a_shift_a_session_goes_on_as_a_fresh_one_would(stories: llmpy.Model) -> None:
    def fresh(tokens: list[int], *_: int) -> list[int]:
        kept.append([1, *tokens[-40:]])
        return kept[-1]

    kept: list[list[int]] = []
    with stories.session(overflow=fresh, sampler=llmpy.greedy()) as session:
        session.feed([5] * 128)
        with pytest.warns(llmpy.ContextWarning):
            token = session.next_token()
    with stories.session(sampler=llmpy.greedy()) as session:
        session.feed(kept[0])
        assert session.next_token() == token


@pytest.mark.filterwarnings(FULL)
def test_with_and_without_a_callback_a_shifted_session_says_the_same(stories: llmpy.Model) -> None:
    texts = []
    for callback in (None, lambda _: None):
        with stories.session(overflow="shift", seed=4) as session:
            stats = session.infer("Once", callback, max_tokens=700)
            texts.append((stats.n_generated, session.text))
    assert texts[0] == texts[1]


@pytest.mark.filterwarnings(FULL)
def test_a_callable_decides_which_tokens_stay(stories: llmpy.Model) -> None:
    with stories.session(overflow=lambda tokens, *_: tokens[-10:], seed=1) as session:
        session.feed([5] * 128)
        last = session.tokens[-10:]
        session.next_token()
        assert session.tokens[:10] == last
        assert len(session) == 11


def test_without_overflow_a_full_session_is_an_error(stories: llmpy.Model) -> None:
    with stories.session() as session:
        session.feed([5] * 128)
        with pytest.raises(llmpy.ContextFull):
            session.next_token()
    with pytest.raises(ValueError, match="expected 'error', 'shift' or a callable for a session"):
        stories.session(overflow="drop_oldest")
