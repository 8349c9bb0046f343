"""Lowering of rows of tables, norms, elementwise operations, copies and routing."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.backends.cpu.lower.program import Op
from llmpy.errors import BackendError
from llmpy.ffi import address
from llmpy.ffi.abi import MOST_EXPERTS, Function, Gating, OpKind, RowChoice
from llmpy.graph import ELEMENTWISE, Node

__all__ = ["SIMPLE"]


def embed(work: Emitted, i: int, node: Node) -> None:
    """A row by token, by position, or always the same."""
    t = work.tensors[node.weights[0]]
    assert t.rows is not None
    width = t.shape[-1]
    of_which, first = {
        "embed": (RowChoice.TOKEN, 0),
        "embed_position": (RowChoice.POSITION, node.attrs.get("offset", 0)),
        "embed_row": (RowChoice.FIRST, node.attrs.get("row", 0)),
    }[node.op]
    if first < 0:
        raise BackendError(f"{node.op} of {node.weights[0]!r}: there is no row {first}")
    n = (t.dtype.id, width, t.dtype.row_bytes(width), of_which, first)
    work.emit(i, Op(OpKind.EMBED, node.rows, n=n, w=(address(t.rows),)))


def norm(work: Emitted, i: int, node: Node) -> None:
    """Lower a norm of vectors, with weights for all, with weights for each of a row, or without."""
    x, vectors = work.of(node.inputs[0]), prod(node.shape[:-1])
    width = node.shape[-1]
    n_weights = prod(work.graph.shapes[node.weights[0]]) // width if node.weights else 0
    n = (width, vectors, n_weights, int(node.op == "layer_norm"))
    w = tuple(work.floats(name) for name in node.weights)
    work.emit(i, Op(OpKind.NORM, node.rows, x, n=n, f=(node.attrs["eps"],), w=w, in_place=(x,)))


def nothing(work: Emitted, i: int, node: Node) -> None:
    """Rows lie as they did."""


def copy(work: Emitted, i: int, node: Node) -> None:
    """Parts of vectors, side by side or several times."""
    (x, x2), shape = work.inputs(node), [work.graph.nodes[j].shape for j in node.inputs]
    width, size = shape[0][-1], node.shape[-1]
    start, more, times = 0, 0, 1
    if node.op == "slice":
        start = node.attrs["start"]
    elif node.op == "concat":
        size, more = width, shape[1][-1]
    else:
        times = node.shape[0] // shape[0][0]
    n = (prod(node.shape[:-1]), width, start, size, more, times)
    work.emit(i, Op(OpKind.COPY, node.rows, x, x2, n=n))


def function(work: Emitted, i: int, node: Node) -> None:
    """A function of each value, unless it is a gate's."""
    if not is_gate(work, i):
        work.map(i, OpKind.FUNCTION, Function[node.op.upper()])


def is_gate(work: Emitted, i: int) -> bool:
    """Whether a function is only there to be multiplied with something else."""
    node = work.graph.nodes[i]
    mul = work.only_reader(i, "mul")
    if node.op not in ELEMENTWISE or mul is None:
        return False
    a, b = (work.origin(j) for j in mul.inputs)
    if a == b or len({prod(work.graph.nodes[j].shape) for j in (a, b)}) > 1:
        return False
    return not (i == b and is_gate(work, a))


def mul(work: Emitted, i: int, node: Node) -> None:
    """A product value by value, or by one value for each vector."""
    for gate, other in (node.inputs, node.inputs[::-1]):
        if is_gate(work, work.origin(gate)):
            act = work.graph.nodes[work.origin(gate)]
            a, b, n = work.of(act.inputs[0]), work.of(other), prod(node.shape)
            n_f = (n, Function[act.op.upper()])
            work.emit(i, Op(OpKind.GATE, node.rows, a, b, n=n_f, in_place=(a, b)))
            return
    if work.graph.nodes[node.inputs[1]].shape == node.shape:
        work.map(i, OpKind.MUL)
        return
    a, b = work.inputs(node)
    n_each = (node.shape[-1], prod(node.shape[:-1]))
    work.emit(i, Op(OpKind.MUL_EACH, node.rows, a, b, n=n_each, in_place=(a,)))


def with_weight(work: Emitted, i: int, node: Node) -> None:
    """A sum or product with a tensor of the last axes."""
    x, width = work.of(node.inputs[0]), prod(work.graph.shapes[node.weights[0]])
    kind = OpKind.ADD_WEIGHT if node.op == "add_weight" else OpKind.MUL_WEIGHT
    n = (width, prod(node.shape) // width)
    w = (work.floats(node.weights[0]),)
    work.emit(i, Op(kind, node.rows, x, n=n, w=w, in_place=(x,)))


def sum_(work: Emitted, i: int, node: Node) -> None:
    """Lower the sum of each vector."""
    shape = work.graph.nodes[node.inputs[0]].shape
    n = (shape[-1], prod(shape[:-1]))
    work.emit(i, Op(OpKind.SUM, node.rows, work.of(node.inputs[0]), n=n))


def scale(work: Emitted, i: int, node: Node) -> None:
    """By a constant."""
    work.map(i, OpKind.SCALE, f=(node.attrs["factor"],))


def clamp(work: Emitted, i: int, node: Node) -> None:
    """Between two constants."""
    work.map(i, OpKind.CLAMP, f=(node.attrs["low"], node.attrs["high"]))


def route(work: Emitted, i: int, node: Node) -> None:
    """Shares of experts."""
    x, a, (n_expert,) = work.of(node.inputs[0]), node.attrs, node.shape
    if n_expert > MOST_EXPERTS:
        raise BackendError(f"the cpu backend: {n_expert} experts, of {MOST_EXPERTS} at most")
    n = (
        *(n_expert, a["n_used"], Gating[a["gating"].upper()], int(a["normalize"])),
        *(a["n_group"], a["n_group_used"]),
    )
    bias = work.floats(node.weights[0]) if node.weights else 0
    op = Op(OpKind.ROUTE, node.rows, x, n=n, f=(a["factor"],), w=(bias,), in_place=(x,))
    work.emit(i, op)


def output_rows(work: Emitted, i: int, node: Node) -> None:
    """The rows whose logits are asked for."""
    x = work.of(node.inputs[0])
    work.emit(i, Op(OpKind.OUTPUT_ROWS, "output", x, n=(prod(node.shape),)))


SIMPLE: dict[str, Callable[[Emitted, int, Node], None]] = {
    **dict.fromkeys(("embed", "embed_position", "embed_row"), embed),
    **dict.fromkeys(("rms_norm", "layer_norm"), norm),
    **dict.fromkeys(("heads", "flatten"), nothing),
    **dict.fromkeys(("slice", "concat", "repeat"), copy),
    **dict.fromkeys(ELEMENTWISE, function),
    **dict.fromkeys(("add_weight", "mul_weight"), with_weight),
    "mul": mul,
    "sum": sum_,
    "scale": scale,
    "clamp": clamp,
    "route": route,
    "output_rows": output_rows,
}
