"""Lowering of rows of tables, norms, elementwise operations, copies and routing."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from llmpy.backends.cpu.lower import ops
from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.errors import BackendError
from llmpy.ffi.abi import MOST_EXPERTS, Function, Gating, RowChoice
from llmpy.graph import ELEMENTWISE, EMBED, Node

__all__ = ["SIMPLE"]


def embed(work: Emitted, i: int, node: Node) -> None:
    """A row by token, by position, or always the same."""
    t = work.tensors[name := node.weights[0]]
    width = t.shape[-1]
    choice, first = RowChoice.TOKEN, 0
    if node.op == "embed_position":
        choice, first = RowChoice.POSITION, node.attrs.offset
    elif node.op == "embed_row":
        choice, first = RowChoice.FIRST, node.attrs.row
    if first < 0:
        raise BackendError(f"{node.op} of {name!r}: there is no row {first}")
    n_bytes = t.dtype.row_bytes(width)
    op = ops.Embed(
        rows=node.rows, type=t.dtype.id, width=width, row_bytes=n_bytes, choice=choice,
        first=first, table=ops.Rows(name),
    )  # fmt: skip
    work.emit(i, op)


def norm(work: Emitted, i: int, node: Node) -> None:
    """Lower a norm of vectors, with weights for all, with weights for each of a row, or without."""
    x, width = work.of(node.inputs[0]), node.shape[-1]
    n_weights = prod(work.graph.shapes[node.weights[0]]) // width if node.weights else 0
    weight, bias = (*map(ops.Values, node.weights), None, None)[:2]
    op = ops.Norm(
        rows=node.rows, x=x, in_place=(x,), width=width, vectors=prod(node.shape[:-1]),
        n_weights=n_weights, centered=int(node.op == "layer_norm"), eps=node.attrs.eps,
        weight=weight, bias=bias,
    )  # fmt: skip
    work.emit(i, op)


def nothing(work: Emitted, i: int, node: Node) -> None:
    """Rows lie as they did; token ids lie in the batch."""


def copy(work: Emitted, i: int, node: Node) -> None:
    """Parts of vectors, side by side or several times."""
    (x, x2), shape = work.inputs(node), [work.graph.nodes[j].shape for j in node.inputs]
    width, size = shape[0][-1], node.shape[-1]
    start, more, times = 0, 0, 1
    if node.op == "slice":
        start = node.attrs.start
    elif node.op == "concat":
        size, more = width, shape[1][-1]
    else:
        times = node.shape[0] // shape[0][0]
    op = ops.Copy(
        rows=node.rows, x=x, x2=x2, vectors=prod(node.shape[:-1]), width=width, start=start,
        size=size, width2=more, times=times,
    )  # fmt: skip
    work.emit(i, op)


def elementwise(work: Emitted, i: int, node: Node) -> None:
    """Value by value: the result may lie where an operand did."""
    x, x2 = work.inputs(node)
    width, rows, in_place = prod(node.shape), node.rows, (x, x2)
    op: ops.Op
    match node.op:
        case "add":
            op = ops.Add(rows=rows, x=x, x2=x2, width=width, in_place=in_place)
        case "mul":
            if work.graph.nodes[node.inputs[1]].shape != node.shape:
                mul_each(work, i, node)
                return
            op = ops.Mul(rows=rows, x=x, x2=x2, width=width, in_place=in_place)
        case "gate":
            f = Function[node.attrs.function.upper()]
            op = ops.Gate(rows=rows, x=x, x2=x2, width=width, function=f, in_place=in_place)
        case "scale":
            factor = node.attrs.factor
            op = ops.Scale(rows=rows, x=x, width=width, factor=factor, in_place=in_place)
        case "clamp":
            low, high = node.attrs.low, node.attrs.high
            op = ops.Clamp(rows=rows, x=x, width=width, low=low, high=high, in_place=in_place)
        case name:
            f = Function[name.upper()]
            op = ops.Function(rows=rows, x=x, width=width, function=f, in_place=in_place)
    work.emit(i, op)


def mul_each(work: Emitted, i: int, node: Node) -> None:
    """A product by one value for each vector."""
    (a, b), width, vectors = work.inputs(node), node.shape[-1], prod(node.shape[:-1])
    op = ops.MulEach(rows=node.rows, x=a, x2=b, width=width, vectors=vectors, in_place=(a,))
    work.emit(i, op)


def with_weight(work: Emitted, i: int, node: Node) -> None:
    """A sum or product with a tensor of the last axes."""
    x, name = work.of(node.inputs[0]), node.weights[0]
    width = prod(work.graph.shapes[name])
    kind = ops.AddWeight if node.op == "add_weight" else ops.MulWeight
    times = prod(node.shape) // width
    op = kind(rows=node.rows, x=x, in_place=(x,), width=width, times=times, weight=ops.Values(name))
    work.emit(i, op)


def sum_(work: Emitted, i: int, node: Node) -> None:
    """Lower the sum of each vector."""
    *vectors, width = work.graph.nodes[node.inputs[0]].shape
    x = work.of(node.inputs[0])
    work.emit(i, ops.Sum(rows=node.rows, x=x, width=width, vectors=prod(vectors)))


def route(work: Emitted, i: int, node: Node) -> None:
    """Router weights of experts."""
    x, a, (n_expert,) = work.of(node.inputs[0]), node.attrs, node.shape
    if n_expert > MOST_EXPERTS:
        raise BackendError(f"the cpu backend: {n_expert} experts, of {MOST_EXPERTS} at most")
    op = ops.Route(
        rows=node.rows, x=x, in_place=(x,), n_expert=n_expert, n_used=a.n_used,
        gating=Gating[a.gating.upper()], normalize=int(a.normalize), groups=a.n_group,
        groups_used=a.n_group_used, factor=a.factor,
        bias=ops.Values(node.weights[0]) if node.weights else None,
    )  # fmt: skip
    work.emit(i, op)


def output_rows(work: Emitted, i: int, node: Node) -> None:
    """The rows whose logits are asked for."""
    x = work.of(node.inputs[0])
    work.emit(i, ops.OutputRows(rows="output", x=x, width=prod(node.shape)))


SIMPLE: dict[str, Callable[[Emitted, int, Node], None]] = {
    **dict.fromkeys(EMBED, embed),
    **dict.fromkeys(("rms_norm", "layer_norm"), norm),
    **dict.fromkeys(("tokens", "heads", "flatten"), nothing),
    **dict.fromkeys(("slice", "concat", "repeat"), copy),
    **dict.fromkeys(("add", "mul", "gate", "scale", "clamp", *ELEMENTWISE), elementwise),
    **dict.fromkeys(("add_weight", "mul_weight"), with_weight),
    "sum": sum_,
    "route": route,
    "output_rows": output_rows,
}
