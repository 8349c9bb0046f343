"""Lowering of products: those of one input together, a sum with what they are added to."""

from __future__ import annotations

from collections.abc import Callable

from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.backends.cpu.lower.program import Op
from llmpy.ffi import library
from llmpy.ffi.abi import NO_PLACE, Function, OpKind
from llmpy.graph import Node

__all__ = ["PRODUCTS"]

_MOST_IN_A_GROUP = 8


def is_added(work: Emitted, i: int) -> bool:
    """Whether a product is only there to be added to something else."""
    add = work.only_reader(i, "add")
    if work.graph.nodes[i].op != "linear" or add is None:
        return False
    a, b = (work.origin(j) for j in add.inputs)
    # Of two products, the second joins the first.
    return a != b and not (i == a and is_added(work, b))


def add(work: Emitted, i: int, node: Node) -> None:
    """A sum, into which a product may be summed at once."""
    for product, other in (node.inputs[::-1], node.inputs):
        j = work.origin(product)
        if is_added(work, j):
            _products(work, [(i, work.graph.nodes[j])], work.of(other))
            return
    work.map(i, OpKind.ADD)


def linear(work: Emitted, i: int, node: Node) -> None:
    """A product, with all others that read the same input and are not summed."""
    if is_added(work, i):
        return  # when its sum is due
    x, kind = work.origin(node.inputs[0]), _input_kind(work, node)
    group = [i]
    for j in work.readers[x]:
        other = work.graph.nodes[j]
        if j <= i or other.op != "linear" or other.rows != node.rows or is_added(work, j):
            continue
        if _input_kind(work, other) == kind and len(group) < _MOST_IN_A_GROUP:
            group.append(j)
    _products(work, [(j, work.graph.nodes[j]) for j in group])


def linear_heads(work: Emitted, i: int, node: Node) -> None:
    """A product for each head."""
    t = work.tensors[node.weights[0]]
    heads, n_out, n_in = t.shape
    _collect(work, work.of(node.inputs[0]), node, [t.name], heads)
    x = _prepare(work, work.of(node.inputs[0]), node, heads)
    n = (t.dtype.id, n_out, n_in, heads)
    work.emit(i, Op(OpKind.LINEAR_HEADS, node.rows, x, n=n, w=(_weights(work, t.name),)))


def moe(work: Emitted, i: int, node: Node) -> None:
    """Experts."""
    x, router_weights = work.inputs(node)
    parts, biases = node.weights[:3], node.weights[3:]
    n_expert, n_ff, n_embd = work.tensors[parts[0]].shape
    n = (
        *(n_embd, n_ff, n_expert, node.attrs["n_used"]),
        *(work.tensors[name].dtype.id for name in parts),
        Function[node.attrs["activation"].upper()],
    )
    w = (*(_weights(work, name) for name in parts), *(work.floats(name) for name in biases))
    if work.sums is not None:
        first = work.sums.address(list(parts[:2]), n_expert, n_embd)
        w = (*w, *(0,) * (6 - len(w)), first, work.sums.address([parts[2]], n_expert, n_ff))
    work.emit(i, Op(OpKind.MOE, node.rows, x, router_weights, n=n, w=w))


def _products(work: Emitted, group: list[tuple[int, Node]], added: int = NO_PLACE) -> None:
    """Products of one input, whose results are those of the nodes given with them."""
    node = group[0][1]
    _collect(work, work.of(node.inputs[0]), node, [product.weights[0] for _, product in group])
    x = _prepare(work, work.of(node.inputs[0]), node)
    for n_left, (i, product) in zip(range(len(group), 0, -1), group, strict=True):
        t = work.tensors[product.weights[0]]
        n_out, n_in = t.shape
        bias = work.floats(product.weights[1]) if len(product.weights) > 1 else 0
        op = Op(OpKind.LINEAR, product.rows, x, added, w=(_weights(work, t.name), bias))
        op.n = (t.dtype.id, n_out, n_in, n_left)
        op.in_place = () if added == NO_PLACE else (added,)
        work.emit(i, op)
        work.done.add(i)


def _prepare(work: Emitted, x: int, node: Node, heads: int = 1) -> int:
    """A value as products read it, made once for all of them."""
    kind = _input_kind(work, node)
    if (x, kind, heads) not in work.prepared:
        n_in = work.tensors[node.weights[0]].shape[-1]
        size = heads * library().llmpy_input_bytes(kind, n_in)
        y = work.prepared[x, kind, heads] = work.new(0, node.rows, size)
        work.ops.append(Op(OpKind.PREPARE, node.rows, x, y=y, n=(kind, n_in, heads)))
    return work.prepared[x, kind, heads]


def _collect(work: Emitted, x: int, node: Node, names: list[str], matrices: int = 1) -> None:
    """Sum the squares of the inputs of these tensors, where importance is collected."""
    if work.sums is not None:
        n_in = work.tensors[names[0]].shape[-1]
        sums = work.sums.address(names, matrices, n_in)
        work.ops.append(Op(OpKind.COLLECT, node.rows, x, n=(n_in, matrices), w=(sums,)))


def _input_kind(work: Emitted, node: Node) -> int:
    kind: int = library().llmpy_input_kind(work.tensors[node.weights[0]].dtype.id)
    return kind


def _weights(work: Emitted, name: str) -> int:
    weights = work.tensors[name].weights
    assert weights is not None
    return weights.address


PRODUCTS: dict[str, Callable[[Emitted, int, Node], None]] = {
    "add": add,
    "linear": linear,
    "linear_heads": linear_heads,
    "moe": moe,
}
