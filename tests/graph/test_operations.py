"""The operation table: the shape that each operation gives, and what it says of shapes that it
cannot take.
"""

from __future__ import annotations

from typing import Any

import pytest

from llmpy.backends.reference.backend import OPERATIONS
from llmpy.errors import GraphError
from llmpy.graph import ELEMENTWISE, OPS, Graph, Rope, Shape, Weights
from llmpy.graph.attributes import Scale

EXPERTS = [(4, 96, 64), (4, 96, 64), (4, 64, 96)]  # gate, up, down
BIASES = [(4, 96), (4, 96), (4, 64)]
TOP_2 = {"n_used": 2, "activation": "silu"}
ROUTE = {
    "n_used": 2, "gating": "softmax", "normalize": True, "factor": 1.0, "n_group": 1,
    "n_group_used": 1,
}  # fmt: skip
ATTEND, EPS, STATE = {"scale": 1.0, "window": 0}, {"eps": 1e-5}, {"state": 0}

# operation, input shapes, weight shapes, attributes, shape of the result
GOOD: list[tuple[str, list[Shape], list[Shape], dict[str, Any], Shape]] = [
    ("tokens", [], [], {}, ()),
    ("embed", [()], [(100, 64)], {}, (64,)),
    ("embed_position", [()], [(100, 64)], {"offset": 2}, (64,)),
    ("embed_row", [()], [(2, 64)], {"row": 1}, (64,)),
    ("rms_norm", [(64,)], [(64,)], EPS, (64,)),
    ("rms_norm", [(4, 16)], [(16,)], EPS, (4, 16)),
    ("rms_norm", [(4, 16)], [(4, 16)], EPS, (4, 16)),
    ("rms_norm", [(4, 16)], [], EPS, (4, 16)),
    ("layer_norm", [(64,)], [(64,), (64,)], EPS, (64,)),
    ("layer_norm", [(4, 16)], [(4, 16)], EPS, (4, 16)),
    ("linear", [(64,)], [(96, 64)], {}, (96,)),
    ("linear", [(64,)], [(96, 64), (96,)], {}, (96,)),
    ("linear", [(1,)], [(1, 1)], {}, (1,)),
    ("linear_heads", [(4, 16)], [(4, 24, 16)], {}, (4, 24)),
    ("heads", [(64,)], [], {"n": 4}, (4, 16)),
    ("heads", [(4, 16)], [], {"n": 1}, (1, 64)),
    ("flatten", [(4, 16)], [], {}, (64,)),
    ("slice", [(64,)], [], {"start": 60, "size": 4}, (4,)),
    ("slice", [(4, 16)], [], {"start": 0, "size": 8}, (4, 8)),
    ("concat", [(64,), (3,)], [], {}, (67,)),
    ("concat", [(4, 16), (4, 8)], [], {}, (4, 24)),
    ("repeat", [(2, 16)], [], {"n": 6}, (6, 16)),
    ("rope", [(4, 16)], [], {"rope": Rope(16)}, (4, 16)),
    ("rope", [(4, 16)], [], {"rope": Rope(8)}, (4, 16)),
    ("rope", [(4, 16)], [(8,)], {"rope": Rope(16)}, (4, 16)),
    ("rope", [(4, 16)], [(4,)], {"rope": Rope(8)}, (4, 16)),
    ("cached", [(2, 16)], [], {"index": 0}, (2, 16)),
    ("attend", [(4, 16), (2, 16), (2, 16)], [], ATTEND, (64,)),
    ("attend", [(4, 16), (1, 16), (1, 24)], [], ATTEND, (96,)),
    ("attend", [(4, 16), (1, 16), (1, 24)], [(4,)], ATTEND, (96,)),
    ("add", [(64,), (64,)], [], {}, (64,)),
    ("mul", [(64,), (1,)], [], {}, (64,)),
    ("mul", [(4, 16), (4, 1)], [], {}, (4, 16)),
    ("mul", [(4, 16), (4, 16)], [], {}, (4, 16)),
    ("scale", [(64,)], [], {"factor": 2.0}, (64,)),
    ("add_weight", [(4, 16)], [(16,)], {}, (4, 16)),
    ("mul_weight", [(4, 16)], [(4, 16)], {}, (4, 16)),
    ("add_weight", [(6, 16)], [(6, 1, 1, 16)], {}, (6, 16)),
    ("clamp", [(64,)], [], {"low": -1.0, "high": 1.0}, (64,)),
    ("sum", [(4, 16)], [], {}, (4, 1)),
    ("previous", [(64,)], [], STATE, (64,)),
    ("conv", [(64,)], [(64, 4), (64,)], STATE, (64,)),
    ("scan", [(4, 16), (4,), (2, 8), (2, 8)], [(4, 1), (4,)], STATE, (4, 16)),
    ("scan", [(4, 16), (4,), (1, 8), (1, 8)], [(4, 8), (4, 1)], STATE, (4, 16)),
    ("delta_rule", [(4, 8), (4, 1), (4, 8), (4, 16), (4, 8), (4, 8)], [], STATE, (4, 16)),
    ("wkv4", [(64,), (64,)], [(64,), (64,)], STATE, (64,)),
    *((name, [(4, 24)], [], {}, (4, 24)) for name in ELEMENTWISE),
    ("route", [(4,)], [], ROUTE, (4,)),
    ("route", [(8,)], [(8,)], ROUTE | {"n_group": 4, "n_group_used": 1}, (8,)),
    ("moe", [(64,), (4,)], EXPERTS, TOP_2, (64,)),
    ("moe", [(64,), (4,)], [*EXPERTS, *BIASES], TOP_2 | {"n_used": 4}, (64,)),
    ("mul_weight", [(6, 16)], [(6, 1, 1, 16)], {}, (6, 16)),
    ("mul_weight", [(64,)], [(1, 1, 64)], {}, (64,)),
    ("sum", [(64,)], [], {}, (1,)),
    ("sum", [(4, 16)], [], {}, (4, 1)),
    ("previous", [(64,)], [], STATE, (64,)),
    ("conv", [(64,)], [(64, 4)], STATE, (64,)),
    ("conv", [(64,)], [(64, 2), (64,)], STATE, (64,)),
    ("scan", [(8, 16), (8,), (2, 24), (2, 24)], [(8, 1), (8, 1)], STATE, (8, 16)),
    ("scan", [(8, 1), (8,), (1, 24), (1, 24)], [(8, 24), (8,)], STATE, (8, 1)),
    ("delta_rule", [*[(4, 16)] * 3, (4, 24), *[(4, 16)] * 2], [], STATE, (4, 24)),
    ("delta_rule", [(4, 16), (4, 1), *[(4, 16)] * 4], [], STATE, (4, 16)),
    ("wkv4", [(64,), (64,)], [(64,), (64,)], STATE, (64,)),
    ("output_rows", [(64,)], [], {}, (64,)),
]

