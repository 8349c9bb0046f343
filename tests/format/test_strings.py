"""Many strings in one piece of memory: what a list of them would say."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from llmpy.format import open_gguf, write_gguf
from llmpy.strings import Strings

ESCAPED = bytes(range(128, 256)).decode("utf-8", "surrogateescape")
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
lists = st.lists(texts | st.sampled_from(["a", "ab", "", ESCAPED]), max_size=30)


@given(lists)
def test_they_are_as_a_list(expected: list[str]) -> None:
    strings = Strings.of(expected)
    assert strings is not None
    assert (list(strings), len(strings)) == (expected, len(expected))
    assert [strings[i] for i in range(len(strings))] == expected
    assert strings[1:] == expected[1:]


@given(lists, texts)
def test_places_are_all_that_are_equal(expected: list[str], other: str) -> None:
    strings = Strings.of(expected)
    assert strings is not None
    for wanted in {*expected, other}:
        assert strings.places(wanted) == [i for i, text in enumerate(expected) if text == wanted]


@pytest.mark.parametrize("odd", ["a\0b", "\ud800"])
def test_what_they_cannot_hold(odd: str) -> None:
    assert Strings.of(["x", odd]) is None


def test_a_place_outside_is_an_error() -> None:
    strings = Strings(np.frombuffer(b"a\0b\0", np.uint8))
    assert strings[-1] == "b"
    for place in (2, -3):
        with pytest.raises(IndexError):
            strings[place]


def test_metadata_has_lists(tmp_path) -> None:
    many = [f"word {i}" for i in range(100)]
    path = tmp_path / "many.gguf"
    write_gguf(path, {"many": many, "nested": [many, many[:2]]}, {})
    with open_gguf(path) as file:
        assert isinstance(file.metadata.raw("many"), Strings)
        assert file.metadata["many"] == file.get("many", list) == many
        assert file.metadata["many"] is file.metadata["many"]
        assert file.metadata["nested"] == [many, many[:2]]
        assert set(file.metadata) == {"many", "nested"}
