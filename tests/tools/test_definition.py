"""Tools of functions and dicts: their schemas, and arguments as the functions take them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import llmpy
from llmpy.session import ToolCall
from llmpy.tools import Tool, called


class Unit(enum.Enum):
    CELSIUS = "C"
    KELVIN = "K"


@dataclass
class Place:
    name: str
    far: bool = False


def look(
    place: Place,
    unit: Unit,
    days: Annotated[int, range(1, 8), "how many days"] = 1,
    note: Annotated[str | None, Field(description="a note")] = None,
    *,
    kind: Literal["near", "far"] = "near",
) -> dict[str, Any]:
    """Look at the weather.

    It is often bad.

    Args:
        place: where,
            exactly
        kind (str): which kind

    Returns:
        days: no argument
    """
    return {"place": place.name, "unit": unit.name, "days": days, "note": note, "kind": kind}


def test_a_function_is_described_by_its_hints_and_its_docstring() -> None:
    tool = Tool.of(look)
    assert tool.name == "look"
    assert tool.description == "Look at the weather.\n\nIt is often bad."
    properties = tool.schema["properties"]
    assert list(properties) == ["place", "unit", "days", "note", "kind"]
    assert properties["place"]["description"] == "where, exactly"
    assert properties["days"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 7,
        "description": "how many days",
        "default": 1,
    }
    assert properties["note"]["description"] == "a note"
    assert properties["kind"]["description"] == "which kind"
    assert tool.schema["required"] == ["place", "unit"]
    assert tool.schema["additionalProperties"] is False
    assert tool.as_dict()["function"]["parameters"]["properties"].keys() == properties.keys()


def test_a_function_gets_values_of_its_types() -> None:
    given = {"place": {"name": "Rome"}, "unit": "K", "days": 3}
    text = called(ToolCall("1", "look", given), [Tool.of(look)], 5)
    assert text == '{"place": "Rome", "unit": "KELVIN", "days": 3, "note": null, "kind": "near"}'


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (ToolCall("1", "see", {}), "Error: there is no tool 'see'; there are look"),
        (ToolCall("1", "look", {}), "Error: expected the fields"),
        (ToolCall("1", "look", {"place": {"name": "x"}, "unit": "F"}), "Error: 'F' is none of"),
    ],
)
def test_a_call_that_does_not_fit_is_told_to_the_model(call: ToolCall, message: str) -> None:
    assert called(call, [Tool.of(look)], 5).startswith(message)


def test_results_are_texts_or_json() -> None:
    def result_of(value: Any) -> str:
        def give() -> Any:
            return value

        return called(ToolCall("1", "give", {}), [Tool.of(give)], 5)

    assert result_of("a\ud800b") == "a?b"
    assert result_of([1, "\u00e9", None]) == '[1, "\u00e9", null]'
    assert result_of({1: Unit}).startswith('{"1": ')
    assert result_of("x" * 2_000_000).startswith("Error: ValueError: expected a result of at most")


class Callable:
    """Callable objects are tools too."""

    def __call__(self, a: int) -> int:
        """Double a number."""
        return 2 * a

    def method(self, a: int) -> int:
        """Halve a number.

        :param a: the number
        """
        return a // 2


def test_methods_and_objects() -> None:
    tool = Tool.of(Callable().method)
    assert tool.schema["properties"]["a"]["description"] == "the number"
    assert called(ToolCall("1", "method", {"a": 8}), [tool], 5) == "4"
    assert called(ToolCall("1", "Callable", {"a": 8}), [Tool.of(Callable())], 5) == "16"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (5, TypeError, "expected functions, dicts or llmpy.Tool"),
        (lambda a: a, ValueError, "name: expected 1 to 64 letters"),
        ({"type": "custom"}, ValueError, "type: expected 'function'"),
        ({"function": {}}, ValueError, "expected a dict with a name"),
        ({"name": "f", "parameters": {"type": "array"}}, ValueError, "of type 'object'"),
        ({"name": "f", "parameters": []}, TypeError, None),
        ({"name": "f", "description": 5}, TypeError, "description"),
    ],
)
def test_what_is_no_tool_is_refused(given: Any, error: Any, message: str | None) -> None:
    if message is None:  # empty: no parameters
        assert Tool.of(given).schema == {"type": "object", "additionalProperties": False}
        return
    with pytest.raises(error, match=message):
        Tool.of(given)


def test_the_names_are_public() -> None:
    assert llmpy.Tool is Tool
    assert llmpy.ToolCall is ToolCall
    assert issubclass(llmpy.ToolError, llmpy.LlmpyError)
