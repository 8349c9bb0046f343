"""Rewriting graphs, fusing pairs of nodes, and steps that a backend can run as one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llmpy.graph import (
    Attention,
    GatedLinears,
    Graph,
    Linears,
    One,
    Rope,
    Shape,
    Step,
    Value,
    Weights,
    finish,
    fuse,
    rewrite,
    schedule,
)
from llmpy.graph.attributes import Gate
from llmpy.graph.rewrite import Rewrite

SHAPES: dict[str, Shape] = {
    "x.weight": (10, 8),
    "q.weight": (8, 8),
    "k.weight": (4, 8),
    "v.weight": (4, 8),
    "up.weight": (12, 8),
    "gate.weight": (12, 8),
    "down.weight": (8, 12),
    "head_norm.weight": (2,),
    "q_norm.weight": (8,),
    "k_norm.weight": (4,),
}
Wire = Callable[[Weights, Value], Value]


def traced(wire: Wire) -> Graph:
    graph, w = Graph(SHAPES), Weights(SHAPES)
    return finish(graph, wire(w, graph.tokens().embed(w.x)), harmless=["*"])


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def steps(wire: Wire, alike: bool = True) -> tuple[Graph, list[Step]]:
    """The fused graph and its steps, each node in exactly one, after all that it reads."""
    graph = fuse(traced(wire))
    found = list(schedule(graph, lambda *_: alike))
    order = [i for step in found for i in nodes(step)]
    assert sorted(order) == list(range(len(graph.nodes)))
    seen: set[int] = set()
    for step in found:
        for i in nodes(step):
            if graph.nodes[i].op not in ("heads", "flatten"):  # nothing is done for a view
                assert all(shown(graph, j) in seen for j in graph.nodes[i].inputs)
            seen.add(i)
    return graph, found


def shown(graph: Graph, i: int) -> int:
    """The node whose values a view shows."""
    while graph.nodes[i].op in ("heads", "flatten"):
        (i,) = graph.nodes[i].inputs
    return i


def nodes(step: Step) -> list[int]:
    match step:
        case One(i):
            return [i]
        case Linears(linears):
            return [*linears]
        case GatedLinears(linears, gate):
            return [*linears, gate]
        case Attention(linears, between, attend):
            return [*linears, *between, attend]


def attention(norms: str = "", *, seen: bool = False) -> Wire:
    """Attention of 4 heads with 2 key heads, two values each, and then a second one.

    `seen`: something else reads the queries before.
    """

    def layer(w: Weights, x: Value) -> Value:
        q, k = x.linear(w.q), x.linear(w.k)
        if norms == "all":
            q, k = q.rms_norm(w.q_norm, 1e-5), k.rms_norm(w.k_norm, 1e-5)
        q, k, v = q.heads(4), k.heads(2), x.linear(w.v).heads(2)
        if norms == "head":
            q, k = q.rms_norm(w.head_norm, 1e-5), k.rms_norm(w.head_norm, 1e-5)
        q, k = q.rope(Rope(2)), k.rope(Rope(2))
        y = q.flatten().scale(2) if seen else x
        return x + (y * q.attend(k.cached(), v.cached()))

    return lambda w, x: layer(w, layer(w, x))


def of_type(found: list[Step], kind: type[Step]) -> list[Step]:
    return [step for step in found if isinstance(step, kind)]


# Rewriting


def test_what_nobody_needs_is_left_out_and_the_rest_moves_up() -> None:
    def wire(w: Weights, x: Value) -> Value:
        x.silu().tanh()
        k = x.linear(w.k).heads(2).cached()
        return x + x.linear(w.q).heads(4).attend(k, k)

    before = traced(wire)
    after = rewrite(before, Rewrite.keep)
    assert ops(after) == ops(before)
    assert "silu" not in ops(after)
    assert after.nodes[after.caches[0].node].op == "cached"


def test_another_output_is_one_of_the_nodes_of_before() -> None:
    before = traced(lambda w, x: x.linear(w.q).linear(w.up))
    after = rewrite(before, Rewrite.keep, before.output - 1)
    assert ops(after) == ops(before)[:-1]


# Pairs of nodes


def test_a_function_and_a_product_become_a_gate() -> None:
    graph = fuse(traced(lambda _, x: x.silu() * x.tanh().exp()))
    assert ops(graph) == ["tokens", "embed", "tanh", "exp", "gate"]
    assert graph.nodes[4].attrs == Gate("silu")
    assert graph.nodes[4].inputs == (1, 3)


def test_of_two_functions_the_first_is_the_gates() -> None:
    graph = fuse(traced(lambda _, x: x.silu() * x.tanh()))
    assert ops(graph) == ["tokens", "embed", "tanh", "gate"]


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(lambda _, x: (y := x.silu()) * y, id="with itself"),
        pytest.param(lambda _, x: (y := x.silu()) * x + y, id="read twice"),
        pytest.param(lambda _, x: x.heads(4).silu() * x.heads(4).sum(), id="a factor a vector"),
        pytest.param(lambda _, x: x.scale(2) * x, id="no function"),
    ],
)
def test_other_products_are_no_gates(wire: Wire) -> None:
    assert "gate" not in ops(fuse(traced(wire)))


def test_a_matmul_is_summed_into_what_it_is_added_to() -> None:
    graph = fuse(traced(lambda w, x: x.tanh() + x.linear(w.q)))
    assert ops(graph) == ["tokens", "embed", "tanh", "linear_add"]
    assert graph.nodes[3].inputs == (2, 1)
    assert graph.nodes[3].weights == ("q.weight",)


def test_of_two_matmuls_the_second_joins_the_first() -> None:
    graph = fuse(traced(lambda w, x: x.linear(w.q) + x.tanh().linear(w.q)))
    assert ops(graph) == ["tokens", "embed", "linear", "tanh", "linear_add"]
    assert graph.nodes[4].inputs == (2, 3)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(lambda w, x: (y := x.linear(w.q)) + y, id="to itself"),
        pytest.param(lambda w, x: (y := x.linear(w.q)).silu() + y, id="read twice"),
    ],
)
def test_other_sums_stay(wire: Wire) -> None:
    assert "linear_add" not in ops(fuse(traced(wire)))


# Steps


def test_matmuls_of_one_input_are_one_step() -> None:
    graph, found = steps(lambda w, x: x.linear(w.q).tanh() * x.linear(w.q).exp().linear(w.q))
    (group,) = [s for s in of_type(found, Linears) if len(nodes(s)) > 1]
    assert [graph.nodes[i].weights for i in nodes(group)] == [("q.weight",)] * 2


def test_matmuls_that_read_different_forms_are_not() -> None:
    _, found = steps(lambda w, x: x.linear(w.q).tanh() + x.linear(w.q).exp(), alike=False)
    assert [len(nodes(step)) for step in of_type(found, Linears)] == [1, 1]


def test_a_gate_joins_its_two_matmuls() -> None:
    graph, found = steps(lambda w, x: x + (x.linear(w.gate).silu() * x.linear(w.up)).linear(w.down))
    (gated,) = of_type(found, GatedLinears)
    assert [graph.nodes[i].op for i in nodes(gated)] == ["linear", "linear", "gate"]


def test_a_gate_of_others_too_stays_alone() -> None:
    def wire(w: Weights, x: Value) -> Value:
        up = x.linear(w.up)
        return (x.linear(w.gate).silu() * up).linear(w.down) + up.linear(w.down)

    assert not of_type(steps(wire)[1], GatedLinears)


@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        ("", ["linear"] * 3 + ["rope"] * 2 + ["cached"] * 2 + ["attend"]),
        ("head", ["linear"] * 3 + ["rms_norm"] * 2 + ["rope"] * 2 + ["cached"] * 2 + ["attend"]),
        ("all", ["rope"] * 2 + ["cached"] * 2 + ["attend"]),
    ],
)
def test_attention_takes_along_what_is_done_head_by_head(norms: str, expected: list[str]) -> None:
    """The second layer is computed for output rows only, its keys for all."""
    graph, found = steps(attention(norms))
    (step,) = of_type(found, Attention)
    assert [graph.nodes[i].op for i in nodes(step)] == expected


def test_queries_that_another_reads_do_not_wait_for_their_attention() -> None:
    """With matmuls all comes early; without, rotations would come late."""
    assert len(of_type(steps(attention("", seen=True))[1], Attention)) == 1
    assert not of_type(steps(attention("all", seen=True))[1], Attention)


def test_keys_of_another_layer_are_no_part_of_it() -> None:
    def wire(w: Weights, x: Value) -> Value:
        k, v = x.linear(w.k).heads(2).rope(Rope(2)).cached(), x.linear(w.v).heads(2).cached()
        for _ in range(3):
            x = x + x.linear(w.q).heads(4).rope(Rope(2)).attend(k, v)
        return x + x.linear(w.k).heads(2).cached().flatten().linear(w.q_of_keys)

    shapes = {**SHAPES, "q_of_keys.weight": (8, 4)}
    graph, w = Graph(shapes), Weights(shapes)
    graph = fuse(finish(graph, wire(w, graph.tokens().embed(w.x)), harmless=["*"]))
    found = of_type(list(schedule(graph, lambda *_: True)), Attention)
    kinds = [[graph.nodes[i].op for i in nodes(step)] for step in found]
    assert kinds[0] == ["linear"] * 3 + ["rope", "cached", "cached", "rope", "attend"]
    assert kinds[1:] == [["linear", "rope", "attend"]] * 2
