"""Flows as JSON: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy.apps.flow import Flow, FlowError, load, loads, save
from tests.apps.flow.conftest import made

NODE = {"id": "a", "type": "text"}
EXAMPLES = Path(loads.__code__.co_filename).with_name("examples")


def test_a_flow_is_written_and_read_again(tmp_path: Path) -> None:
    flow = made({"a": ("text", {"text": "é"}), "b": "output"}, "a.value -> b.value")
    flow.nodes[0].position.x = 12.5
    flow.nodes[0].title = "first"
    save(flow, tmp_path / "f.json")
    assert load(tmp_path / "f.json") == flow
    assert json.loads((tmp_path / "f.json").read_bytes())["edges"][0]["sourceHandle"] == "value"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "expected an object"),
        ("{}", "expected an object"),
        ('{"nodes": 3}', "nodes: expected `array`, got `int`"),
        ('{"nodes": [{"id": 7, "type": "text"}]}', "nodes[0].id: expected `str`"),
        ('{"nodes": [{"id": "a"}]}', "nodes[0]: object missing required field `type`"),
        ('{"nodes": [{"id": "a", "type": "text", "position": {"x": 1e9}}]}', "nodes[0].position"),
        ('{"nodes": [{"id": "a", "type": "text", "data": []}]}', "nodes[0].data"),
        ('{"nodes": [{"id": "a\\u0000", "type": "text"}]}', "nodes[0].id: expected 1 to 200"),
        ('{"nodes": [{"id": "", "type": "text"}]}', "nodes[0].id: expected 1 to 200"),
    ],
)
def test_what_is_no_flow_is_refused_with_the_place(data: str, said: str) -> None:
    with pytest.raises(FlowError) as raised:
        loads(data)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nodes": [NODE, NODE]}, "'a' twice"),
        ({"nodes": [NODE] * 2001}, "nodes: expected up to 2000"),
        ({"edges": [{"source": "a", "sourceHandle": "v", "target": "z", "targetHandle": "v"}]},
         "edges[0]: there is no node 'z'"),
        ({"edges": [{"source": "a", "sourceHandle": "v", "target": "a", "targetHandle": "v"}] * 2},
         "edges[1]: the input 'v' has two wires"),
        ({"edges": [{"source": "a", "target": "a"}]}, "missing required field `sourceHandle`"),
    ],
)  # fmt: skip
def test_nodes_and_wires_that_cannot_be_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(FlowError, match=r".") as raised:
        loads(json.dumps({"nodes": [NODE], "edges": [], **change}))
    assert said in str(raised.value)


def test_fields_of_other_programs_are_left_out() -> None:
    flow = loads('{"nodes": [{"id": "a", "type": "text", "width": 3}], "viewport": {"zoom": 1}}')
    assert [node.id for node in flow.nodes] == ["a"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["id", "type", "data", "nodes", "edges", "source", "x"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@given(nodes=JSON, edges=JSON)
@settings(max_examples=150)
def test_any_json_is_a_flow_or_a_flow_error(nodes: Any, edges: Any) -> None:
    try:
        assert isinstance(loads(json.dumps({"nodes": nodes, "edges": edges})), Flow)
    except FlowError as error:
        assert str(error).isprintable()  # noqa: PT017


def test_values_are_set_by_title_or_id() -> None:
    flow = made({"a": "text", "n": "number", "p": "prompt"})
    flow.nodes[0].title = "topic"
    found = flow.with_values({"topic": "owls", "n": "2.5"})
    assert [node.data for node in found.nodes] == [{"text": "owls"}, {"number": 2.5}, {}]
    assert flow.nodes[0].data == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"z": "1"}, "no input of the flow has the name 'z'; there are: 'a', 'n'"),
        ({"p": "1"}, "no input of the flow has the name 'p'"),
        ({"n": "two"}, "n: expected a number, found 'two'"),
        ({"n": "nan"}, "n: expected a number"),
    ],
)
def test_values_that_fit_no_input_are_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(FlowError) as raised:
        made({"a": "text", "n": "number", "p": "prompt"}).with_values(values)
    assert said in str(raised.value)


def test_a_file_that_is_there_says_its_name(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text("[]")
    with pytest.raises(FlowError, match=r"f\.json: expected an object"):
        load(tmp_path / "f.json")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda p: p.stem)
def test_examples_are_flows_without_problems(path: Path) -> None:
    from llmpy.apps.flow.checking import check

    checked = check(load(path))
    assert (checked.nodes, checked.edges) == ({}, {})
    assert json.loads(path.read_bytes())["about"]
