"""OpenAI's own client, unmodified, and its own description of the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from llmpy.server.api import (
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from tests.server.conftest import Running, serving
from tests.server.described import Description

HELLO: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
CHAT, TEXTS = "/v1/chat/completions", "/v1/completions"


def test_the_first_example_of_the_client_works(smollm2: Path) -> None:
    with (
        serving(f"gpt-5.5={smollm2}") as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none") as client,
    ):
        response = client.responses.create(
            model="gpt-5.5",
            instructions="You are a coding assistant that talks like a pirate.",
            input="How do I check if a Python object is an instance of a class?",
            max_output_tokens=48,
            temperature=0,
        )
        assert "isinstance" in response.output_text
        completion = client.chat.completions.create(
            model="gpt-5.5",
            messages=[
                {"role": "developer", "content": "Talk like a pirate."},
                {
                    "role": "user",
                    "content": "How do I check if a Python object is an instance of a class?",
                },
            ],
            max_tokens=48,
            temperature=0,
        )
        assert "isinstance" in (completion.choices[0].message.content or "")


def test_a_streamed_chat(client: openai.OpenAI) -> None:
    asked: Any = {"model": "smollm2", "messages": HELLO, "temperature": 0, "max_tokens": 12}
    whole = client.chat.completions.create(**asked)
    stream = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_a_streamed_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="smollm2", input="Say hello.", temperature=0) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    whole = client.responses.create(model="smollm2", input="Say hello.", temperature=0)
    assert final.output_text == whole.output_text != ""
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert final.usage == whole.usage


def test_texts_vectors_and_models(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="smollm2", prompt="One, two,", max_tokens=4)
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 4
    found = client.embeddings.create(model="smollm2", input=["one", "two"])
    assert [len(item.embedding) for item in found.data] == [576, 576]
    assert [model.id for model in client.models.list()] == ["smollm2"]
    assert client.models.retrieve("smollm2").owned_by == "llmpy"


def test_errors_are_those_that_the_client_knows(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-none"):
        client.chat.completions.create(model="gpt-none", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="temperature") as caught:
        client.chat.completions.create(model="smollm2", messages=HELLO, temperature=-1)
    assert caught.value.param == "temperature"


def test_a_response_goes_on_with_what_came_before(client: openai.OpenAI) -> None:
    first = client.responses.create(model="smollm2", input="Say hello.", max_output_tokens=12)
    history: list[Any] = [{"role": "user", "content": "Say hello."}, *first.output]
    history.append({"role": "user", "content": "And now in French."})
    second = client.responses.create(model="smollm2", input=history, max_output_tokens=4)
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens + 10


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[1].content[0]"),
        ({"role": "user", "content": 5}, "input[1].content"),
        ({"type": "computer_call"}, "input[1].type"),
        ({"type": "function_call_output", "call_id": "x", "output": "1"}, "input[1].tool_call_id"),
    ],
)
def test_a_wrong_item_is_refused_by_its_path(server: Running, item: Any, param: str) -> None:
    answer = server.post("/v1/responses", {"input": [*HELLO, item], "max_output_tokens": 4})
    assert answer.status == 400
    assert answer.json["error"]["param"] == param


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"logprobs": True, "top_logprobs": 2}], ids=str)
def test_chats_are_as_the_description_has_them(
    server: Running, description: Description, more: dict[str, Any]
) -> None:
    asked = {"messages": HELLO, "max_tokens": 5, "stream_options": {"include_usage": True}, **more}
    assert description.problems("CreateChatCompletionRequest", {"model": "m", **asked}) == []
    whole = server.post(CHAT, asked).json
    assert description.problems("CreateChatCompletionResponse", whole) == []
    events = server.post(CHAT, {**asked, "stream": True}).events
    assert len(events) > 5
    for event in events:
        assert description.problems("CreateChatCompletionStreamResponse", event) == []


@pytest.mark.parametrize("more", [{}, {"logprobs": 2}, {"echo": True, "n": 2}], ids=str)
def test_completions_are_as_the_description_has_them(
    server: Running, description: Description, more: dict[str, Any]
) -> None:
    asked = {"prompt": "Once", "max_tokens": 5, **more}
    assert description.problems("CreateCompletionResponse", server.post(TEXTS, asked).json) == []
    assert server.post(TEXTS, {**asked, "stream": True}).events


@pytest.mark.parametrize("more", [{}, {"include": ["message.output_text.logprobs"]}], ids=str)
def test_responses_are_as_the_description_has_them(
    server: Running, description: Description, more: dict[str, Any]
) -> None:
    asked = {"input": "Hello", "max_output_tokens": 5, **more}
    assert description.problems("Response", server.post("/v1/responses", asked).json) == []
    events = server.post("/v1/responses", {**asked, "stream": True}).events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        assert description.problems("ResponseStreamEvent", event) == []


def test_vectors_models_and_errors_are_as_the_description_has_them(
    server: Running, description: Description
) -> None:
    found = server.post("/v1/embeddings", {"input": "Hello"}).json
    assert description.problems("CreateEmbeddingResponse", found) == []
    assert description.problems("ListModelsResponse", server.ask("GET", "/v1/models").json) == []
    wrong = server.post(CHAT, {}).json
    assert description.problems("ErrorResponse", wrong) == []


@pytest.mark.parametrize(
    ("schema", "module", "request_type"),
    [
        ("CreateChatCompletionRequest", openai_chat, openai_chat.ChatRequest),
        ("CreateCompletionRequest", openai_completions, openai_completions.CompletionRequest),
        ("CreateEmbeddingRequest", openai_embeddings, openai_embeddings.EmbeddingRequest),
        ("CreateResponse", openai_responses, openai_responses.ResponseRequest),
    ],
)
def test_every_field_of_the_description_is_honoured_refused_or_listed_as_ignored(
    description: Description, schema: str, module: Any, request_type: Any
) -> None:
    honoured = set(request_type.__struct_fields__)
    assert description.fields(schema) - honoured - module.REFUSED.keys() == module.IGNORED.keys()
    assert module.REFUSED.keys() <= description.fields(schema)
    assert not honoured & (module.REFUSED.keys() | module.IGNORED.keys())


@pytest.mark.parametrize(
    ("path", "module", "request_body"),
    [
        (CHAT, openai_chat, {"messages": HELLO}),
        ("/v1/responses", openai_responses, {"input": "x"}),
    ],
)
def test_fields_that_are_not_honoured_are_refused_by_name(
    server: Running, path: str, module: Any, request_body: Any
) -> None:
    for field in module.REFUSED:
        answer = server.post(path, {**request_body, field: ["x"]})
        assert answer.status == 400
        assert answer.json["error"]["param"] == field
        assert server.post(path, {**request_body, field: None, "max_tokens": 1,
                                  "max_output_tokens": 1}).status == 200  # fmt: skip
