"""What `ChatLlmpy` answers beside llmpy itself, and what it refuses."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_llmpy import ChatLlmpy

import llmpy
from tools import fetch_models

QUESTION = "What is the capital of France?"
PATH = str(fetch_models.path_of("smollm2"))


@pytest.fixture(scope="module")
def chat() -> ChatLlmpy:
    return ChatLlmpy(model=PATH, n_ctx=2048, temperature=0, max_tokens=12)


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


def test_an_answer_is_that_of_llmpy(chat: ChatLlmpy) -> None:
    expected = llmpy.load(PATH, n_ctx=2048).chat("Be brief. Be kind.", temperature=0)
    messages = [SystemMessage("Be brief. Be kind."), HumanMessage(QUESTION)]
    answer = chat.invoke(messages)
    assert answer.content.strip() == expected.ask(QUESTION, max_tokens=12)
    assert answer.usage_metadata["output_tokens"] == expected.stats.n_generated
    assert answer.response_metadata["finish_reason"] == expected.stats.finish_reason


def test_system_messages_are_joined(chat: ChatLlmpy) -> None:
    parts = [SystemMessage("Be brief."), SystemMessage("Be kind."), HumanMessage(QUESTION)]
    joined = [SystemMessage("Be brief.\n\nBe kind."), HumanMessage(QUESTION)]
    assert chat.invoke(parts).content == chat.invoke(joined).content


def test_a_tool_is_called_and_its_result_read(chat: ChatLlmpy) -> None:
    asked = [HumanMessage("What is the weather in Paris?")]
    forced = chat.bind_tools([weather], tool_choice="weather", max_tokens=60)
    answer = forced.invoke(asked)
    (call,) = answer.tool_calls
    result = ToolMessage(weather(**call["args"]), tool_call_id=call["id"])
    text = chat.bind_tools([weather]).invoke([*asked, answer, result]).content
    assert text
    assert text != chat.bind_tools([weather]).invoke(asked).content


def test_an_image_is_refused(chat: ChatLlmpy) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    with pytest.raises(TypeError, match="expected a part of type 'text', found 'image_url'"):
        chat.invoke([HumanMessage([image])])


def test_an_unknown_method_is_refused(chat: ChatLlmpy) -> None:
    with pytest.raises(ValueError, match="method: expected one of json_schema"):
        chat.with_structured_output({"title": "x", "type": "object"}, method="yaml")
