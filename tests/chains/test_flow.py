"""Steps in sequence, over lists and by map-reduce: their types, their order, their errors."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import llmpy
from llmpy import chains
from llmpy.chains.step import Run, Steps

NO_MODEL: Any = chains.Runner()


def upper(text: str) -> str:
    return text.upper()


def words(text: str) -> list[str]:
    return text.split()


def count(parts: list[str]) -> int:
    return len(parts)


def greet(name: str, greeting: str) -> str:
    return f"{greeting}, {name}!"


@dataclass(frozen=True)
class Reverse(chains.Step):
    """A step that is not llmpy's own."""

    kind: ClassVar[str] = "reverse"
    read: str = "text"

    @property
    def needs(self) -> dict[str, Any]:
        return {self.read: str}

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        run.check()
        yield values[self.read][:3]
        return values[self.read][::-1]


def test_a_step_reads_what_those_before_it_wrote() -> None:
    chain = chains.Call(upper) | chains.Call(words, into="parts") | chains.Call(count, into="n")
    assert NO_MODEL.run(chain, text="a b c") == 3


def test_a_chain_needs_what_no_step_writes() -> None:
    chain = chains.Call(greet) | chains.Call(upper)
    assert chain.needs == {"name": str, "greeting": str}
    assert NO_MODEL.run(chain, name="Ada", greeting="Hi") == "HI, ADA!"


def test_types_of_steps_are_compared_when_they_are_joined() -> None:
    with pytest.raises(
        TypeError, match=r"step 2 \(call\) reads 'text' as str, but step 1 \(call\)"
    ):
        chains.Call(words) | chains.Call(upper)


def test_a_value_of_another_type_is_refused_before_the_step_runs() -> None:
    with pytest.raises(TypeError, match="call: text: expected str, found int"):
        NO_MODEL.run(chains.Call(upper), text=3)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(ValueError, match="expected a value 'greeting', found only: name"):
        NO_MODEL.run(chains.Call(greet), name="Ada")


def test_a_result_of_another_type_is_an_error() -> None:
    def wrong(text: str) -> int:
        return text  # type: ignore[return-value]

    with pytest.raises(TypeError, match="call: expected it to give int, found str"):
        NO_MODEL.run(chains.Call(wrong), text="a")


def test_a_map_keeps_the_order_of_its_items() -> None:
    chain = chains.Call(words, into="parts") | chains.Map(chains.Call(upper), parallel=8)
    items = [f"w{i}" for i in range(100)]
    assert NO_MODEL.run(chain, text=" ".join(items)) == [item.upper() for item in items]


def test_a_map_gives_its_step_the_other_values() -> None:
    chain = chains.Map(chains.Call(greet), over="names", each="name")
    assert chain.needs == {"greeting": str, "names": list[str]}
    assert NO_MODEL.run(chain, names=["A", "B"], greeting="Hi") == ["Hi, A!", "Hi, B!"]


def test_a_map_of_nothing_is_nothing() -> None:
    assert NO_MODEL.run(chains.Map(chains.Call(upper)), parts=[]) == []


def test_a_map_runs_as_many_at_once_as_it_says() -> None:
    barrier = threading.Barrier(3)

    def meet(text: str) -> str:
        barrier.wait(10)
        return text

    assert NO_MODEL.run(chains.Map(chains.Call(meet), parallel=3), parts=["a", "b", "c"])


def test_an_error_of_one_item_ends_the_map() -> None:
    def fail(text: str) -> str:
        raise KeyError(text)

    with pytest.raises(KeyError):
        NO_MODEL.run(chains.Map(chains.Call(fail), parallel=2), parts=["a"] * 50)


def test_a_step_of_ones_own_streams_and_returns() -> None:
    events = list(NO_MODEL.stream(Reverse() | chains.Call(upper), text="abcd"))
    assert [(event.kind, event.path) for event in events] == [
        ("start", "steps"),
        ("start", "1 reverse"),
        ("text", "1 reverse"),
        ("value", "1 reverse"),
        ("start", "2 call"),
        ("value", "2 call"),
        ("value", "steps"),
    ]
    assert events[2].text == "abc"
    assert events[-1].value == "DCBA"


def test_paths_say_where_in_nested_steps_an_event_is_from() -> None:
    inner = chains.Sequential((chains.Call(upper), Reverse()))
    chain = chains.Call(words, into="parts") | chains.Map(inner, parallel=1)
    paths = {event.path for event in NO_MODEL.stream(chain, text="a b")}
    assert "2 map/2 steps/1 call" in paths


def test_a_long_text_is_mapped_in_parts_and_reduced_until_one_is_left(model: llmpy.Model) -> None:
    text = "".join(f"Sentence number {i} is here. " for i in range(40))
    lengths: list[int] = []

    def first(text: str) -> str:
        lengths.append(len(model.tokenizer.encode(text)))
        return text[:18]

    def joined(text: str) -> str:
        return f"({text})".replace("\n\n", "+")[:60]

    chain = chains.MapReduce(chains.Call(first), chains.Call(joined), tokens=30, parallel=1)
    with chains.Runner(model) as runner:
        events = list(runner.stream(chain, text=text))
    assert max(lengths) <= 30
    assert len(lengths) > 4
    assert events[-1].value.startswith("(((Sentence number 0")
    assert any(event.path.startswith("reduce ") for event in events)


def test_a_text_that_fits_is_mapped_once(runner: chains.Runner) -> None:
    chain = chains.MapReduce(
        chains.Call(upper), chains.Call(words, into="x") | Reverse(), tokens=50
    )
    assert runner.run(chain, text="short") == "SHORT"


def test_a_map_reduce_takes_steps_from_text_to_text() -> None:
    with pytest.raises(TypeError, match="reduce: expected a step that reads and gives a text"):
        chains.MapReduce(chains.Call(upper), chains.Call(words))


@pytest.mark.parametrize("parallel", [0, 65])
def test_the_number_at_once_is_checked(parallel: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 64"):
        chains.Map(chains.Call(upper), parallel=parallel)


def test_a_chain_prints_its_steps_with_their_types() -> None:
    chain = chains.Split(100) | chains.Map(chains.Ask("Shorten: {{text}}", max_tokens=9))
    chain |= chains.Ask("Join: {{parts}}", into="all")
    assert str(chain).splitlines() == [
        "steps (text: str)",
        "  1 split tokens=100 -> parts: list[str]",
        "  2 map -> parts: list[str]",
        '        ask "Shorten: {{text}}", max_tokens=9 -> text: str',
        '  3 ask "Join: {{parts}}" -> all: str',
    ]