# operation, input shapes, weight shapes, attributes, what the error must say
BAD: list[tuple[str, list[Shape], list[Shape], dict[str, Any], list[str]]] = [
    ("embed", [(64,)], [(100, 64)], {}, ["token ids", "(64,)"]),
    ("embed", [()], [(64,)], {}, ["n_vocab, n_embd", "(64,)"]),
    ("embed", [()], [(2, 3, 4)], {}, ["n_vocab, n_embd", "(2, 3, 4)"]),
    ("embed_row", [()], [(2, 64)], {"row": 2}, ["row 2", "table of 2"]),
    ("embed_row", [()], [(2, 64)], {"row": -1}, ["row -1"]),
    ("embed_position", [()], [(64,)], {"offset": 0}, ["(64,)"]),
    ("layer_norm", [(64,)], [(64,), (63,)], EPS, ["expected shape (64,)", "found (63,)"]),
    ("rms_norm", [(64,)], [(63,)], EPS, ["expected shape (64,)", "found (63,)"]),
    ("rms_norm", [(64,)], [(2, 64)], EPS, ["expected shape (64,)", "found (2, 64)"]),
    ("rms_norm", [(4, 16)], [(64,)], EPS, ["expected shape (16,)", "found (64,)"]),
    ("linear", [(64,)], [(64, 96)], {}, ["(n_out, 64)", "found (64, 96)"]),
    ("linear", [(64,)], [(64,)], {}, ["(n_out, 64)", "found (64,)"]),
    ("linear", [(64,)], [(2, 96, 64)], {}, ["(n_out, 64)", "found (2, 96, 64)"]),
    ("linear", [(64,)], [(96, 64), (64,)], {}, ["bias", "(96,)", "found (64,)"]),
    ("linear", [(64,)], [(96, 64), (96, 1)], {}, ["bias", "(96,)", "found (96, 1)"]),
    ("linear", [(4, 16)], [(96, 64)], {}, ["vector", "(4, 16)"]),
    ("linear_heads", [(4, 16)], [(2, 24, 16)], {}, ["(4, n_out, 16)", "found (2, 24, 16)"]),
    ("linear_heads", [(4, 16)], [(4, 16, 24)], {}, ["(4, n_out, 16)", "found (4, 16, 24)"]),
    ("linear_heads", [(64,)], [(4, 24, 16)], {}, ["heads", "(64,)"]),
    ("slice", [(64,)], [], {"start": 60, "size": 5}, ["values 60 to 65 of 64"]),
    ("slice", [(64,)], [], {"start": -1, "size": 5}, ["values -1 to 4 of 64"]),
    ("slice", [(64,)], [], {"start": 0, "size": 0}, ["of 64"]),
    ("concat", [(64,), (4, 16)], [], {}, ["(64,)", "(4, 16)"]),
    ("repeat", [(2, 16)], [], {"n": 5}, ["2 heads", "to 5"]),
    ("repeat", [(64,)], [], {"n": 5}, ["heads", "(64,)"]),
    ("add_weight", [(64,)], [(1,)], {}, ["(64,)", "found (1,)"]),
    ("mul_weight", [(4, 16)], [(64,)], {}, ["(16,)", "found (64,)"]),
    ("attend", [(4, 16), (2, 16), (2, 16)], [(2,)], ATTEND, ["sinks", "(4,)", "found (2,)"]),
    ("conv", [(64,)], [(32, 4)], STATE, ["(64, 2 or more)", "found (32, 4)"]),
    ("conv", [(64,)], [(64, 4), (4,)], STATE, ["bias", "(64,)", "found (4,)"]),
    ("scan", [(4, 16), (2,), (2, 8), (2, 8)], [(4, 1), (4,)], STATE, ["steps", "(4,)", "(2,)"]),
    ("scan", [(4, 16), (4,), (3, 8), (3, 8)], [(4, 1), (4,)], STATE, ["4 heads", "3 groups"]),
    ("scan", [(4, 16), (4,), (2, 8), (2, 8)], [(4, 2), (4,)], STATE, ["(4, 8)", "found (4, 2)"]),
    ("delta_rule", [(4, 8)] * 3 + [(2, 16), (4, 8), (4, 8)], [], STATE, ["4 heads", "2 heads"]),
    ("wkv4", [(64,), (32,)], [(64,), (64,)], STATE, ["(64,)", "found (32,)"]),
    ("heads", [(64,)], [], {"n": 5}, ["64 values", "5 heads"]),
    ("heads", [(64,)], [], {"n": 0}, ["64 values", "0 heads"]),
    ("heads", [(64,)], [], {"n": -4}, ["64 values", "-4 heads"]),
    ("heads", [(64,)], [], {"n": 128}, ["64 values", "128 heads"]),
    ("rope", [(64,)], [], {"rope": Rope(16)}, ["heads", "(64,)"]),
    ("rope", [(4, 16)], [], {"rope": Rope(18)}, ["18 rotated", "heads of 16"]),
    ("rope", [(4, 16)], [], {"rope": Rope(7)}, ["7 rotated", "heads of 16"]),
    ("rope", [(4, 16)], [], {"rope": Rope(0)}, ["0 rotated", "heads of 16"]),
    ("rope", [(4, 16)], [(16,)], {"rope": Rope(16)}, ["factors", "(8,)", "found (16,)"]),
    ("attend", [(4, 16), (2, 8), (2, 8)], [], ATTEND, ["queries of 16", "keys of 8"]),
    ("attend", [(4, 16), (2, 16), (1, 16)], [], ATTEND, ["2 key heads", "1 value heads"]),
    ("attend", [(4, 16), (3, 16), (3, 16)], [], ATTEND, ["4 query heads", "3 key heads"]),
    ("attend", [(2, 16), (4, 16), (4, 16)], [], ATTEND, ["2 query heads", "4 key heads"]),
    ("attend", [(64,), (2, 16), (2, 16)], [], ATTEND, ["heads", "(64,)"]),
    ("attend", [(4, 16), (32,), (2, 16)], [], ATTEND, ["heads", "(32,)"]),
    ("attend", [(4, 16), (2, 16), (32,)], [], ATTEND, ["heads", "(32,)"]),
    ("add", [(64,), (96,)], [], {}, ["(64,)", "(96,)"]),
    ("add", [(64,), (4, 16)], [], {}, ["(64,)", "(4, 16)"]),
    ("mul", [(64,), (2,)], [], {}, ["(64,)", "(2,)"]),
    ("mul", [(4, 16), (1,)], [], {}, ["(4, 16)", "(1,)"]),
    ("route", [(4,)], [], ROUTE | {"n_used": 5}, ["1 to 4 experts", "found 5"]),
    ("route", [(4,)], [], ROUTE | {"gating": "none"}, ["softmax", "found 'none'"]),
    ("route", [(4,)], [], ROUTE | {"n_group": 3}, ["4 experts", "3 groups"]),
    ("route", [(4,)], [], ROUTE | {"n_group": 2, "n_group_used": 3}, ["1 to 2", "found 3"]),
    ("route", [(8,)], [], ROUTE | {"n_group": 8}, ["1 groups of 1", "2 that are used"]),
    ("route", [(4,)], [(5,)], ROUTE, ["router bias", "(4,)", "found (5,)"]),
    ("route", [(4, 16)], [], ROUTE, ["score", "(4, 16)"]),
    ("moe", [(64,), (4,)], EXPERTS, TOP_2 | {"activation": "tanh"}, ["silu", "'tanh'"]),
    ("moe", [(64,), (4,)], [*EXPERTS, *EXPERTS], TOP_2, ["biases", "((4, 96), "]),
    ("moe", [(64,), (4,)], EXPERTS, TOP_2 | {"n_used": 5}, ["1 to 4 experts", "found 5"]),
    ("moe", [(64,), (4,)], EXPERTS, TOP_2 | {"n_used": 0}, ["1 to 4 experts", "found 0"]),
    ("moe", [(64,), (8,)], EXPERTS, TOP_2, ["(8, n_ff, 64)", "(4, 96, 64)"]),
    ("moe", [(64,), (4,)], [(96, 64), *EXPERTS[1:]], TOP_2, ["experts", "(96, 64)"]),
    (
        "moe",
        [(64,), (4,)],
        [EXPERTS[0], (4, 80, 64), EXPERTS[2]],
        TOP_2,
        ["(4, n_ff, 64)", "(4, 80, 64)"],
    ),
    ("moe", [(64,), (4,)], [EXPERTS[0]] * 3, TOP_2, ["(4, 64, n_ff)", "(4, 96, 64)"]),
    ("moe", [(4, 16), (4,)], EXPERTS, TOP_2, ["vector", "(4, 16)"]),
    ("mul_weight", [(6, 16)], [(3, 1, 1, 32)], {}, ["(16,)", "(3, 1, 1, 32)"]),
    ("conv", [(64,)], [(4, 64)], STATE, ["(64, 2 or more)", "(4, 64)"]),
    ("conv", [(64,)], [(64, 1)], STATE, ["(64, 2 or more)", "(64, 1)"]),
    ("conv", [(64,)], [(64, 4), (4,)], STATE, ["bias", "(64,)", "(4,)"]),
    ("conv", [(4, 16)], [(16, 4)], STATE, ["vector", "(4, 16)"]),
    ("scan", [(8, 16), (4,), (2, 24), (2, 24)], [(8, 1), (8,)], STATE, ["steps", "(8,)", "(4,)"]),
    ("scan", [(8, 16), (8,), (2, 24), (2, 8)], [(8, 1), (8,)], STATE, ["(2, 24)", "(2, 8)"]),
    ("scan", [(8, 16), (8,), (3, 24), (3, 24)], [(8, 1), (8,)], STATE, ["8 heads", "3 groups"]),
    ("scan", [(8, 16), (8,), (2, 24), (2, 24)], [(8, 2), (8,)], STATE, ["(8, 24)", "(8, 2)"]),
    ("scan", [(8, 16), (8,), (2, 24), (2, 24)], [(8, 1), (4,)], STATE, ["8 values", "(4,)"]),
    ("scan", [(128,), (8,), (2, 24), (2, 24)], [(8, 1), (8,)], STATE, ["heads", "(128,)"]),
    ("delta_rule", [(4, 16), (4, 2), *[(4, 16)] * 4], [], STATE, ["decay", "(4, 1)", "(4, 2)"]),
    ("delta_rule", [*[(4, 16)] * 3, (2, 16), *[(4, 16)] * 2], [], STATE, ["4 heads", "2 heads"]),
    ("delta_rule", [*[(4, 16)] * 5, (4, 8)], [], STATE, ["(4, 16)", "(4, 8)"]),
    ("wkv4", [(64,), (32,)], [(64,), (64,)], STATE, ["(64,)", "(32,)"]),
    ("wkv4", [(64,), (64,)], [(64,), (32,)], STATE, ["(64,)", "(32,)"]),
]


