"""Steps that ask a model give what the model's own methods give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

import llmpy
from llmpy import chains

FIXED: dict[str, Any] = {"temperature": 0.0, "max_tokens": 12}


@dataclass
class City:
    """A typed answer."""

    name: str
    kind: Literal["town", "city"]


def test_ask_answers_as_a_chat_does(model: llmpy.Model, runner: chains.Runner) -> None:
    answer = runner.run(chains.Ask("Name {{what}}.", "Be brief.", **FIXED), what="a city")
    with model.chat("Be brief.", temperature=0) as chat:
        assert answer == chat.ask("Name a city.", max_tokens=12)


def test_the_texts_of_events_are_the_answer(runner: chains.Runner) -> None:
    events = list(runner.stream(chains.Ask("Name a city.", **FIXED)))
    assert "".join(event.text for event in events if event.kind == "text") == events[-1].value
    assert events[-1].stats is not None
    assert events[-1].stats.n_generated == 12


def test_a_schema_makes_the_answer_a_value_of_the_type(runner: chains.Runner) -> None:
    step = chains.Ask("Describe {{city}} as JSON.", schema=City, temperature=0.0)
    assert step.gives is City
    found = runner.run(step, city="Rome")
    assert isinstance(found, City)
    assert found.kind in ("town", "city")


def test_a_schema_in_json_makes_it_a_dict(runner: chains.Runner) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}}}
    schema |= {"required": ["n"], "additionalProperties": False}
    assert runner.run(chains.Ask("A number as JSON.", schema=schema, seed=1)).keys() == {"n"}


def test_complete_continues_as_generate_does(model: llmpy.Model, runner: chains.Runner) -> None:
    prompt = "Once upon a time, there was a little girl. " * 20
    text = runner.run(chains.Complete(prompt + "{{end}}", **FIXED), end="She")
    assert text == model.generate(prompt + "She", temperature=0, max_tokens=12).text


def test_stop_ends_an_answer(runner: chains.Runner) -> None:
    whole = runner.run(chains.Ask("Name a city.", **FIXED))
    step = chains.Ask("Name a city.", stop=(whole[4:8],), **FIXED)
    assert runner.run(step) == whole[: whole.index(whole[4:8])].rstrip()


def test_a_conversation_goes_on_and_stays_within_its_budget(
    model: llmpy.Model, runner: chains.Runner
) -> None:
    step = chains.Converse("{{text}}", "Be brief.", temperature=0.0, max_tokens=16, budget=120)
    for i in range(8):
        runner.run(step, text=f"This is message number {i}.")
        messages = runner.memory["messages"]
        assert messages[-2]["content"] == f"This is message number {i}."
        with model.chat("Be brief.", messages=messages) as chat:
            assert len(chat.template.encode(chat.messages)) <= 120 + 16
    assert [message["role"] for message in messages] == ["user", "assistant"] * (len(messages) // 2)
    assert 2 < len(messages) < 16


def test_a_conversation_is_what_a_chat_is(model: llmpy.Model, runner: chains.Runner) -> None:
    step = chains.Converse("{{text}}", temperature=0.0, max_tokens=16)
    answers = [runner.run(step, text=text) for text in ("Name a colour.", "Another one?")]
    with model.chat(temperature=0) as chat:
        assert answers == [chat.ask(t, max_tokens=16) for t in ("Name a colour.", "Another one?")]
        assert runner.memory["messages"] == chat.messages[-4:]


def test_a_message_that_does_not_fit_is_refused(runner: chains.Runner) -> None:
    with pytest.raises(
        ValueError, match="fits into budget=50 tokens with max_tokens=20, found one"
    ):
        runner.run(chains.Converse("word " * 60, max_tokens=20, budget=50))
    assert runner.memory == {}


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"It is sunny in {city}."


def test_tools_are_called_until_there_is_an_answer(model: llmpy.Model) -> None:
    step = chains.UseTools(
        "What is the weather in Rome?",
        tools=("get_weather",),
        tool_choice="get_weather",
        temperature=0.0,
        max_tokens=60,
    )
    with chains.Runner(model, functions=[get_weather]) as runner:
        events = list(runner.stream(step))
    kinds = [event.kind for event in events]
    assert kinds.index("tool_call") < kinds.index("tool_result") < kinds.index("text")
    result = next(event for event in events if event.kind == "tool_result")
    assert result.text.startswith("It is sunny in ")
    assert events[-1].value


def test_the_rounds_of_tools_are_limited(runner: chains.Runner) -> None:
    step = chains.UseTools(
        "Weather?",
        tools=(get_weather,),
        tool_choice="get_weather",
        max_rounds=1,
        max_tokens=100,
        seed=1,
    )
    with pytest.raises(llmpy.ToolError, match="after 1 rounds"):
        runner.run(step)


def test_an_unknown_function_is_named(model: llmpy.Model) -> None:
    with (
        chains.Runner(model, functions=[get_weather]) as runner,
        pytest.raises(ValueError, match=r"'get_time' is none of the runner's \(get_weather\)"),
    ):
        runner.run(chains.UseTools("Time?", tools=("get_time",)))


def test_a_prompt_that_does_not_fit_says_so(runner: chains.Runner) -> None:
    with pytest.raises(llmpy.ContextFull):
        runner.run(chains.Ask("{{text}}"), text="word " * 2000)
