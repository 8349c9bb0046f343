"""Lowering of the operations that have a memory."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from llmpy.backends.cpu.kv import state_layout
from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.backends.cpu.lower.program import Op
from llmpy.ffi.abi import OpKind
from llmpy.graph import Graph, Node

__all__ = ["RECURRENT"]


def recurrent(work: Emitted, i: int, node: Node) -> None:
    """Any of them."""
    x = [work.of(j) for j in node.inputs]
    work.emit(i, _operation(work.graph, node, x, [work.floats(name) for name in node.weights]))


def _operation(graph: Graph, node: Node, x: list[int], w: list[int]) -> Op:
    """The native operation of a node; `x` are the values it reads, `w` addresses of its weights."""
    layout, first = state_layout(graph)[0], node.attrs["state"]
    shapes = [graph.nodes[i].shape for i in node.inputs]
    memory, width = layout[first][0], prod(node.shape)
    if node.op == "previous":
        return Op(OpKind.PREVIOUS, node.rows, x[0], n=(width, memory))
    if node.op == "conv":
        n_tokens = graph.shapes[node.weights[0]][-1]
        return Op(OpKind.CONV, node.rows, x[0], n=(width, n_tokens, memory), w=tuple(w))
    if node.op == "scan":
        n_groups, n_state = shapes[2]
        n = (*node.shape, n_state, n_groups, graph.shapes[node.weights[0]][-1], memory)
        return Op(OpKind.SCAN, node.rows, x[0], x[1], n=n, w=tuple(w), also=tuple(x[2:]))
    if node.op == "delta_rule":
        n = (*node.shape, shapes[0][1], shapes[1][1], memory)
        return Op(OpKind.DELTA_RULE, node.rows, x[0], x[1], n=n, also=tuple(x[2:]))
    assert node.op == "wkv4"
    n = (width, *(place for place, _ in layout[first : first + 3]))
    return Op(OpKind.WKV4, node.rows, x[0], x[1], n=n, w=tuple(w))


RECURRENT: dict[str, Callable[[Emitted, int, Node], None]] = dict.fromkeys(
    ("previous", "conv", "scan", "delta_rule", "wkv4"), recurrent
)