@pytest.mark.parametrize(("op", "inputs", "weights", "attrs", "expected"), GOOD)
def test_shape(
    op: str, inputs: list[Shape], weights: list[Shape], attrs: dict[str, Any], expected: Shape
) -> None:
    assert OPS[op].rule(inputs, weights, OPS[op].attributes(**attrs)) == expected


@pytest.mark.parametrize(("op", "inputs", "weights", "attrs", "message"), BAD)
def test_shape_refused(
    op: str, inputs: list[Shape], weights: list[Shape], attrs: dict[str, Any], message: list[str]
) -> None:
    with pytest.raises(GraphError) as caught:
        OPS[op].rule(inputs, weights, OPS[op].attributes(**attrs))
    for words in message:
        assert words in str(caught.value)


def test_every_operation_is_tried() -> None:
    assert {row[0] for row in GOOD} == set(OPS)


def test_attributes_are_those_of_the_operation() -> None:
    graph = Graph({})
    with pytest.raises(AssertionError, match="tokens"):
        graph.add("tokens", (), attrs=Scale(2.0))


def test_every_row_gives_an_operation_as_many_values_as_it_takes() -> None:
    for op, inputs, *_ in [*GOOD, *BAD]:
        assert len(inputs) == OPS[op].inputs, op


def test_every_operation_has_its_definition_in_the_reference_backend() -> None:
    assert set(OPERATIONS) == set(OPS)


def test_an_error_names_operation_and_tensors() -> None:
    graph = Graph({"token_embd.weight": (10, 4), "a.weight": (6, 5), "a.bias": (6,)})
    x = graph.tokens().embed(Weights(graph.shapes).token_embd)
    with pytest.raises(GraphError, match=r"^linear with 'a\.weight' and 'a\.bias': expected"):
        graph.add("linear", (x.index,), ("a.weight", "a.bias"))


def test_a_refused_operation_leaves_nothing_behind() -> None:
    graph = Graph({"token_embd.weight": (10, 4), "a.weight": (6, 5)})
    x = graph.tokens().embed(Weights(graph.shapes).token_embd)
    with pytest.raises(GraphError):
        graph.add("linear", (x.index,), ("a.weight",))
    assert len(graph.nodes) == 2
    assert "a.weight" not in graph.used
