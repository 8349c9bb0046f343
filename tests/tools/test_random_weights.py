"""Whatever the weights say, calls parse and their arguments are valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import llmpy
from llmpy.tools import Tool, parse_calls, toolset
from llmpy.tools.grammar import calls_constraint
from llmpy.tools.layouts import GENERIC, LAYOUTS, Layout

LOOK = Tool(
    "look_up",
    "Look something up.",
    {
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": 12},
            "kind": {"enum": ["near", "far"]},
            "n": {"type": "integer", "minimum": -5, "maximum": 99},
            "exact": {"type": "boolean"},
            "who": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
        },
        "required": ["text", "n"],
    },
)
NOTHING = Tool("now")
TOOLS = (LOOK, NOTHING)


@pytest.fixture(scope="module")
def stories(shared_data: Callable[[str], Path]) -> Iterator[llmpy.Model]:
    with llmpy.load(shared_data("weights/stories260K/stories260K.gguf")) as model:
        yield model


TAKEN = [layout for layout in (*LAYOUTS, GENERIC) if not layout.channels]  # which need tokens


@pytest.mark.parametrize("layout", TAKEN, ids=lambda layout: layout.name)
def test_calls_are_valid(stories: llmpy.Model, layout: Layout) -> None:
    schemas = {tool.name: tool.schema for tool in TOOLS}
    constraint = calls_constraint(layout, TOOLS, stories.tokenizer, required=True, parallel=False)
    for seed in range(2):
        sampler = llmpy.chain(llmpy.temperature(3.0))
        session = stories.session(sampler=sampler, seed=seed)
        stats = session.infer("Once", constrain=constraint, max_tokens=1200)
        assert stats.finish_reason == "end"
        text = "".join(session.tokenizer.decode(session.tokens).partition("Once")[2:])
        shown, calls = parse_calls(text.strip(), layout, schemas)
        assert (shown, len(calls)) == ("", 1)
        Draft202012Validator(schemas[calls[0].name]).validate(calls[0].arguments)


def test_toolsets_say_what_they_are() -> None:
    assert toolset(None) is None
    given = toolset([LOOK], "none")
    assert given is not None
    assert given.definitions is None
