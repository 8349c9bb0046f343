"""JSON that is not finished: what it says so far, and where its values stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy.constraints import leaves, partial_value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("{", {}),
        ('{"a', {}),
        ('{"a": ', {}),
        ('{"a": 1', {}),
        ('{"a": 1,', {"a": 1}),
        ('{"a": "b', {"a": "b"}),
        ('{"a": "b\\', {"a": "b"}),
        ('{"a": "b\\u00', {"a": "b"}),
        ('{"a": tru', {}),
        ('{"a": true', {"a": True}),
        ('[1, [2, "x', [1, [2, "x"]]),
        ('"abc', "abc"),
        ("12", None),
    ],
)
def test_what_a_beginning_says(text: str, value: Any) -> None:
    assert partial_value(text) == value


@settings(max_examples=60)
@given(JSON)
def test_every_beginning_is_read_and_the_whole_is_the_value(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for end in range(len(text)):
        partial_value(text[:end])
    assert partial_value(text + " ") == value


def test_leaves() -> None:
    text = '{"a": [1, {"b/c": "xyz"}], "d": {}}'
    found = {leaf.pointer: text[leaf.start : leaf.end] for leaf in leaves(text)}
    assert found == {"/a/0": "1", "/a/1/b~1c": '"xyz"', "/d": "{}"}
