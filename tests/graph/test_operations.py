"""The operation table: the shape that each operation gives, and what it says of shapes that it
cannot take.
"""

from __future__ import annotations

from typing import Any

import pytest

from llmpy.backends.reference import OPERATIONS
from llmpy.errors import GraphError
from llmpy.graph import OPS, Graph, Rope, Shape

EXPERTS = [(4, 96, 64), (4, 96, 64), (4, 64, 96)]  # gate, up, down

# operation, input shapes, weight shapes, attributes, shape of the result
GOOD: list[tuple[str, list[Shape], list[Shape], dict[str, Any], Shape]] = [
    ("embed", [], [(100, 64)], {}, (64,)),
    ("rms_norm", [(64,)], [(64,)], {"eps": 1e-5}, (64,)),
    ("rms_norm", [(4, 16)], [(16,)], {"eps": 1e-5}, (4, 16)),
    ("linear", [(64,)], [(96, 64)], {}, (96,)),
    ("linear", [(64,)], [(96, 64), (96,)], {}, (96,)),
    ("linear", [(1,)], [(1, 1)], {}, (1,)),
    ("heads", [(64,)], [], {"n": 4}, (4, 16)),
    ("heads", [(4, 16)], [], {"n": 1}, (1, 64)),
    ("rope", [(4, 16)], [], {"rope": Rope(16)}, (4, 16)),
    ("rope", [(4, 16)], [], {"rope": Rope(8)}, (4, 16)),
    ("rope", [(4, 16)], [(8,)], {"rope": Rope(16)}, (4, 16)),
    ("rope", [(4, 16)], [(4,)], {"rope": Rope(8)}, (4, 16)),
    ("cached", [(2, 16)], [], {"index": 0}, (2, 16)),
    ("attend", [(4, 16), (2, 16), (2, 16)], [], {}, (64,)),
    ("attend", [(4, 16), (1, 16), (1, 24)], [], {}, (96,)),
    ("add", [(64,), (64,)], [], {}, (64,)),
    ("mul", [(4, 16), (4, 16)], [], {}, (4, 16)),
    ("scale", [(64,)], [], {"factor": 2.0}, (64,)),
    ("silu", [(96,)], [], {}, (96,)),
    ("mixture", [(64,), (4,)], EXPERTS, {"n_used": 2}, (64,)),
    ("mixture", [(64,), (4,)], EXPERTS, {"n_used": 4}, (64,)),
    ("wanted", [(64,)], [], {}, (64,)),
]

