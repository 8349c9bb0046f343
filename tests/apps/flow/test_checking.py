"""Types of wires: which fit, what a node's ports are, and what is said of those that do not fit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import pytest

from llmpy.apps.flow.checking import check
from llmpy.apps.flow.types import Folder, Item, fits, is_of, type_name
from tests.apps.flow.conftest import made

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"}, "glad": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}}, "mood": {"enum": ["a", "b"]},
        "more": {"type": "object"}, "left": {"type": "string"},
    },
    "required": ["name", "age", "glad", "tags", "mood", "more"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (str, "text"), (int, "number"), (float, "number"), (bool, "boolean"), (Any, "any"),
        (dict, "json"), (dict[str, Any], "json"), (list[str], "list[text]"), (list, "list[any]"),
        (list[list[float]], "list[list[number]]"), (Path, "file"), (Folder, "folder"), (Item, "T"),
        (Literal["a", "b"], "text"), (str | None, "text"), (str | int, "any"),
        (list[Item], "list[T]"),
    ],
)  # fmt: skip
def test_python_types_have_names(hint: Any, name: str) -> None:
    assert type_name(hint) == name


def test_a_type_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="expected str, int"):
        type_name(complex)


@pytest.mark.parametrize(
    ("given", "wanted", "good"),
    [
        ("text", "text", True), ("text", "any", True), ("any", "number", True),
        ("number", "text", False), ("boolean", "number", False), ("list[text]", "text", False),
        ("list[text]", "list[any]", True), ("list[any]", "list[text]", True),
        ("list[number]", "list[text]", False), ("list[text]", "any", True),
        ("text", "list[text]", False), ("file", "text", False), ("folder", "file", False),
    ],
)  # fmt: skip
def test_types_fit(given: str, wanted: str, good: bool) -> None:
    assert fits(given, wanted) is good


@pytest.mark.parametrize(
    ("value", "kind", "good"),
    [
        ("x", "text", True), (1, "text", False), (1, "number", True), (True, "number", False),
        ([1, 2.5], "list[number]", True), ([1, "x"], "list[number]", False), ({}, "json", True),
        ([], "json", False), (None, "any", True), (False, "boolean", True),
    ],
)  # fmt: skip
def test_values_are_of_types(value: Any, kind: str, good: bool) -> None:
    assert is_of(value, kind) is good


def test_a_wire_that_does_not_fit_says_so() -> None:
    flow = made({"n": "number", "g": "generate"}, "n.value -> g.prompt")
    said = "it carries a number, and 'prompt' takes a text: put a Prompt in between"
    assert check(flow).edges == {0: said}


def test_a_list_where_one_item_is_taken_leads_to_map() -> None:
    flow = made({"l": ("list", {"lines": "a"}), "g": "generate"}, "l.items -> g.prompt")
    assert (
        check(flow)
        .edges[0]
        .endswith("a list of texts, and 'prompt' takes a text: use Map over list")
    )


@pytest.mark.parametrize(
    ("wire", "said"),
    [("a.nothing -> o.value", "Text has no output 'nothing'"),
     ("a.value -> o.nothing", "Output has no input 'nothing'")],
)  # fmt: skip
def test_a_wire_to_a_port_that_is_not_there_says_so(wire: str, said: str) -> None:
    assert check(made({"a": "text", "o": "output"}, wire)).edges == {0: said}


def test_wires_in_a_circle_say_so_and_others_do_not() -> None:
    flow = made(
        {"a": "prompt", "b": "prompt", "c": "prompt", "t": "text"},
        "a.text -> b.text", "b.text -> a.text", "b.text -> c.text",
    )  # fmt: skip
    found = check(flow).edges
    assert set(found) == {0, 1}
    assert "circle" in found[0]


def test_a_large_flow_of_circles_is_checked_without_delay() -> None:
    n = 2000
    nodes = {f"p{i}": ("prompt", {"template": "{{a}}{{b}}{{c}}{{d}}"}) for i in range(n)}
    wires = [
        f"p{(i * 7 + k) % n}.text -> p{i}.{name}" for i in range(n) for k, name in enumerate("abcd")
    ]
    began = time.monotonic()
    assert len(check(made(nodes, *wires)).edges) > n
    assert time.monotonic() - began < 20  # a generous guard against squares


def test_an_input_without_a_wire_is_a_problem_unless_it_may_be_left_out() -> None:
    found = check(made({"c": "chart", "l": ("list", {"inputs": 3})}))
    assert found.nodes == {"c": "the input 'values' has no wire"}


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("generate", {"max_tokens": 0}, "max_tokens: expected a whole number from 1 to 1000000"),
        ("generate", {"max_tokens": True}, "max_tokens: expected a whole number"),
        ("generate", {"way": "sing"}, "way: expected answer, continue, found 'sing'"),
        ("generate", {"volume": 3}, "volume: generate has the settings model, system"),
        ("prompt", {"template": "{{a b}}"}, "expected {{name}}"),
        ("text", {"text": 3}, "text: expected a text, found 3"),
        ("structured", {"schema": []}, "schema: expected an object, found []"),
        ("python", {"code": "x = 1"}, "code: expected a function"),
        ("python", {"code": "def f(:"}, "code: this is no Python"),
        ("python", {"code": "def f(*a): pass"}, "without *"),
        ("map", {"then": "embed", "each": {"volume": 1}}, "each.volume"),
        ("magic", {}, "there is no kind of node 'magic'"),
    ],
)
def test_settings_that_are_wrong_are_problems_of_the_node(
    kind: str, data: dict[str, Any], said: str
) -> None:
    assert said in check(made({"x": (kind, data)})).nodes["x"]


def outputs(found: Any, id: str) -> dict[str, str]:
    return {port.name: port.type for port in found.ports[id].outputs}


def inputs(found: Any, id: str) -> dict[str, str]:
    return {port.name: port.type for port in found.ports[id].inputs}


def test_names_of_a_template_are_inputs() -> None:
    found = check(made({"p": ("prompt", {"template": "{{b}} {{a}} {{b}}"})}))
    assert inputs(found, "p") == {"b": "any", "a": "any"}


def test_required_properties_of_a_schema_are_outputs_with_their_types() -> None:
    found = check(made({"s": ("structured", {"schema": SCHEMA})}))
    assert outputs(found, "s") == {
        "value": "json", "name": "text", "age": "number", "glad": "boolean", "tags": "list[text]",
        "mood": "text", "more": "json",
    }  # fmt: skip


def test_hints_of_a_python_function_are_its_ports() -> None:
    code = "def no(): pass\ndef f(a: str, b: list[float], c: int = 2, d=None) -> list[dict]: ..."
    found = check(made({"p": ("python", {"code": code})}))
    ports = found.ports["p"].inputs
    assert [(p.name, p.type, p.required) for p in ports] == [
        ("a", "text", True), ("b", "list[number]", True), ("c", "number", False),
        ("d", "any", False),
    ]  # fmt: skip
    assert outputs(found, "p") == {"value": "list[json]"}


def test_a_type_variable_takes_the_type_of_the_wire_through_several_nodes() -> None:
    flow = made(
        {"l": "list", "f": "filter", "i": "if", "c": "chart"},
        "l.items -> f.items", "f.kept -> i.input", "i.yes -> c.values",
    )  # fmt: skip
    found = check(flow)
    assert outputs(found, "f") == {"kept": "list[text]", "others": "list[text]"}
    assert outputs(found, "i") == {"yes": "list[text]", "no": "list[text]"}
    assert "a list of texts, and 'values' takes a list of numbers" in found.edges[2]


def test_a_list_of_wires_of_one_type_is_of_that_type_and_else_of_any() -> None:
    nodes = {"a": "number", "b": "number", "t": "text", "l": ("list", {"inputs": 2})}
    same = check(made(nodes, "a.value -> l.item 1", "b.value -> l.item 2"))
    assert outputs(same, "l") == {"items": "list[number]"}
    mixed = check(made(nodes, "a.value -> l.item 1", "t.value -> l.item 2"))
    assert outputs(mixed, "l") == {"items": "list[any]"}


@pytest.mark.parametrize(
    ("data", "gives"),
    [({}, "list[text]"), ({"then": "embed"}, "list[list[number]]"),
     ({"then": "text"}, "list[text]"), ({"then": "structured"}, "list[json]"),
     ({"then": "dates"}, "list[text]"),
     ({"then": "structured", "each": {"schema": {"type": "number"}}}, "list[number]")],
)  # fmt: skip
def test_map_gives_a_list_of_what_the_kind_gives(data: dict[str, Any], gives: str) -> None:
    assert outputs(check(made({"m": ("map", data)})), "m") == {"results": gives}


def test_other_names_of_a_maps_template_are_inputs() -> None:
    found = check(made({"m": ("map", {"template": "{{item}} in {{language}}"})}))
    assert inputs(found, "m") == {"items": "list[any]", "language": "any"}
