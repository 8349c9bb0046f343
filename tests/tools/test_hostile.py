"""Texts that are no calls, or hardly: they are text, however they are cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy.errors import ToolError
from llmpy.session import ToolCall
from llmpy.tools import CallReader, Layout, parse_calls
from llmpy.tools.layouts import GENERIC, ID, KIND, LAYOUTS, NL, NUMBER

ALL = (*LAYOUTS, GENERIC)
NO_CALLS = [
    "<tool_call>",
    "<tool_call>" * 50,
    "<tool_call>\n{}\n</tool_call>",
    '<tool_call>\n{"name": 5, "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "f", "arguments": [1]}\n</tool_call>',
    '<tool_call>\n{"name": "f", "arguments": {"a": NaN}}\n</tool_call>',
    '<tool_call>\n{"name": "f", "arguments": {}\n</tool_call>',
    '<tool_call>\n{"name": "f", "arguments": {}}',
    '<tool_call>\n{"name": "f g", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "f", "arguments": {"a": ' + "[" * 5000,
    '<tool_call>\n{"name": "f", "arguments": {"a": ' + '{"b":' * 5000,
    '<tool_call>\n{"name": "f", "arguments": {"a": "\\',
    "</tool_call>",
    "a < b",
]


@pytest.mark.parametrize("text", NO_CALLS)
def test_what_is_no_call_is_text(text: str) -> None:
    assert parse_calls(text, GENERIC) == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        "[f(1)]",
        "[f(a=g())]",
        "[f(a=b)]",
        "[f(**x)]",
        "[f(a=1e999)]",
        "[f(a='\\ud800')]",
        "[f(a=(",
        "[]",
    ],
)
def test_what_is_no_call_in_python_is_text(text: str) -> None:
    (layout,) = (layout for layout in ALL if layout.name == "llama 4")
    assert parse_calls(text, layout) == (text, [])


def test_python_has_no_end_of_time() -> None:
    (layout,) = (layout for layout in ALL if layout.name == "llama 4")
    text = "[f(a=" + "(" * 90 + "9" * 5000 + ")" * 90 + ")]"
    assert parse_calls(text, layout) == (text, [])
    written = '[f(a=\'it\\\'s \\u00e9\', b=[True, null, -1.5], c={"d": "\\/"})]'
    assert parse_calls(written, layout)[1][0].arguments == {
        "a": "it's \u00e9",
        "b": [True, None, -1.5],
        "c": {"d": "/"},
    }


def test_arguments_of_10_mb_are_an_error() -> None:
    text = '<tool_call>\n{"name": "f", "arguments": {"a": "' + "x" * 10_000_000
    with pytest.raises(ToolError, match="at most 1048576 characters"):
        parse_calls(text, GENERIC)


def in_pieces(text: str, layout: Layout, sizes: list[int]) -> list[str | ToolCall]:
    reader = CallReader(layout, {})
    parts, at, i = [], 0, 0
    while at < len(text):
        size = sizes[i % len(sizes)]
        parts += reader.add(text[at : at + size])
        at, i = at + size, i + 1
    return merged([*parts, *reader.end()])


def merged(parts: list[str | ToolCall]) -> list[str | ToolCall]:
    """Texts that follow each other as one."""
    found: list[str | ToolCall] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found


SIGNS = re.compile(f"[{NL}{ID}{NUMBER}{KIND}]")


def fragments(layout: Layout) -> list[str]:
    texts = [layout.open, layout.before, layout.after, layout.end, layout.between, layout.close]
    given = ['{"a": 1}', '{"a": "}"}', "a=1", "{", "}", "f", "get", "12345678", " ", "\n", "x < y"]
    whole = layout.example().replace("VALUE", "1")
    cut = [part for text in (*texts, *layout.parameter) for part in SIGNS.split(text)]
    return [whole, whole[:-1], layout.trigger, *filter(None, cut), *given]


@settings(max_examples=150)
@given(st.data())
def test_however_a_text_is_cut_it_says_the_same(data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(ALL))
    text = "".join(data.draw(st.lists(st.sampled_from(fragments(layout)), max_size=12)))
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    whole = in_pieces(text, layout, [max(len(text), 1)])
    assert in_pieces(text, layout, sizes) == whole
    assert in_pieces(text, layout, [1]) == whole
    if not any(isinstance(part, ToolCall) for part in whole):
        assert "".join(map(str, whole)) in (text, layout.primed + text)


def test_what_begins_within_what_was_no_call_is_found() -> None:
    (layout,) = (layout for layout in ALL if layout.name == "functionary 3.2")
    before, (call,) = parse_calls('>f\n{"a": 1}', layout)  # after the ">>>" of the prompt
    assert (before, call.name, call.arguments) == (">", "f", {"a": 1})
    before, (call,) = parse_calls('all\nHello.\n>>>f\n{"a": 1}', layout)
    assert (before, call.name) == ("Hello.", "f")