# operation, input shapes, weight shapes, attributes, what the error must say
BAD: list[tuple[str, list[Shape], list[Shape], dict[str, Any], list[str]]] = [
    ("embed", [], [(64,)], {}, ["n_vocab, n_embd", "(64,)"]),
    ("embed", [], [(2, 3, 4)], {}, ["n_vocab, n_embd", "(2, 3, 4)"]),
    ("rms_norm", [(64,)], [(63,)], {}, ["expected shape (64,)", "found (63,)"]),
    ("rms_norm", [(64,)], [(1, 64)], {}, ["expected shape (64,)", "found (1, 64)"]),
    ("rms_norm", [(4, 16)], [(64,)], {}, ["expected shape (16,)", "found (64,)"]),
    ("linear", [(64,)], [(64, 96)], {}, ["(n_out, 64)", "found (64, 96)"]),
    ("linear", [(64,)], [(64,)], {}, ["(n_out, 64)", "found (64,)"]),
    ("linear", [(64,)], [(2, 96, 64)], {}, ["(n_out, 64)", "found (2, 96, 64)"]),
    ("linear", [(64,)], [(96, 64), (64,)], {}, ["bias", "(96,)", "found (64,)"]),
    ("linear", [(64,)], [(96, 64), (96, 1)], {}, ["bias", "(96,)", "found (96, 1)"]),
    ("linear", [(4, 16)], [(96, 64)], {}, ["vector", "(4, 16)"]),
    ("heads", [(64,)], [], {"n": 5}, ["64 values", "5 heads"]),
    ("heads", [(64,)], [], {"n": 0}, ["64 values", "0 heads"]),
    ("heads", [(64,)], [], {"n": -4}, ["64 values", "-4 heads"]),
    ("heads", [(64,)], [], {"n": 128}, ["64 values", "128 heads"]),
    ("rope", [(64,)], [], {"rope": Rope(16)}, ["heads", "(64,)"]),
    ("rope", [(4, 16)], [], {"rope": Rope(18)}, ["18 rotated", "heads of 16"]),
    ("rope", [(4, 16)], [], {"rope": Rope(7)}, ["7 rotated", "heads of 16"]),
    ("rope", [(4, 16)], [], {"rope": Rope(0)}, ["0 rotated", "heads of 16"]),
    ("rope", [(4, 16)], [(16,)], {"rope": Rope(16)}, ["factors", "(8,)", "found (16,)"]),
    ("attend", [(4, 16), (2, 8), (2, 8)], [], {}, ["queries of 16", "keys of 8"]),
    ("attend", [(4, 16), (2, 16), (1, 16)], [], {}, ["2 key heads", "1 value heads"]),
    ("attend", [(4, 16), (3, 16), (3, 16)], [], {}, ["4 query heads", "3 key heads"]),
    ("attend", [(2, 16), (4, 16), (4, 16)], [], {}, ["2 query heads", "4 key heads"]),
    ("attend", [(64,), (2, 16), (2, 16)], [], {}, ["heads", "(64,)"]),
    ("attend", [(4, 16), (32,), (2, 16)], [], {}, ["heads", "(32,)"]),
    ("attend", [(4, 16), (2, 16), (32,)], [], {}, ["heads", "(32,)"]),
    ("add", [(64,), (96,)], [], {}, ["(64,)", "(96,)"]),
    ("add", [(64,), (4, 16)], [], {}, ["(64,)", "(4, 16)"]),
    ("mul", [(64,), (1,)], [], {}, ["(64,)", "(1,)"]),
    ("mixture", [(64,), (4,)], EXPERTS, {"n_used": 5}, ["1 to 4 experts", "found 5"]),
    ("mixture", [(64,), (4,)], EXPERTS, {"n_used": 0}, ["1 to 4 experts", "found 0"]),
    ("mixture", [(64,), (8,)], EXPERTS, {"n_used": 2}, ["(8, n_ff, 64)", "(4, 96, 64)"]),
    ("mixture", [(64,), (4,)], [(96, 64), *EXPERTS[1:]], {"n_used": 2}, ["experts", "(96, 64)"]),
    (
        "mixture",
        [(64,), (4,)],
        [EXPERTS[0], (4, 80, 64), EXPERTS[2]],
        {"n_used": 2},
        ["(4, n_ff, 64)", "(4, 80, 64)"],
    ),
    ("mixture", [(64,), (4,)], [EXPERTS[0]] * 3, {"n_used": 2}, ["(4, 64, n_ff)", "(4, 96, 64)"]),
    ("mixture", [(4, 16), (4,)], EXPERTS, {"n_used": 2}, ["vector", "(4, 16)"]),
]


@pytest.mark.parametrize(("op", "inputs", "weights", "attrs", "expected"), GOOD)
def test_shape(
    op: str, inputs: list[Shape], weights: list[Shape], attrs: dict[str, Any], expected: Shape
) -> None:
    assert OPS[op].rule(inputs, weights, attrs) == expected


@pytest.mark.parametrize(("op", "inputs", "weights", "attrs", "said"), BAD)
def test_shape_refused(
    op: str, inputs: list[Shape], weights: list[Shape], attrs: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(GraphError) as caught:
        OPS[op].rule(inputs, weights, attrs)
    for words in said:
        assert words in str(caught.value)


def test_every_operation_is_tried() -> None:
    assert {row[0] for row in GOOD} == set(OPS)


def test_every_row_gives_an_operation_as_many_values_as_it_takes() -> None:
    for op, inputs, *_ in [*GOOD, *BAD]:
        assert len(inputs) == OPS[op].inputs, op


def test_every_operation_has_its_definition_in_the_reference_backend() -> None:
    assert set(OPERATIONS) == set(OPS)


def test_an_error_names_operation_and_tensors() -> None:
    graph = Graph({"token_embd.weight": (10, 4), "a.weight": (6, 5), "a.bias": (6,)})
    x = graph.add("embed", (), ("token_embd.weight",))
    with pytest.raises(GraphError, match=r"^linear with 'a\.weight' and 'a\.bias': expected"):
        graph.add("linear", (x.index,), ("a.weight", "a.bias"))


def test_a_refused_operation_leaves_nothing_behind() -> None:
    graph = Graph({"token_embd.weight": (10, 4), "a.weight": (6, 5)})
    x = graph.add("embed", (), ("token_embd.weight",))
    with pytest.raises(GraphError):
        graph.add("linear", (x.index,), ("a.weight",))
    assert len(graph.nodes) == 1
    assert "a.weight" not in graph.used
