"""Calls of tools over every API, by the clients of their makers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import ollama
import openai
import pytest

from tests.server.conftest import Running
from tests.server.described import Description

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
}
FUNCTION = {"name": "get_weather", "description": "The weather.", "parameters": PARAMETERS}
TOOL: Any = {"type": "function", "function": FUNCTION}
NAMED: Any = {"name": "get_weather", "description": "", "input_schema": PARAMETERS}
QUESTION: Any = [{"role": "user", "content": "What is the weather in Rome?"}]
ASKED: Any = {"model": "smollm2", "temperature": 0}
CALL = {"name": "get_weather", "arguments": '{"city": "Rome"}'}
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"


@pytest.fixture
def claude(chat_server: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=chat_server.url, api_key="none", max_retries=0) as found:
        yield found


def test_a_call_and_its_result(client: openai.OpenAI) -> None:
    asked: Any = {**ASKED, "tools": [TOOL], "max_tokens": 60}
    one: Any = {"parallel_tool_calls": False, "tool_choice": "required"}
    (choice,) = client.chat.completions.create(messages=QUESTION, **asked, **one).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls or []
    assert call.function.model_dump() == CALL  # type: ignore[union-attr]
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "It is raining."}
    messages = [*QUESTION, choice.message.model_dump(exclude_none=True), result]
    (choice,) = client.chat.completions.create(messages=messages, **asked).choices
    assert "rain" in (choice.message.content or "")


def test_a_streamed_call_is_the_same(chat_server: Running, description: Description) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    asked = {**ASKED, "messages": QUESTION, "tools": [TOOL], "tool_choice": choice}
    whole = chat_server.post(CHAT, asked).json
    assert description.problems("CreateChatCompletionResponse", whole) == []
    events = chat_server.post(CHAT, {**asked, "stream": True}).events
    for event in events:
        assert description.problems("CreateChatCompletionStreamResponse", event) == []
    deltas = [event["choices"][0]["delta"] for event in events]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert calls[0] == {
        "index": 0,
        "id": "call00001",
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    assert "".join(call["function"]["arguments"] for call in calls) == CALL["arguments"]
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert whole["choices"][0]["message"]["tool_calls"][0]["function"] == CALL


def test_openais_client_puts_a_stream_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        messages=QUESTION, tools=[TOOL], tool_choice="required", parallel_tool_calls=False, **ASKED
    ) as stream:
        (choice,) = stream.get_final_completion().choices
    (call,) = choice.message.tool_calls or []
    assert (call.function.name, call.function.arguments) == tuple(CALL.values())


def test_tools_that_may_be_left_alone(chat_server: Running) -> None:
    asked = {**ASKED, "messages": QUESTION, "max_tokens": 6}
    free = chat_server.post(CHAT, asked).json["choices"][0]
    none = chat_server.post(CHAT, {**asked, "tools": [TOOL], "tool_choice": "none"}).json
    assert none["choices"][0] == free
    auto = chat_server.post(CHAT, {**asked, "tools": [TOOL]}).json["choices"][0]
    assert auto["finish_reason"] == "length"
    assert "tool_calls" not in auto["message"]


def test_a_response_calls(
    client: openai.OpenAI, chat_server: Running, description: Description
) -> None:
    tool: Any = {"type": "function", "strict": True, **FUNCTION}
    options: Any = {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    asked: Any = {**ASKED, **options, "input": QUESTION}
    response = client.responses.create(**asked)
    (item,) = response.output
    assert item.type == "function_call"
    assert (item.name, item.arguments) == tuple(CALL.values())
    assert description.problems("Response", chat_server.post(RESPONSES, asked).json) == []
    seen = [event.type for event in client.responses.create(**asked, stream=True)]
    assert seen == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    output: Any = {"type": "function_call_output", "call_id": item.call_id, "output": "rain"}
    asked["input"] = [*QUESTION, item.model_dump(exclude_none=True), output]
    asked["tool_choice"] = "none"
    assert client.responses.create(**asked, max_output_tokens=9).output_text


def test_anthropics_client(claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "smollm2", "messages": QUESTION, "max_tokens": 60, "tools": [NAMED]}
    asked |= {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}
    asked |= {"extra_body": {"temperature": 0}}
    message = claude.messages.create(**asked)
    assert message.stop_reason == "tool_use"
    (block,) = message.content
    assert block.type == "tool_use"
    assert (block.name, block.input) == ("get_weather", {"city": "Rome"})
    with claude.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert streamed.content == message.content
    assert streamed.stop_reason == "tool_use"
    asked["tool_choice"] = {"type": "tool", "name": "get_weather"}
    assert claude.messages.create(**asked).content == message.content
    result: Any = {"type": "tool_result", "tool_use_id": block.id, "content": "It is raining."}
    messages = [*QUESTION, {"role": "assistant", "content": [block.model_dump()]}]
    asked["messages"] = [*messages, {"role": "user", "content": [result]}]
    asked["tool_choice"] = {"type": "none"}
    assert claude.messages.create(**asked).content[0].type == "text"


def test_ollamas_client(chat_server: Running) -> None:
    hinted = {"role": "system", "content": "Always answer with a call, as in the example."}
    client = ollama.Client(host=chat_server.url)
    try:
        options = {"temperature": 0, "num_predict": 40}
        asked: Any = {"model": "smollm2", "options": options, "tools": [TOOL]}
        answer = client.chat(messages=[hinted, *QUESTION], **asked)
        pieces = list(client.chat(messages=[hinted, *QUESTION], stream=True, **asked))
    finally:
        client._client.close()
    calls = [call for piece in pieces for call in piece.message.tool_calls or []]
    assert calls == (answer.message.tool_calls or [])
    text = "".join(piece.message.content or "" for piece in pieces)
    assert text == answer.message.content
    assert calls or text


@pytest.mark.parametrize(
    ("path", "more", "param"),
    [
        (CHAT, {"tools": [{"type": "custom"}]}, "tools[0].type"),
        (CHAT, {"tools": [{"type": "function", "function": {}}]}, "tools[0].name"),
        (CHAT, {"tools": [TOOL, TOOL]}, "tools"),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools"),
        (CHAT, {"tools": [TOOL], "tool_choice": "x"}, "tool_choice"),
        (CHAT, {"tools": [TOOL], "tool_choice": {"type": "any"}}, "tool_choice.type"),
        (CHAT, {"tool_choice": "required"}, "tool_choice"),
        (CHAT, {"tools": [TOOL], "response_format": {"type": "json_object"}}, "response_format"),
        (MESSAGES, {"tools": [{"type": "bash_1", "name": "bash"}], "max_tokens": 1}, "tools[0]"),
        (MESSAGES, {"tools": [NAMED], "tool_choice": {}, "max_tokens": 1}, "tool_choice.type"),
        (RESPONSES, {"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ],
)
def test_what_is_wrong_is_named(
    chat_server: Running, path: str, more: dict[str, Any], param: str
) -> None:
    asked = {"input": "Hi", **ASKED, **more} if path == RESPONSES else {**ASKED, **more}
    asked |= {} if path == RESPONSES else {"messages": QUESTION}
    answer = chat_server.post(path, asked)
    assert answer.status == 400
    assert param in json.dumps(answer.json)


def test_a_schema_that_is_not_supported_is_named(chat_server: Running) -> None:
    wrong = {"type": "object", "properties": {"a": {"$recursiveRef": "#"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": wrong}}
    answer = chat_server.post(CHAT, {**ASKED, "messages": QUESTION, "tools": [tool]})
    assert answer.status == 400
    assert "tool 'f'" in answer.json["error"]["message"]
