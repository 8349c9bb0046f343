"""Chains as YAML: what is written is read again, and what is wrong is said in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmpy
from llmpy import chains

TEXTS = st.text(
    st.characters(exclude_characters="{}", exclude_categories=["Cs", "Cc"]), max_size=40
)


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"It is sunny in {city}."


CHAINS = [
    chains.Ask(
        "Name {{what}}.", "Be brief.", max_tokens=5, stop=("a", "b"), temperature=0.5, seed=1
    ),
    chains.Ask("A number.", schema={"type": "integer"}),
    chains.Complete("Once", sampler="top-k:k=40/temperature:0.7"),
    chains.Converse("{{text}}", budget=99, memory="m"),
    chains.UseTools("{{text}}", tools=("get_weather",), max_rounds=2, timeout=1.5),
    chains.Call("get_weather", read=("city",)),
    chains.Search("docs", k=2, store="x.db") | chains.Cite("{{question}}", model="smollm2"),
    chains.Sequential((chains.Split(9, 2), chains.Map(chains.Ask("{{text}}"))), model="a/b.gguf"),
    chains.MapReduce(chains.Ask("{{text}}"), chains.Ask("{{text}} {{style}}"), tokens=99),
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.kind)
def test_a_chain_is_read_as_it_was_written(chain: chains.Step) -> None:
    assert chains.from_yaml(chains.to_yaml(chain)) == chain


def test_every_kind_of_step_is_among_these() -> None:
    found = {type(step) for chain in CHAINS for step in (chain, *getattr(chain, "steps", ()))}
    exported = {getattr(chains, name) for name in chains.__all__}
    kinds = {one for one in exported if isinstance(one, type) and issubclass(one, chains.Step)}
    assert kinds - {chains.Step} == found


@given(TEXTS, TEXTS.filter(bool), st.integers(1, 10**6))
def test_any_prompt_is_read_as_it_was_written(prompt: str, stop: str, n: int) -> None:
    chain = chains.Ask(prompt, stop=(stop,), max_tokens=n)
    assert chains.from_yaml(chains.to_yaml(chain)) == chain


def test_yaml_is_what_one_would_write(tmp_path: Path) -> None:
    chain = chains.Ask("Name {{what}}.", max_tokens=5) | chains.Ask("Why {{text}}?", into="why")
    chains.save(dataclasses.replace(chain, model="smollm2"), tmp_path / "chain.yaml")
    assert (tmp_path / "chain.yaml").read_text().splitlines() == [
        "steps:",
        "- ask: Name {{what}}.",
        "  max_tokens: 5",
        "- ask: Why {{text}}?",
        "  into: why",
        "model: smollm2",
    ]
    assert chains.load(tmp_path / "chain.yaml").needs == {"what": Any}


def test_functions_are_written_by_their_names(model: llmpy.Model) -> None:
    text = chains.to_yaml(chains.Call(get_weather))
    with chains.Runner(model, functions=[get_weather]) as runner:
        assert runner.run(chains.from_yaml(text), city="Rome") == "It is sunny in Rome."


def test_types_are_written_as_schemas() -> None:
    text = chains.to_yaml(chains.Ask("A number.", schema=list[int]))
    assert chains.from_yaml(text) == chains.Ask(
        "A number.", schema={"type": "array", "items": {"type": "integer"}}
    )


def test_a_model_that_is_no_name_has_no_yaml(model: llmpy.Model) -> None:
    with pytest.raises(TypeError, match="expected its name for YAML"):
        chains.to_yaml(chains.Ask("a", model=model))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping with a step, found NoneType"),
        ("- ask: a", "expected a mapping with a step, found list"),
        ("steps: []", "steps: expected one step or more"),
        ("steps: {ask: a}", "steps: expected a list, found dict"),
        ("steps:\n- a", r"steps\[0\]: expected a mapping with a step, found str"),
        ("steps:\n- ask: a\n- sak: b", r"steps\[1\]: expected one of ask, .*, found sak"),
        ("ask: a\nmax_token: 3", "ask: expected ask, system, .*, found 'max_token'"),
        ("ask: a\nmax_tokens: many", r"max_tokens: expected `int \| null`, found `str`"),
        ("ask: 3", "ask: expected `str`, found `int`"),
        ("ask: '{{a b}}'", r"expected \{\{name\}\}"),
        ("ask: a\nstop: [1]", r"stop: expected `str`, found `int` - at `\$\[0\]`"),
        ("ask: a\nmodel: [1]", "model: expected `str`, found `array`"),
        ("ask: a\nschema: int", "schema: expected `object`, found `str`"),
        ("split: 5\noverlap: true", "overlap: expected `int`, found `bool`"),
        ("map: {call: f, read: [text]}\nparallel: 0", "parallel: expected 1 to 64"),
        ("ask: [a\n", "expected YAML, found .* in line 2"),
        ("ask: !!python/object/apply:os.system [ls]", "expected YAML, found could not determine"),
        ("a: &a [x]\nb: *a", "without aliases"),
        ("[" * 5000, "nested up to 50 deep"),
        ("ask: " + "a" * (1 << 20), "expected at most"),
        (
            "steps:\n- split: 5\n- map: {ask: '{{text}}'}\n  into: text\n- split: 5",
            "reads 'text' as",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        chains.from_yaml(text)
    assert "\n" not in str(error.value)


def test_a_file_is_named_in_its_error(tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text("no: step")
    with pytest.raises(ValueError, match=r"chain\.yaml: chain: expected one of"):
        chains.load(tmp_path / "chain.yaml")
