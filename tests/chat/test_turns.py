"""A chat gives one answer at a time, and never mixes two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

import llmpy
from tests.threads import finish

ONE_AT_A_TIME = "one answer at a time"


@pytest.fixture
def chat(smol: llmpy.Model) -> Iterator[llmpy.Chat]:
    with smol.chat(sampler=llmpy.greedy()) as chat:
        yield chat


def first_of(chat: llmpy.Chat, text: str) -> str:
    """What the chat would say with 3 tokens, which stays unsaid."""
    with chat.fork() as other:
        return other.ask(text, max_tokens=3)


def test_a_new_answer_keeps_the_one_whose_loop_waits(chat: llmpy.Chat) -> None:
    beginning = first_of(chat, "Tell me a story.")
    waiting = chat.say("Tell me a story.")
    for _ in range(3):
        next(waiting)
    answer = chat.ask("What is the capital of France?", max_tokens=20)
    assert [message["content"] for message in chat.messages] == [
        "Tell me a story.",
        beginning,
        "What is the capital of France?",
        answer,
    ]


def test_the_loop_that_was_ended_says_so(chat: llmpy.Chat) -> None:
    waiting = chat.say("Tell me a story.")
    next(waiting)
    chat.ask("What is the capital of France?", max_tokens=5)
    before = list(chat.messages)
    with pytest.raises(RuntimeError, match=ONE_AT_A_TIME):
        list(waiting)
    assert chat.messages == before


def test_answers_that_were_asked_for_before_are_given_one_after_the_other(
    chat: llmpy.Chat,
) -> None:
    first = chat.say("What is the capital of France?", max_tokens=5)
    second = chat.say("And of Italy?", max_tokens=5)
    list(first)
    list(second)
    assert [m["content"] for m in chat.messages if m["role"] == "user"] == [
        "What is the capital of France?",
        "And of Italy?",
    ]


def test_a_second_thread_gets_an_error_while_a_piece_is_computed(chat: llmpy.Chat) -> None:
    errors: list[RuntimeError] = []

    def ask() -> None:
        try:
            chat.ask("What is the capital of Italy?", max_tokens=5)
        except RuntimeError as error:
            errors.append(error)

    def progress(_read: int, _total: int) -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        finish(thread)

    question = "What is the capital of France?"
    answer = chat.ask(question, max_tokens=5, progress=progress)
    assert ONE_AT_A_TIME in str(errors[0])
    assert [message["content"] for message in chat.messages] == [question, answer]


def test_an_asynchronous_loop_may_be_left_for_the_next_answer(chat: llmpy.Chat) -> None:
    async def talk() -> None:
        async for _ in chat.asay("Tell me a story."):
            break
        await chat.aask("What is the capital of France?", max_tokens=5)

    asyncio.run(talk())
    assert len(chat.messages) == 4


def test_a_fork_answers_while_the_first_chat_is_in_its_loop(chat: llmpy.Chat) -> None:
    whole = first_of(chat, "Tell me a story.")
    parts = []
    for piece in chat.say("Tell me a story.", max_tokens=3):
        with chat.fork() as other:
            other.ask("Hi", max_tokens=1)
        parts.append(piece.text)
    assert "".join(parts).strip() == whole


def test_a_question_that_was_cancelled_is_no_part_of_the_conversation(chat: llmpy.Chat) -> None:
    assert chat.ask("Hi", progress=lambda *_: chat.session.cancel()) == ""
    assert chat.messages == []
