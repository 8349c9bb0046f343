"""Typed answers of chats: SmolLM2 fills types, thinking stays free, errors change nothing."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import llmpy


class Mood(enum.Enum):
    HAPPY = "happy"
    SAD = "sad"


@dataclass
class City:
    name: Annotated[str, {"maxLength": 30}]
    country: Annotated[str, {"maxLength": 30}]
    capital: bool


@pytest.fixture(scope="module")
def model(smollm2: Path) -> Any:
    with llmpy.load(smollm2, n_ctx=1024) as model:
        yield model


@pytest.fixture
def chat(model: llmpy.Model) -> llmpy.Chat:
    return model.chat("You answer in JSON.", sampler=llmpy.greedy())


def test_smollm2_fills_a_dataclass(chat: llmpy.Chat) -> None:
    city = chat.parse("Describe Paris: its name, its country, whether it is a capital.", City)
    assert isinstance(city, City)
    assert (city.name, city.country.title(), city.capital) == ("Paris", "France", True)
    assert chat.messages[-1]["role"] == "assistant"
    assert chat.stats is not None
    assert chat.stats.finish_reason == "end"
    assert chat.ask("Thank you!", max_tokens=5)  # the conversation goes on


def test_enums_and_probabilities(chat: llmpy.Chat) -> None:
    parsed = chat.parse("I won the lottery! How do I feel: happy or sad?", Mood, details=True)
    assert parsed.value is Mood.HAPPY
    assert parsed.probabilities.keys() == {""}
    assert 0.5 < parsed.probabilities[""] <= 1.0
    assert parsed.probability == pytest.approx(parsed.probabilities[""])


def test_partial_answers_grow(chat: llmpy.Chat) -> None:
    seen = list(chat.parse("Describe Rome: name, country, capital.", City, stream=True))
    assert [p.complete for p in seen] == [False] * (len(seen) - 1) + [True]
    assert isinstance(seen[-1].value, City)
    names = [p.value.get("name", "") for p in seen[:-1] if p.value]
    assert names[-1] == seen[-1].value.name
    assert all(names[-1].startswith(name) for name in names)


def test_an_answer_that_is_cut_short_leaves_the_chat_as_it_was(chat: llmpy.Chat) -> None:
    chat.ask("Hello!", max_tokens=3)
    before = list(chat.messages)
    with pytest.raises(llmpy.AnswerError, match="max_tokens") as caught:
        chat.parse("Describe Rome.", City, max_tokens=4)
    assert caught.value.text.startswith("{")
    assert caught.value.finish_reason == "length"
    assert chat.messages == before
    assert chat.parse("Say yes or no.", Literal["yes", "no"]) in ("yes", "no")


def test_asyncio(chat: llmpy.Chat) -> None:
    async def main() -> tuple[City, list[Any]]:
        city = await chat.aparse("Describe Paris: name, country, capital.", City)
        growing = chat.aparse("And Rome?", City, stream=True)
        return city, [parsed async for parsed in growing]

    city, seen = asyncio.run(main())
    assert city.name == "Paris"
    assert seen[-1].complete


def test_ask_and_say_and_generate_take_constraints(model: llmpy.Model, chat: llmpy.Chat) -> None:
    answer = chat.ask("Is fire hot?", constrain=llmpy.choices(["yes", "no"]))
    assert answer in ("yes", "no")
    pieces = list(chat.retry(constrain=llmpy.regex("[A-Z]{3}")))
    assert len("".join(p.text for p in pieces)) == 3
    texts = model.generate(["One", "Two"], constrain=llmpy.regex(" [0-9]{4}"), seed=1)
    assert all(len(text.text.strip()) == 4 for text in texts)


def test_thinking_is_free_and_the_answer_constrained(model: llmpy.Model) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    script = iter(model.tokenizer.encode("Hm, let me see.</think>"))

    def scripted(logits: Any, _: Any) -> Any:
        token = next(script, None)
        if token is not None:
            logits[:] = -float("inf")
            logits[token] = 0.0
        return logits

    chat = model.chat(template=template, sampler=scripted, seed=1)
    pieces = list(chat.say("Hot or cold?", constrain=llmpy.choices(["hot", "cold"])))
    assert "".join(p.text for p in pieces if p.kind == "thinking") == "Hm, let me see."
    assert chat.messages[-1]["content"] in ("hot", "cold")
