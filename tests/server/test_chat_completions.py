"""/v1/chat/completions: what it answers, whole and in a stream, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

import llmpy
from tests.server.conftest import Running

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Tell me a story about a dog."}]


def request(**more: Any) -> dict[str, Any]:
    return {"model": "stories", "messages": HELLO, "seed": 7, "max_tokens": 12, **more}


def text_of(events: list[Any], index: int = 0) -> str:
    return "".join(
        choice["delta"].get("content", "")
        for event in events
        for choice in event["choices"]
        if choice["index"] == index
    )


def test_an_answer_is_the_text_that_the_model_gives_in_a_chat(
    chat_server: Running, smollm2: Any
) -> None:
    body = {"messages": HELLO, "temperature": 0, "max_tokens": 16}
    answer = chat_server.post(PATH, body).json
    with llmpy.load(smollm2) as model:
        chat = model.chat(sampler=llmpy.default_chain(temperature=0))
        expected = chat.ask(HELLO[0]["content"], max_tokens=16)
        n_prompt = len(chat.template.encode(HELLO))
    assert answer["choices"][0]["message"]["content"].strip() == expected
    assert answer["usage"]["prompt_tokens"] == n_prompt
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_stream_says_what_the_whole_answer_says(server: Running) -> None:
    whole = server.post(PATH, request(n=3)).json
    stream = server.post(PATH, request(n=3, stream=True))
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.body.endswith(b"data: [DONE]\n\n")
    for choice in whole["choices"]:
        assert text_of(stream.events, choice["index"]) == choice["message"]["content"]


def test_texts_of_one_request_have_the_seeds_that_follow_its_own(server: Running) -> None:
    several = server.post(PATH, request(n=3)).json["choices"]
    alone = [server.post(PATH, request(seed=7 + i)).json["choices"][0] for i in range(3)]
    assert [c["message"] for c in several] == [c["message"] for c in alone]
    assert len({c["message"]["content"] for c in several}) == 3


def test_every_chunk_has_the_fields_that_clients_read(server: Running) -> None:
    events = server.post(PATH, request(stream=True)).events
    assert len({(e["id"], e["object"], e["created"], e["model"]) for e in events}) == 1
    assert events[0]["object"] == "chat.completion.chunk"
    choices = [choice for event in events for choice in event["choices"]]
    assert all({"index", "delta", "finish_reason"} <= choice.keys() for choice in choices)
    assert [c["finish_reason"] for c in choices] == [None] * (len(choices) - 1) + ["length"]
    assert all("usage" not in event for event in events)


def test_usage_comes_in_a_stream_where_it_was_asked_for(server: Running) -> None:
    asked = request(stream=True, stream_options={"include_usage": True})
    events = server.post(PATH, asked).events
    usage = server.post(PATH, request()).json["usage"]
    assert [e.get("usage") for e in events if "usage" in e] == [usage]
    assert events[-1]["choices"] == []


def test_log_probabilities_are_those_of_the_tokens(server: Running) -> None:
    asked = request(logprobs=True, top_logprobs=3, temperature=0, max_tokens=4)
    choice = server.post(PATH, asked).json["choices"][0]
    content = choice["logprobs"]["content"]
    assert len(content) == 4
    assert b"".join(bytes(c["bytes"]) for c in content).decode() == choice["message"]["content"]
    for one in content:
        assert one["logprob"] == one["top_logprobs"][0]["logprob"] <= 0
        assert len(one["top_logprobs"]) == 3


def test_a_stop_string_ends_the_answer_before_it(server: Running) -> None:
    whole = server.post(PATH, request()).json["choices"][0]["message"]["content"]
    stop = whole[5:8]
    choice = server.post(PATH, request(stop=[stop])).json["choices"][0]
    assert choice["message"]["content"] == whole[: whole.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_the_system_may_speak_several_times_and_anywhere(chat_server: Running) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        *HELLO,
        {"role": "system", "content": "Be exact."},
    ]
    one = [{"role": "system", "content": "Be brief.\n\nBe kind.\n\nBe exact."}, *HELLO]
    asked = {"temperature": 0, "max_tokens": 4}
    first = chat_server.post(PATH, {**asked, "messages": messages}).json
    second = chat_server.post(PATH, {**asked, "messages": one}).json
    assert first["choices"] == second["choices"]
    assert first["usage"] == second["usage"]


def test_an_assistant_may_say_nothing_but_call_a_tool(server: Running) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    for content in ({}, {"content": None}, {"content": ""}, {"content": []}):
        messages = [
            *HELLO,
            {"role": "assistant", "tool_calls": [call], **content},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ]
        assert server.post(PATH, request(messages=messages)).status == 200


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("messages", [], "messages"),
        ("messages", [{"role": "user"}], "messages[0].content"),
        ("messages", [{"role": "user", "content": 5}], "messages[0].content"),
        ("messages", [{"role": "king", "content": "x"}], "messages[0].role"),
        (
            "messages",
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}],
            "messages[0].content[1]",
        ),
        (
            "messages",
            [*HELLO, {"role": "tool", "content": "1", "tool_call_id": "no"}],
            "messages[1].tool_call_id",
        ),
        ("temperature", "hot", "temperature"),
        ("temperature", -1, "temperature"),
        ("n", 0, "n"),
        ("n", 10**6, "n"),
        ("max_tokens", -1, "max_tokens"),
        ("top_logprobs", 21, "top_logprobs"),
        ("top_logprobs", 2, "top_logprobs"),
        ("stop", [""], "stop[0]"),
        ("stop", ["x"] * 17, "stop"),
        ("logit_bias", {"x": 1}, "logit_bias"),
        ("logit_bias", {"1": 101}, "logit_bias"),
        ("modalities", ["audio"], "modalities"),
        ("audio", {"voice": "x"}, "audio"),
        ("response_format", {"type": "poem"}, "response_format.type"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(
    server: Running, field: str, value: Any, param: str
) -> None:
    answer = server.post(PATH, request(**{field: value}))
    assert answer.status == 400
    error = answer.json["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]


def test_a_prompt_that_does_not_fit_is_refused_before_a_stream_begins(server: Running) -> None:
    long = [{"role": "user", "content": "a dog and a cat " * 300}]
    answer = server.post(PATH, request(messages=long, stream=True))
    error = answer.json["error"]
    assert answer.status == 400
    assert error["code"] == "context_length_exceeded"
    assert error["n_ctx"] == 512 < error["n_prompt_tokens"]


def test_an_unknown_model_is_named(server: Running) -> None:
    answer = server.post(PATH, request(model="gpt-none"))
    assert answer.status == 404
    assert answer.json["error"]["code"] == "model_not_found"
    assert "gpt-none" in answer.json["error"]["message"]


def test_unknown_fields_are_ignored_and_logged(server: Running) -> None:
    assert server.post(PATH, request(flavour="mint", user="someone")).status == 200
    assert server.logged(lambda line: "unknown_fields" in line)["unknown_fields"] == ["flavour"]
