"""Lowering of matmuls: their input, prepared once for all that read it, and their operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmpy.backends.cpu.lower import ops
from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.ffi import library
from llmpy.ffi.abi import Function
from llmpy.graph import Node

__all__ = ["MATMULS", "input_kind", "linears"]


def linears(work: Emitted, group: Sequence[int]) -> list[ops.Linear]:
    """Prepare the input that matmuls share, and return their operations, not emitted yet."""
    nodes = [work.graph.nodes[i] for i in group]
    x = work.of(nodes[0].inputs[-1])
    _collect(work, x, nodes[0], [node.weights[0] for node in nodes])
    prepared, found = _prepare(work, x, nodes[0]), []
    for node in nodes:
        t = work.tensors[name := node.weights[0]]
        n_out, n_in = t.shape
        bias = ops.Values(node.weights[1]) if len(node.weights) > 1 else None
        op = ops.Linear(
            rows=node.rows, x=prepared, type=t.dtype.id, outputs=n_out, inputs=n_in,
            weights=ops.PackedMatrix(name), bias=bias,
        )  # fmt: skip
        if node.op == "linear_add":
            op.x2 = work.of(node.inputs[0])
            op.in_place = (op.x2,)
        found.append(op)
    return found


def linear_heads(work: Emitted, i: int, node: Node) -> None:
    """A product for each head."""
    t = work.tensors[name := node.weights[0]]
    heads, n_out, n_in = t.shape
    x = work.of(node.inputs[0])
    _collect(work, x, node, [name], heads)
    op = ops.LinearHeads(
        rows=node.rows, x=_prepare(work, x, node, heads), type=t.dtype.id, outputs=n_out,
        inputs=n_in, heads=heads, weights=ops.PackedMatrix(name),
    )  # fmt: skip
    work.emit(i, op)


def moe(work: Emitted, i: int, node: Node) -> None:
    """Experts."""
    x, router_weights = work.inputs(node)
    parts = node.weights[:3]
    n_expert, n_ff, n_embd = work.tensors[parts[0]].shape
    gate_type, up_type, down_type = (work.tensors[name].dtype.id for name in parts)
    gate, up, down = map(ops.PackedMatrix, parts)
    biases = (*map(ops.Values, node.weights[3:]), None, None, None)
    op = ops.Moe(
        rows=node.rows, x=x, x2=router_weights, n_embd=n_embd, n_ff=n_ff, n_expert=n_expert,
        n_used=node.attrs.n_used, gate_type=gate_type, up_type=up_type, down_type=down_type,
        function=Function[node.attrs.activation.upper()], gate=gate, up=up, down=down,
        gate_bias=biases[0], up_bias=biases[1], down_bias=biases[2],
    )  # fmt: skip
    if work.sums:
        op.sums = ops.SumsOf(parts[:2], n_expert, n_embd)
        op.sums_down = ops.SumsOf(parts[2:], n_expert, n_ff)
    work.emit(i, op)


def _prepare(work: Emitted, x: int, node: Node, heads: int = 1) -> int:
    """A value as products read it, made once for all of them."""
    kind = input_kind(work, node)
    if (x, kind, heads) not in work.prepared:
        n_in = work.tensors[node.weights[0]].shape[-1]
        size = heads * library().llmpy_input_bytes(kind, n_in)
        y = work.prepared[x, kind, heads] = work.new(0, node.rows, size)
        op = ops.Prepare(rows=node.rows, x=x, y=y, input_kind=kind, inputs=n_in, heads=heads)
        work.ops.append(op)
    return work.prepared[x, kind, heads]


def _collect(work: Emitted, x: int, node: Node, names: list[str], matrices: int = 1) -> None:
    """Sum the squares of the inputs of these tensors, where importance is collected."""
    if work.sums:
        n_in = work.tensors[names[0]].shape[-1]
        sums = ops.SumsOf(tuple(names), matrices, n_in)
        work.ops.append(ops.Collect(rows=node.rows, x=x, width=n_in, matrices=matrices, sums=sums))


def input_kind(work: Emitted, node: Node) -> int:
    """Return the form in which a matmul reads its input."""
    kind: int = library().llmpy_input_kind(work.tensors[node.weights[0]].dtype.id)
    return kind


MATMULS: dict[str, Callable[[Emitted, int, Node], None]] = {
    "linear_heads": linear_heads,
    "moe": moe,
}
