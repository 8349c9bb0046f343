"""Answers that must be JSON, valid by a schema, in the words of each API."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.server.conftest import Running

CHAT = "/v1/chat/completions"
ASK: list[Any] = [{"role": "user", "content": "Describe Paris in JSON."}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "people": {"type": "integer", "minimum": 0, "maximum": 99999999},
        "kind": {"enum": ["town", "capital"]},
    },
    "required": ["city", "people", "kind"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}


def chat(**more: Any) -> dict[str, Any]:
    return {"messages": ASK, "seed": 5, "max_tokens": 120, "response_format": FORMAT, **more}


def check(text: str) -> None:
    jsonschema.validate(json.loads(text), SCHEMA)


def test_a_chat_answers_by_a_schema(chat_server: Running) -> None:
    answer = chat_server.post(CHAT, chat(n=3)).json
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "stop"
        check(choice["message"]["content"])
    assert len({choice["message"]["content"] for choice in answer["choices"]}) > 1


def test_a_stream_by_a_schema_says_the_same(chat_server: Running) -> None:
    whole = chat_server.post(CHAT, chat()).json["choices"][0]["message"]["content"]
    events = chat_server.post(CHAT, chat(stream=True)).events
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in events) == whole


def test_log_probabilities_come_with_a_schema(chat_server: Running) -> None:
    choice = chat_server.post(CHAT, chat(logprobs=True, top_logprobs=1)).json["choices"][0]
    content = choice["message"]["content"]
    check(content)
    tokens = choice["logprobs"]["content"]
    assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == content


def test_an_object_has_the_properties_that_its_schema_names(chat_server: Running) -> None:
    schema = {k: v for k, v in SCHEMA.items() if k != "additionalProperties"}
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    answer = chat_server.post(CHAT, chat(n=3, response_format=form)).json
    for choice in answer["choices"]:
        check(choice["message"]["content"])


OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [OPEN, OPEN]},
        {"not": OPEN},
        {**OPEN, "if": {"required": ["a"]}},
        {**OPEN, "patternProperties": {"^b": {}}},
        {**OPEN, "additionalProperties": {"type": "integer"}},
        {"type": "object"},
    ],
)
def test_a_schema_that_says_more_is_taken_as_it_is(schema: dict[str, Any]) -> None:
    from llmpy.server.api.conversation import _only_named

    assert _only_named(schema) == schema


def test_any_object_will_do(chat_server: Running) -> None:
    asked = chat(response_format={"type": "json_object"}, max_tokens=200, temperature=0)
    choice = chat_server.post(CHAT, asked).json["choices"][0]
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    assert choice["message"]["content"].startswith("{")


def test_every_api_has_its_own_words_for_it(chat_server: Running) -> None:
    asked: dict[str, Any] = {"model": "smollm2", "messages": ASK}
    form = {"type": "json_schema", "name": "city", "schema": SCHEMA}
    response = chat_server.post("/v1/responses", {"input": ASK, "text": {"format": form}}).json
    check(response["output"][0]["content"][0]["text"])
    message = chat_server.post(
        "/v1/messages", {**asked, "max_tokens": 120, "output_config": {"format": form}}
    ).json
    check(message["content"][0]["text"])
    local = chat_server.post("/api/chat", {**asked, "format": SCHEMA, "stream": False}).json
    check(local["message"]["content"])


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"type": "json_schema"}, "response_format.schema"),
        ({"type": "json_schema", "json_schema": {"name": "x"}},
         "response_format.json_schema.schema"),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "spaceship"}}},
         "response_format"),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "string", "pattern": "("}}},
         "response_format"),
        ({"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}},
         "response_format"),
    ],
    ids=str,
)  # fmt: skip
def test_a_schema_that_cannot_be_followed_is_refused(
    server: Running, form: Any, param: str
) -> None:
    answer = server.post(CHAT, chat(response_format=form))
    assert answer.status == 400
    assert answer.json["error"]["param"] == param


def test_constrained_and_other_answers_go_together(chat_server: Running) -> None:
    from concurrent.futures import ThreadPoolExecutor

    plain = {"messages": ASK, "seed": 5, "max_tokens": 24}
    alone = [chat_server.post(CHAT, body).json["choices"] for body in (chat(), plain)]
    with ThreadPoolExecutor(6) as threads:
        bodies = [chat() if i % 2 == 0 else plain for i in range(6)]
        found = list(threads.map(lambda body: chat_server.post(CHAT, body).json, bodies))
    assert [answer["choices"] for answer in found] == alone * 3
