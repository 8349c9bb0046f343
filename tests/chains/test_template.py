"""Prompt templates: fields, values, and what is not a field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.chains import Passage, Template


def test_fields_are_replaced_by_values() -> None:
    template = Template("Translate to {{language}}: {{ text }} ({{language}})")
    assert template.names == ("language", "text")
    assert template.render({"language": "French", "text": "cat"}) == (
        "Translate to French: cat (French)"
    )


@given(st.text())
def test_a_value_is_inserted_as_it_is(value: str) -> None:
    assert Template("<{{a}}>").render({"a": value}) == f"<{value}>"


def test_fields_in_values_are_text() -> None:
    assert Template("{{a}}{{b}}").render({"a": "{{b}}", "b": "x"}) == "{{b}}x"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["a", "b"], "a\n\nb"),
        ([1, 2], "[1, 2]"),
        ({"é": None}, '{"é": null}'),
        (True, "true"),
        ([Passage("a", "b", 1, 0.5)], '[{"text": "a", "source": "b", "line": 1, "score": 0.5}]'),
    ],
)
def test_values_other_than_texts_are_written_as_json(value: object, text: str) -> None:
    assert Template("{{a}}").render({"a": value}) == text


def test_single_braces_are_text() -> None:
    assert Template('Reply as {"a": {}}').render({}) == 'Reply as {"a": {}}'


@pytest.mark.parametrize("source", ["{{}}", "{{a b}}", "{{1a}}", "{{a.b}}"])
def test_braces_around_no_name_are_an_error(source: str) -> None:
    with pytest.raises(ValueError, match=r"expected \{\{name\}\}"):
        Template(source)


def test_a_field_without_a_value_is_named() -> None:
    with pytest.raises(ValueError, match="values for a, b, found none for b"):
        Template("{{a}} {{b}}").render({"a": 1})
