"""A real model calls tools: SmolLM2, whose template has no place for them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import llmpy


def get_weather(city: str, days: int = 1) -> str:
    """Return the weather forecast of a city.

    Args:
        city: the name of the city
        days: how many days ahead
    """
    return f"{city}: sunny" * (days > 0)


@pytest.fixture(scope="module")
def model(smollm2: Path) -> Any:
    with llmpy.load(smollm2, n_ctx=1024) as model:
        yield model


@pytest.fixture
def chat(model: llmpy.Model) -> llmpy.Chat:
    return model.chat(sampler=llmpy.greedy())


ONE: dict[str, Any] = {"tool_choice": "required", "parallel_tool_calls": False}
QUESTION = "What is the weather in Rome?"


@pytest.mark.parametrize("choice", ["required", "get_weather"])
def test_a_call_that_must_come_is_valid(chat: llmpy.Chat, choice: str) -> None:
    pieces = list(chat.say(QUESTION, tools=[get_weather], tool_choice=choice))
    calls = [piece.tool_call for piece in pieces if piece.kind == "tool_call"]
    assert calls[0] == llmpy.ToolCall("call00001", "get_weather", {"city": "Rome"})
    assert not "".join(piece.text for piece in pieces)
    assert chat.tool_calls == calls
    assert chat.messages[-1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [call.as_dict() for call in calls if call],
    }


def test_without_parallel_calls_there_is_one(chat: llmpy.Chat) -> None:
    chat.ask(QUESTION, tools=[get_weather], **ONE)
    assert len(chat.tool_calls) == 1


def test_none_is_as_without_tools(chat: llmpy.Chat) -> None:
    free = chat.fork().ask(QUESTION, max_tokens=12)
    assert chat.ask(QUESTION, tools=[get_weather], tool_choice="none", max_tokens=12) == free


def test_auto_may_answer_with_text(chat: llmpy.Chat) -> None:
    assert chat.ask("Say hello.", tools=[get_weather], max_tokens=8)
    assert chat.tool_calls == []


def test_run_calls_the_function_and_goes_on(chat: llmpy.Chat) -> None:
    seen: list[llmpy.Piece] = []
    options: dict[str, Any] = {"tool_choice": "get_weather", "max_tokens": 60}
    answer = chat.run(QUESTION, [get_weather], seen.append, **options)
    assert "sunny" in answer
    assert [m["role"] for m in chat.messages] == ["user", "assistant", "tool", "assistant"]
    assert chat.messages[2] == {
        "role": "tool",
        "content": "Rome: sunny",
        "tool_call_id": "call00001",
        "name": "get_weather",
    }
    assert [(p.kind, p.text) for p in seen if p.tool_call] == [
        ("tool_call", ""),
        ("tool_result", "Rome: sunny"),
    ]


def until_a_result(piece: llmpy.Piece) -> Any:
    return llmpy.STOP if piece.kind == "tool_result" else None


def test_an_exception_is_a_result(chat: llmpy.Chat) -> None:
    def broken(city: str) -> str:
        """Return the weather of a city."""
        raise OSError(f"no network for {city}")

    chat.run(QUESTION, [broken], until_a_result, **ONE)
    assert chat.messages[2]["content"] == "Error: OSError: no network for Rome"


def test_a_tool_that_never_returns_is_an_error(chat: llmpy.Chat) -> None:
    event = threading.Event()

    def wait(city: str) -> None:
        """Return the weather of a city."""
        event.wait(len(city) * 100)

    chat.ask("Hi", max_tokens=2)
    before = list(chat.messages)
    try:
        with pytest.raises(llmpy.ToolError, match=r"within 0\.05 seconds"):
            chat.run(QUESTION, [wait], tool_choice="required", timeout=0.05)
    finally:
        event.set()
    assert chat.messages == before
    assert chat.ask("Hello", max_tokens=2)


def test_rounds_have_a_limit(chat: llmpy.Chat) -> None:
    options: dict[str, Any] = {"tool_choice": "required", "max_rounds": 1}
    with pytest.raises(llmpy.ToolError, match="after 1 rounds"):
        chat.run(QUESTION, [get_weather], **options)
    assert chat.messages == []


def test_a_call_that_is_cut_is_an_error(chat: llmpy.Chat) -> None:
    with pytest.raises(llmpy.AnswerError, match="not whole"):
        chat.run(QUESTION, [get_weather], tool_choice="required", max_tokens=6)
    assert chat.messages == []


def test_a_call_that_is_cut_is_no_text_of_the_answer(chat: llmpy.Chat) -> None:
    options: dict[str, Any] = {"tools": [get_weather], "tool_choice": "required", "max_tokens": 6}
    pieces = list(chat.say(QUESTION, **options))
    assert "".join(piece.text for piece in pieces if piece.kind == "generated") == ""
    assert sum(piece.token is not None for piece in pieces if piece.kind != "prompt") == 6
    assert chat.stats is not None
    assert chat.stats.finish_reason == "length"
    assert chat.tool_calls == []
    assert chat.is_cut
    assert chat.messages[-1] == {"role": "assistant", "content": ""}


def test_stop_ends_a_run(chat: llmpy.Chat) -> None:
    def stop(piece: llmpy.Piece) -> Any:
        return llmpy.STOP if piece.kind == "tool_call" else None

    chat.run(QUESTION, [get_weather], stop, tool_choice="required")
    assert chat.messages[-1]["tool_calls"]


def test_results_from_elsewhere(chat: llmpy.Chat) -> None:
    chat.ask(QUESTION, tools=[get_weather], tool_choice="get_weather")
    (call,) = chat.tool_calls
    chat.messages.append({"role": "tool", "content": "rain", "tool_call_id": call.id})
    text = "".join(piece.text for piece in chat.retry(tools=[get_weather], max_tokens=40))
    assert "rain" in text


def test_asyncio(chat: llmpy.Chat) -> None:
    threads = []

    async def weather(city: str) -> dict[str, str]:
        """Return the weather of a city."""
        threads.append(threading.current_thread())
        await asyncio.sleep(0)
        return {city: "sunny"}

    asyncio.run(chat.arun(QUESTION, [weather], until_a_result, **ONE))
    assert chat.messages[2]["content"] == '{"Rome": "sunny"}'
    assert threads == [threading.current_thread()] * len(threads)
    chat.messages = []
    asyncio.run(chat.arun(QUESTION, [get_weather], until_a_result, **ONE))
    assert chat.messages[2]["content"] == "Rome: sunny"
    chat.messages = []
    chat.run(QUESTION, [weather], until_a_result, **ONE)  # a coroutine, from code that is none
    assert chat.messages[2]["content"] == '{"Rome": "sunny"}'


def test_what_cannot_be_is_refused_at_once(chat: llmpy.Chat) -> None:
    definition = {"type": "function", "function": {"name": "f"}}
    with pytest.raises(TypeError, match="'f': expected a function to call"):
        chat.run("Hi", [definition])
    with pytest.raises(ValueError, match=r"tool_choice: expected .* \(get_weather\), found 'x'"):
        chat.say("Hi", tools=[get_weather], tool_choice="x")
    with pytest.raises(ValueError, match="different names"):
        chat.say("Hi", tools=[get_weather, get_weather])
    with pytest.raises(ValueError, match="beside tools"):
        chat.ask("Hi", tools=[get_weather], constrain=llmpy.choices(["a"]))
    schema = {"type": "object", "properties": {"a": {"$recursiveRef": "#"}}}
    with pytest.raises(llmpy.ConstraintError, match="tool 'f': "):
        chat.ask("Hi", tools=[llmpy.Tool("f", "", schema)], tool_choice="required")
    assert chat.messages == []
