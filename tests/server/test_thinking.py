"""What a model thinks before it answers, in the words of each API, and never in the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Running, serving
from tests.server.described import Description

CHAT = "/v1/chat/completions"
ASK: list[Any] = [{"role": "user", "content": "Once upon a time"}]
# The prompt opens the thinking, which this model never ends by itself.
TEMPLATE = "{{ messages[-1].content }}{% if add_generation_prompt %}<think>{% endif %}"


@pytest.fixture(scope="module")
def thinker(stories: Path) -> Iterator[Running]:
    with serving(f"m={stories}", template=TEMPLATE, n_ctx=256) as running:
        yield running


@pytest.fixture(scope="module")
def thought(thinker: Running) -> str:
    """What it thinks, greedily."""
    prompt = thinker.post("/apply-template", {"messages": ASK}).json["prompt"]
    assert prompt.endswith("<think>")
    tokens = thinker.post("/tokenize", {"content": prompt, "add_special": True}).json["tokens"]
    asked = {"prompt": tokens, "temperature": 0, "max_tokens": 12}
    return str(thinker.post("/v1/completions", asked).json["choices"][0]["text"]).strip()


def test_a_limit_within_thinking_leaves_no_content(thinker: Running, thought: str) -> None:
    asked = {"messages": ASK, "temperature": 0, "max_tokens": 12}
    answer = thinker.post(CHAT, asked).json
    choice = answer["choices"][0]
    assert choice["message"]["reasoning_content"] == thought
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 12
    deltas = [
        e["choices"][0]["delta"] for e in thinker.post(CHAT, {**asked, "stream": True}).events
    ]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == thought
    assert "".join(delta.get("content", "") for delta in deltas) == ""


def test_every_api_has_its_own_place_for_it(thinker: Running, thought: str) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": ASK, "temperature": 0, "max_tokens": 12}
    block = thinker.post("/v1/messages", asked).json["content"][0]
    assert (block["type"], block["thinking"]) == ("thinking", thought)
    kinds = [e["type"] for e in thinker.post("/v1/messages", {**asked, "stream": True}).events]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1
    options = {"temperature": 0, "num_predict": 12}
    local = {"model": "m", "messages": ASK, "options": options, "stream": False}
    message = thinker.post("/api/chat", local).json["message"]
    assert (message["thinking"], message["content"]) == (thought, "")
    asked = {"input": ASK, "temperature": 0, "max_output_tokens": 12}
    item = thinker.post("/v1/responses", asked).json["output"][0]
    assert (item["type"], item["content"][0]["text"]) == ("reasoning", thought)


def test_events_of_thinking_are_as_the_description_has_them(
    thinker: Running, shared_data: Callable[[str], Path]
) -> None:
    description = Description(shared_data("openai/openapi.json"))
    asked = {"input": ASK, "max_output_tokens": 12, "stream": True}
    events = thinker.post("/v1/responses", asked).events
    kinds = {event["type"] for event in events}
    assert {"response.reasoning_text.delta", "response.reasoning_text.done"} <= kinds
    for event in events:
        assert description.problems("ResponseStreamEvent", event) == []


def test_a_schema_holds_for_the_answer_and_not_for_thinking(thinker: Running, thought: str) -> None:
    asked = {"messages": ASK, "temperature": 0, "max_tokens": 12,
             "response_format": {"type": "json_object"}}  # fmt: skip
    message = thinker.post(CHAT, asked).json["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == (thought, "")
