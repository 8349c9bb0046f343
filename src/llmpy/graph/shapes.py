"""The shape that each operation gives: one rule each, for the table in ops.py.

Shapes are those of one token: the leading axis [T] is left out. A rule raises GraphError for what
the operation cannot take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from llmpy.errors import GraphError
from llmpy.graph.attributes import Attributes, EmbedRow, Heads, Moe, Rotate, Route, Slice

__all__ = ["ACTIVATIONS", "GATINGS", "Rule", "Shape", "fitted"]

Shape = tuple[int, ...]
Rule = Callable[[Sequence[Shape], Sequence[Shape], Any], Shape]  # inputs, weights, attributes

ACTIVATIONS = ("silu", "gelu", "gelu_exact", "relu", "swiglu_clamped")  # of experts
GATINGS = ("softmax", "sigmoid", "sparsemixer")  # of a router


def need(condition: bool, message: str) -> None:
    """Raise GraphError unless the condition holds."""
    if not condition:
        raise GraphError(message)


def tokens(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    return ()


def embed(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    need(x[0] == (), f"only the token ids of the batch can be embedded, not {x[0]}")
    need(len(w[0]) == 2, f"expected a matrix [n_vocab, n_embd], found shape {w[0]}")
    return (w[0][1],)


def embed_row(x: Sequence[Shape], w: Sequence[Shape], a: EmbedRow) -> Shape:
    shape = embed(x, w, a)
    need(0 <= a.row < w[0][0], f"row {a.row} of a table of {w[0][0]}")
    return shape


def same(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    need(all(s == x[0] for s in x), f"shapes differ: {' and '.join(map(str, x))}")
    return x[0]


def product(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    factor = (*x[0][:-1], 1)
    need(x[1] in (x[0], factor), f"shapes differ: {x[0]} and {x[1]}")
    return x[0]


def with_weights(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    """Weights of the last axes of x: for each head the same, or each its own."""
    for shape in w:
        fits = 0 < len(shape) <= len(x[0]) and shape == x[0][-len(shape) :]
        need(fits, f"expected shape {x[0][-1:]}, found {shape}")
    return x[0]


def with_tensor(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    need(fitted(w[0], x[0]) is not None, f"expected shape {x[0][-1:]}, found {w[0]}")
    return x[0]


def fitted(shape: Shape, to: Shape) -> Shape | None:
    """The shape of the last axes of `to` that weights have, axes of 1 aside; None if they differ.

    Files have such axes, [6, 1, 1, n] for six vectors.
    """
    for candidate in (shape, tuple(n for n in shape if n != 1)):
        if 0 < len(candidate) <= len(to) and candidate == to[-len(candidate) :]:
            return candidate
    return None


def sum_(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    return (*x[0][:-1], 1)


def linear(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    need(len(x[0]) == 1, f"a vector a token is needed, not {x[0]}")
    need(
        len(w[0]) == 2 and w[0][1] == x[0][0],
        f"expected shape (n_out, {x[0][0]}), found {w[0]}",
    )
    if len(w) > 1:
        need(w[1] == w[0][:1], f"bias: expected shape {w[0][:1]}, found {w[1]}")
    return (w[0][0],)


def linear_heads(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    need(len(x[0]) == 2, f"heads are needed, not {x[0]}")
    n, width = x[0]
    need(
        len(w[0]) == 3 and w[0][0] == n and w[0][2] == width,
        f"expected shape ({n}, n_out, {width}), found {w[0]}",
    )
    return (n, w[0][1])


def heads(x: Sequence[Shape], w: Sequence[Shape], a: Heads) -> Shape:
    n, width = a.n, prod(x[0])
    need(n > 0 and width % n == 0, f"{width} values cannot be split into {n} heads")
    return (n, width // n)


def flatten(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    return (prod(x[0]),)


def slice_(x: Sequence[Shape], w: Sequence[Shape], a: Slice) -> Shape:
    start, size, width = a.start, a.size, x[0][-1]
    need(
        start >= 0 and size > 0 and start + size <= width,
        f"values {start} to {start + size} of {width}",
    )
    return (*x[0][:-1], size)


def concat(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    need(x[0][:-1] == x[1][:-1], f"shapes differ before the last axis: {x[0]} and {x[1]}")
    return (*x[0][:-1], x[0][-1] + x[1][-1])


def repeat(x: Sequence[Shape], w: Sequence[Shape], a: Heads) -> Shape:
    need(len(x[0]) == 2, f"heads are needed, not {x[0]}")
    n = a.n
    need(n > 0 and n % x[0][0] == 0, f"{x[0][0]} heads cannot be repeated to {n}")
    return (n, x[0][1])


def rope(x: Sequence[Shape], w: Sequence[Shape], a: Rotate) -> Shape:
    n = a.rope.n_dims
    need(len(x[0]) == 2, f"heads are needed, not {x[0]}")
    need(
        0 < n <= x[0][1] and n % 2 == 0,
        f"{n} rotated dimensions do not fit heads of {x[0][1]}",
    )
    for shape in w:
        need(shape == (n // 2,), f"rope factors: expected shape {(n // 2,)}, found {shape}")
    return x[0]


def attend(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    q, k, v = x
    for shape in x:
        need(len(shape) == 2, f"heads are needed, not {shape}")
    need(q[1] == k[1], f"queries of {q[1]} values cannot meet keys of {k[1]}")
    need(k[0] == v[0], f"{k[0]} key heads but {v[0]} value heads")
    need(q[0] % k[0] == 0, f"{q[0]} query heads cannot share {k[0]} key heads")
    for shape in w:
        need(shape == (q[0],), f"sinks: expected shape {(q[0],)}, found {shape}")
    return (q[0] * v[1],)


def conv(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    need(len(x[0]) == 1, f"a vector a token is needed, not {x[0]}")
    (n,) = x[0]
    need(
        len(w[0]) == 2 and w[0][0] == n and w[0][1] > 1,
        f"expected shape ({n}, 2 or more), found {w[0]}",
    )
    for shape in w[1:]:
        need(shape == (n,), f"bias: expected shape {(n,)}, found {shape}")
    return x[0]


def scan(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    values, dt, b, c = x
    for shape in (values, b, c):
        need(len(shape) == 2, f"heads are needed, not {shape}")
    n_head, n_state = values[0], b[1]
    need(dt == (n_head,), f"steps: expected shape {(n_head,)}, found {dt}")
    need(b == c, f"shapes differ: {b} and {c}")
    need(n_head % b[0] == 0, f"{n_head} heads cannot share {b[0]} groups")
    need(
        w[0] in ((n_head, n_state), (n_head, 1)),
        f"expected shape ({n_head}, {n_state}) or ({n_head}, 1), found {w[0]}",
    )
    need(prod(w[1]) == n_head, f"expected {n_head} values, found shape {w[1]}")
    return values


def delta_rule(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    q, decay, k, v, removed, written = x
    for shape in x:
        need(len(shape) == 2, f"heads are needed, not {shape}")
    for shape in (k, removed, written):
        need(shape == q, f"shapes differ: {q} and {shape}")
    need(decay in (q, (q[0], 1)), f"decay: expected shape {q} or {(q[0], 1)}, found {decay}")
    need(v[0] == q[0], f"{q[0]} heads but {v[0]} heads of values")
    return v


def wkv4(x: Sequence[Shape], w: Sequence[Shape], a: Attributes) -> Shape:
    need(len(x[0]) == 1, f"a vector a token is needed, not {x[0]}")
    for shape in (x[1], *w):
        need(shape == x[0], f"expected shape {x[0]}, found {shape}")
    return x[0]


def route(x: Sequence[Shape], w: Sequence[Shape], a: Route) -> Shape:
    need(len(x[0]) == 1, f"a score an expert is needed, not {x[0]}")
    n, used = x[0][0], a.n_used
    need(1 <= used <= n, f"expected 1 to {n} experts used a token, found {used}")
    need(a.gating in GATINGS, f"expected one of {', '.join(GATINGS)}, found {a.gating!r}")
    groups, of_them = a.n_group, a.n_group_used
    need(groups >= 1 and n % groups == 0, f"{n} experts cannot be split into {groups} groups")
    need(1 <= of_them <= groups, f"expected 1 to {groups} groups used, found {of_them}")
    need(
        used <= n // groups * of_them,
        f"{of_them} groups of {n // groups} experts do not have the {used} that are used",
    )
    for shape in w:
        need(shape == (n,), f"router bias: expected shape {(n,)}, found {shape}")
    return x[0]


def moe(x: Sequence[Shape], w: Sequence[Shape], a: Moe) -> Shape:
    for shape in x:
        need(len(shape) == 1, f"a vector a token is needed, not {shape}")
    (n_embd,), (n_expert,) = x
    need(
        1 <= a.n_used <= n_expert,
        f"expected 1 to {n_expert} experts used a token, found {a.n_used}",
    )
    known = ", ".join(ACTIVATIONS)
    need(a.activation in ACTIVATIONS, f"expected one of {known}, found {a.activation!r}")
    gate, up, down = w[:3]
    need(len(gate) == 3, f"experts: expected (n_expert, n_ff, n_embd), found {gate}")
    n_ff = gate[1]
    need(
        gate == up == (n_expert, n_ff, n_embd) and down == (n_expert, n_embd, n_ff),
        f"experts: expected ({n_expert}, n_ff, {n_embd}), the same, and ({n_expert}, {n_embd}, "
        f"n_ff), found {gate}, {up} and {down}",
    )
    if biases := tuple(w[3:]):
        expected = ((n_expert, n_ff), (n_expert, n_ff), (n_expert, n_embd))
        need(biases == expected, f"biases of experts: expected {expected}, found {biases}")
    return (n_embd,)
