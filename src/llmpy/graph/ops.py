"""The operation table: every operation of a graph, what it takes, and the shape it gives.

Shapes are those of one token: the leading axis [T] (tokens in the batch) is left out, and nothing
else is ever unknown. `backends/reference.py` is the definition of each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from llmpy.errors import GraphError

__all__ = ["OPS", "Operation", "Shape"]

Shape = tuple[int, ...]
Rule = Callable[[Sequence[Shape], Sequence[Shape], Mapping[str, Any]], Shape]


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    `inputs`: how many values it takes; `rule(input shapes, weight shapes, attributes)` gives the
    shape of the result or raises GraphError; `meaning` is its formula in one line.
    """

    name: str
    inputs: int
    rule: Rule
    meaning: str


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise GraphError(message)


def _embed(x: Sequence[Shape], w: Sequence[Shape], a: Mapping[str, Any]) -> Shape:
    _need(len(w[0]) == 2, f"expected a matrix [n_vocab, n_embd], found shape {w[0]}")
    return (w[0][1],)


def _norm(x: Sequence[Shape], w: Sequence[Shape], a: Mapping[str, Any]) -> Shape:
    for shape in w:
        _need(shape == x[0][-1:], f"expected shape {x[0][-1:]}, found {shape}")
    return x[0]


def _linear(x: Sequence[Shape], w: Sequence[Shape], a: Mapping[str, Any]) -> Shape:
    _need(len(x[0]) == 1, f"a vector a token is needed, not {x[0]}")
    _need(
        len(w[0]) == 2 and w[0][1] == x[0][0],
        f"expected shape (n_out, {x[0][0]}), found {w[0]}",
    )
    if len(w) > 1:
        _need(w[1] == w[0][:1], f"bias: expected shape {w[0][:1]}, found {w[1]}")
    return (w[0][0],)


def _heads(x: Sequence[Shape], w: Sequence[Shape], a: Mapping[str, Any]) -> Shape:
    n, width = a["n"], prod(x[0])
    _need(n > 0 and width % n == 0, f"{width} values cannot be split into {n} heads")
    return (n, width // n)


def _rope(x: Sequence[Shape], w: Sequence[Shape], a: Mapping[str, Any]) -> Shape:
    n = a["rope"].n_dims
    _need(len(x[0]) == 2, f"heads are needed, not {x[0]}")
    _need(
        0 < n <= x[0][1] and n % 2 == 0,
        f"{n} rotated dimensions do not fit heads of {x[0][1]}",
    )
    for shape in w:
        _need(shape == (n // 2,), f"rope factors: expected shape {(n // 2,)}, found {shape}")
    return x[0]


def _same(x: Sequence[Shape], w: Sequence[Shape], a: Mapping[str, Any]) -> Shape:
    _need(all(s == x[0] for s in x), f"shapes differ: {' and '.join(map(str, x))}")
    return x[0]


def _attend(x: Sequence[Shape], w: Sequence[Shape], a: Mapping[str, Any]) -> Shape:
    q, k, v = x
    for shape in x:
        _need(len(shape) == 2, f"heads are needed, not {shape}")
    _need(q[1] == k[1], f"queries of {q[1]} values cannot meet keys of {k[1]}")
    _need(k[0] == v[0], f"{k[0]} key heads but {v[0]} value heads")
    _need(q[0] % k[0] == 0, f"{q[0]} query heads cannot share {k[0]} key heads")
    return (q[0] * v[1],)


def _mixture(x: Sequence[Shape], w: Sequence[Shape], a: Mapping[str, Any]) -> Shape:
    for shape in x:
        _need(len(shape) == 1, f"a vector a token is needed, not {shape}")
    (n_embd,), (n_expert,) = x
    gate, up, down = w
    _need(
        1 <= a["n_used"] <= n_expert,
        f"expected 1 to {n_expert} experts used a token, found {a['n_used']}",
    )
    _need(len(gate) == 3, f"experts: expected (n_expert, n_ff, n_embd), found {gate}")
    n_ff = gate[1]
    _need(
        gate == up == (n_expert, n_ff, n_embd) and down == (n_expert, n_embd, n_ff),
        f"experts: expected ({n_expert}, n_ff, {n_embd}), the same, and ({n_expert}, {n_embd}, "
        f"n_ff), found {gate}, {up} and {down}",
    )
    return (n_embd,)


OPS: dict[str, Operation] = {
    op.name: op
    for op in [
        Operation("embed", 0, _embed, "y[t] = w[token[t]]"),
        Operation("rms_norm", 1, _norm, "y = x / sqrt(mean(x^2) + eps) * w"),
        Operation("linear", 1, _linear, "y[t,o] = sum_i x[t,i] w[o,i] (+ b[o])"),
        Operation("heads", 1, _heads, "y = x, seen as [n heads, values a head]"),
        Operation("rope", 1, _rope, "pairs of values turned by position times frequency"),
        Operation("cached", 1, _same, "x of this token and of all before it in its session"),
        Operation("attend", 3, _attend, "y = softmax(scale q k^T, causal, in the window) v"),
        Operation("add", 2, _same, "y = a + b"),
        Operation("mul", 2, _same, "y = a * b"),
        Operation("scale", 1, _same, "y = factor * x"),
        Operation("silu", 1, _same, "y = x / (1 + exp(-x))"),
        Operation(
            "mixture",
            2,
            _mixture,
            "y = sum over the n_used best e of p_e down_e(silu(gate_e x) * up_e x)",
        ),
        Operation("wanted", 1, _same, "the rows of x whose logits are asked for"),
    ]
}
