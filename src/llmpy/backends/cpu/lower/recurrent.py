"""Lowering of the operations that have a memory."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from llmpy.backends.cpu.kv import state_layout
from llmpy.backends.cpu.lower import ops
from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.graph import Graph, Node

__all__ = ["RECURRENT"]


def recurrent(work: Emitted, i: int, node: Node) -> None:
    """Any of them."""
    work.emit(i, _operation(work.graph, node, [work.of(j) for j in node.inputs]))


def _operation(graph: Graph, node: Node, x: list[int]) -> ops.Op:
    """The native operation of a node; `x` are the values it reads."""
    layout, first = state_layout(graph)[0], node.attrs.state
    shapes = [graph.nodes[i].shape for i in node.inputs]
    w = [ops.Values(name) for name in node.weights]
    memory, width, rows = layout[first][0], prod(node.shape), node.rows
    if node.op == "previous":
        return ops.Previous(rows=rows, x=x[0], width=width, memory=memory)
    if node.op == "conv":
        n_tokens = graph.shapes[node.weights[0]][-1]
        bias = w[1] if len(w) > 1 else None
        return ops.Conv(
            rows=rows, x=x[0], channels=width, width=n_tokens, memory=memory, weight=w[0], bias=bias
        )
    if node.op == "scan":
        (heads, d), (n_groups, n_state) = node.shape, shapes[2]
        return ops.Scan(
            rows=rows, x=x[0], x2=x[1], also=tuple(x[2:]), heads=heads, d=d, n=n_state,
            groups=n_groups, width_of_a=graph.shapes[node.weights[0]][-1], memory=memory,
            a=w[0], skip=w[1],
        )  # fmt: skip
    if node.op == "delta_rule":
        heads, d_value = node.shape
        return ops.DeltaRule(
            rows=rows, x=x[0], x2=x[1], also=tuple(x[2:]), heads=heads, d_value=d_value,
            d_key=shapes[0][1], width_of_decay=shapes[1][1], memory=memory,
        )  # fmt: skip
    assert node.op == "wkv4"
    total, weight, most = (place for place, _ in layout[first : first + 3])
    return ops.Wkv4(
        rows=rows, x=x[0], x2=x[1], width=width, total=total, weight=weight, most=most,
        decay=w[0], first=w[1],
    )  # fmt: skip


RECURRENT: dict[str, Callable[[Emitted, int, Node], None]] = dict.fromkeys(
    ("previous", "conv", "scan", "delta_rule", "wkv4"), recurrent
)
