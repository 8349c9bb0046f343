"""The clients of Anthropic and Ollama, unmodified, and what their APIs have of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import ollama
import pytest

from tests.server.conftest import Running

HELLO: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
ASKED: dict[str, Any] = {"temperature": 0}
MESSAGES = "/v1/messages"


@pytest.fixture(scope="module")
def expected(chat_server: Running) -> str:
    """What the model answers, through another API."""
    asked = {"messages": HELLO, "max_tokens": 12, **ASKED}
    answer = chat_server.post("/v1/chat/completions", asked).json
    return str(answer["choices"][0]["message"]["content"])


@pytest.fixture
def claude(chat_server: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=chat_server.url, api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
def client(chat_server: Running) -> Iterator[ollama.Client]:
    found = ollama.Client(host=chat_server.url)
    yield found
    found._client.close()


# Anthropic


def test_a_message(claude: anthropic.Anthropic, expected: str) -> None:
    message = claude.messages.create(
        model="smollm2", messages=HELLO, max_tokens=12, extra_body=ASKED
    )
    assert message.content[0].type == "text"
    assert message.content[0].text == expected
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 12


def test_a_streamed_message(claude: anthropic.Anthropic, expected: str) -> None:
    with claude.messages.stream(
        model="smollm2", messages=HELLO, max_tokens=12, extra_body=ASKED
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == expected
    assert message.usage.output_tokens == 12
    counted = claude.messages.count_tokens(model="smollm2", messages=HELLO)
    assert message.usage.input_tokens == counted.input_tokens > 10


def test_input_tokens_are_told_at_the_start_of_a_stream(server: Running) -> None:
    asked = {"model": "stories", "messages": HELLO, "max_tokens": 4, "stream": True}
    events = server.post(MESSAGES, asked).events
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    counted = server.post(f"{MESSAGES}/count_tokens", asked).json["input_tokens"]
    assert events[0]["message"]["usage"]["input_tokens"] == counted


def test_a_stop_sequence_is_named(server: Running) -> None:
    asked = {"model": "stories", "messages": HELLO, "max_tokens": 16, "seed": 3}
    text = server.post(MESSAGES, asked).json["content"][0]["text"]
    stop = text[4:7]
    answer = server.post(MESSAGES, {**asked, "stop_sequences": ["never", stop]}).json
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", stop)
    assert answer["content"][0]["text"] == text[: text.index(stop)]


def test_an_answer_goes_on_with_what_was_begun(chat_server: Running) -> None:
    begun = [*HELLO, {"role": "assistant", "content": "The capital of France is"}]
    asked = {"model": "smollm2", "messages": begun, "max_tokens": 3, **ASKED}
    answer = chat_server.post(MESSAGES, asked).json
    assert answer["content"][0]["text"].startswith(" Paris")


def test_thinking_tools_and_system_turns_of_before_are_taken(server: Running) -> None:
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How warm is it?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I look.", "signature": "x"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I will look."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "20"},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    asked = {"model": "stories", "messages": history, "max_tokens": 4,
             "system": [{"type": "text", "text": "Be kind."}]}  # fmt: skip
    assert server.post(MESSAGES, asked).status == 200


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"max_tokens": 0}, "max_tokens: expected 1"),
        ({"messages": []}, "messages: expected one"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]},
         "messages[0].content[0]: expected a block of type 'text', found 'image'"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role: expected one of"),
        ({"tools": [{"name": "a b"}]}, "tools: name: expected"),
    ],
    ids=str,
)  # fmt: skip
def test_errors_have_anthropics_shape(server: Running, more: Any, message: str) -> None:
    asked = {"model": "stories", "messages": HELLO, "max_tokens": 4, **more}
    answer = server.post(MESSAGES, asked)
    assert answer.status == 400
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.json["error"]["message"].startswith(message)


def test_the_client_knows_the_errors_and_the_models(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="claude"):
        claude.messages.create(model="claude", messages=HELLO, max_tokens=4)
    assert [model.id for model in claude.models.list()] == ["smollm2"]


# Ollama


def test_a_chat(client: ollama.Client, expected: str) -> None:
    options = {"temperature": 0, "num_predict": 12}
    answer = client.chat(model="smollm2:latest", messages=HELLO, options=options)
    assert answer.message.content == expected
    assert (answer.done_reason, answer.eval_count) == ("length", 12)
    assert answer.prompt_eval_duration is not None
    assert answer.prompt_eval_duration > 0
    parts = list(client.chat(model="smollm2", messages=HELLO, options=options, stream=True))
    assert "".join(part.message.content or "" for part in parts) == expected
    assert [part.done for part in parts[-2:]] == [False, True]


def test_a_text_is_answered_or_goes_on_as_it_stands(client: ollama.Client, expected: str) -> None:
    options = {"temperature": 0, "num_predict": 12}
    prompt = HELLO[0]["content"]
    assert client.generate("smollm2", prompt, options=options).response == expected
    raw = client.generate("smollm2", "One, two, three,", raw=True, options=options)
    assert raw.response.startswith(" four")


def test_vectors(client: ollama.Client, chat_server: Running) -> None:
    found = client.embed("smollm2", ["one", "two"])
    data = chat_server.post("/v1/embeddings", {"input": ["one", "two"]}).json["data"]
    assert [list(row) for row in found.embeddings] == [item["embedding"] for item in data]
    assert list(client.embeddings("smollm2", "one").embedding) == data[0]["embedding"]


def test_models_are_listed_and_shown(client: ollama.Client) -> None:
    (model,) = client.list().models
    assert (model.model, model.details and model.details.family) == ("smollm2", "llama")
    shown = client.show("smollm2")
    assert shown.capabilities == ["completion"]
    assert shown.template is not None
    assert "<|im_start|>" in shown.template
    assert [loaded.name for loaded in client.ps().models] == ["smollm2"]
    assert client.pull("smollm2").status == "success"
    with pytest.raises(ollama.ResponseError, match="over HTTP"):
        client.delete("smollm2")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"format": "xml"}, "format: "),
        ({"options": {"mirostat": 3}}, "mirostat: "),
        ({"options": {"temperature": -1}}, "temperature: "),
        ({"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]},
         "messages[0].images: "),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0]: "),
        ({"keep_alive": "long"}, "keep_alive: "),
        ({"model": "none"}, "there is no model 'none'"),
    ],
    ids=str,
)  # fmt: skip
def test_errors_have_ollamas_shape(server: Running, more: Any, message: str) -> None:
    answer = server.post("/api/chat", {"model": "stories", "messages": HELLO, **more})
    assert answer.status in (400, 404)
    assert answer.json["error"].startswith(message)


@pytest.mark.parametrize(("given", "expected"), [("5m", 300), (2, 2), ("-1", None), ("1.5h", 5400)])
def test_times_that_a_model_stays(given: Any, expected: float | None) -> None:
    from llmpy.server.api.ollama import seconds_of

    assert seconds_of(given) == expected
