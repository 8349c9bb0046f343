"""Each operation over an array namespace: for all tokens of a batch at once, where that can be.

Names, shapes and meanings are those of backends/reference/ops.py, which defines them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import Batch, KvCache
from llmpy.backends.pool import ArrayKvPool
from llmpy.backends.reference.tools import visible
from llmpy.backends.space import Array, Space
from llmpy.graph import Node
from llmpy.graph.rope import Rope, alibi_slopes
from llmpy.graph.shapes import fitted

__all__ = ["OPERATIONS", "Step"]

Rows = NDArray[np.int64]  # numbers of rows
Inputs = list[Array]


class Step:
    """The rows `of` a batch; `tokens`, `positions` and `sessions` of each are NumPy's."""

    def __init__(
        self, space: Space, pool: ArrayKvPool, batch: Batch, caches: Sequence[KvCache], of: Rows,
        bitwise: bool,
    ) -> None:  # fmt: skip
        self.space, self.xp, self.bitwise, self.pool = space, space.xp, bitwise, pool
        tokens, positions, sessions, self.output_rows = (a.astype(np.int64) for a in batch)
        self.tokens, self.positions, self.sessions = tokens[of], positions[of], sessions[of]
        self.ends = np.zeros(len(caches), np.int64)  # how many tokens each sequence has then
        np.maximum.at(self.ends, sessions, positions + 1)
        self.caches, self._rotations = caches, dict[Any, list[Array]]()
        order = np.argsort(self.sessions, kind="stable")
        self._groups = np.split(order, np.flatnonzero(np.diff(self.sessions[order])) + 1)
        self._place = np.argsort(order)  # of each row among those of the groups

    def by_session(self, of_rows: Callable[[int, Rows], Array], single: bool = False) -> Array:
        """All rows, from a function of a sequence and some of its rows, or `single` ones."""
        groups = [row[None] for row in np.concatenate(self._groups)] if single else self._groups
        parts = [of_rows(int(self.sessions[group[0]]), group) for group in groups]
        return self.take(self.xp.concat(parts, axis=0) if parts[1:] else parts[0], self._place)

    def recur(self, node: Node, n: int, of_rows: Callable[..., Any]) -> Array:
        """All rows, from a function of some rows and `n` states, which gives new states too."""

        def changed(session: int, rows: Rows) -> Array:
            arrays, first = self.pool.states.arrays(self.caches[session].state), node.attrs.state
            y, *states = of_rows(rows, *arrays[first : first + n])
            for i, state in enumerate(states, first):
                arrays[i] = self.space.put(arrays[i], ..., state)
            return y

        return self.by_session(changed)

    def by_token(self, node: Node, n: int, of_token: Callable[..., Any]) -> Array:
        """The same of one row's number after another."""

        def of_rows(rows: Rows, *states: Array) -> tuple[Array, ...]:
            y = []
            for t in rows.tolist():
                row, *states = of_token(t, *states)
                y.append(row)
            return self.xp.stack(y), *states

        return self.recur(node, n, of_rows)

    def take(self, array: Array, rows: Rows) -> Array:
        """Some of the first axis."""
        if len(rows) == array.shape[0] and (np.diff(rows) == 1).all():
            return array
        return self.xp.take(array, self.space.array(rows), axis=0)

    def linear(self, x: Array, w: Array, bias: Array | None = None) -> Array:
        """x [T, n] times w [m, n], in the type of w, plus the bias."""
        rows = self.space.cast(x, w)
        if self.bitwise:
            y = self.xp.stack([self.xp.matmul(w, rows[t]) for t in range(x.shape[0])])
        else:
            y = self.xp.matmul(rows, self.xp.permute_dims(w, (1, 0)))
        return self.space.cast(y, x) + (0.0 if bias is None else bias)

    def rank(self, x: Array) -> Array:
        """The place of each value on the last axis, 0 for the largest; ties: lower index first."""
        return self.space.argsort(self.space.argsort(-x))

    def rotation(self, spec: Rope, names: tuple[str, ...], w: Inputs) -> list[Array]:
        """Cosines and sines [T, 1, n_dims / 2] of each row's position."""
        if (spec, names) not in self._rotations:
            turned = spec.rotation(self.positions[:, None], self.space.numpy(w[0]) if w else None)
            self._rotations[spec, names] = [self.space.array(part) for part in turned]
        return self._rotations[spec, names]

    def remember(self, cache: int, rows: Array) -> Array:
        """Write keys or values of all rows to their pages."""
        for group in self._groups:
            of = self.caches[self.sessions[group[0]]]
            self.pool.store(cache, of, self.positions[group], self.take(rows, group))
        return rows


def _rms_norm(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    y = x[0] / s.xp.sqrt(s.xp.mean(x[0] * x[0], axis=-1, keepdims=True) + node.attrs.eps)
    return y * w[0] if w else y


def _layer_norm(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    y = _rms_norm(node, s, [x[0] - s.xp.mean(x[0], axis=-1, keepdims=True)], w[:1])
    return y + w[1] if len(w) > 1 else y


def _rope(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    spec = node.attrs.rope
    (cos, sin), n = s.rotation(spec, node.weights, w), spec.n_dims
    even, odd = (slice(n // 2), slice(n // 2, n)) if spec.neox else (slice(0, n, 2), slice(1, n, 2))
    a, b = x[0][..., even], x[0][..., odd]
    turned = [a * cos - b * sin, a * sin + b * cos]
    if not spec.neox:
        turned = [s.xp.reshape(s.xp.stack(turned, axis=-1), (*a.shape[:-1], n))]
    return s.xp.concat([*turned, x[0][..., n:]], axis=-1)


def _attend(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    (q, *_), a, xp, (_, n_head, d) = x, node.attrs, s.xp, x[0].shape

    def of_rows(session: int, rows: Rows) -> Array:
        at = s.positions[rows][:, None]
        low, high = visible(a, at, int(s.ends[session]))
        first, end = int(low.min()), int(high.max())
        k, v = (s.pool.load(cache, s.caches[session], first, end) for cache in a.caches)
        n_kv, t, n, keys = k.shape[1], len(rows), end - first, np.arange(first, end)
        some = xp.permute_dims(xp.reshape(s.take(q, rows), (t, n_kv, -1, d)), (1, 2, 0, 3))
        scores = xp.matmul(xp.reshape(some, (n_kv, -1, d)), xp.permute_dims(k, (1, 2, 0)))
        scores = xp.reshape(scores, (n_head, t, n)) * a.scale
        if cap := a.softcap:
            scores = xp.tanh(scores / cap) * cap
        if a.alibi:
            lost = alibi_slopes(n_head, a.alibi)[:, None, None] * np.abs(at - keys)
            scores = scores - s.space.array(lost.astype(np.float32))
        if not (seen := (keys >= low) & (keys < high)).all():
            scores = xp.where(s.space.array(seen), scores, -np.inf)
        if w:
            sinks = xp.broadcast_to(xp.reshape(w[0], (-1, 1, 1)), (n_head, t, 1))
            scores = xp.concat([scores, sinks], axis=-1)
        probabilities = xp.reshape(_softmax(s, scores)[..., :n], (n_kv, -1, n))
        y = xp.reshape(xp.matmul(probabilities, xp.permute_dims(v, (1, 0, 2))), (n_head, t, -1))
        return xp.reshape(xp.permute_dims(y, (1, 0, 2)), (t, -1))

    return s.by_session(of_rows, single=s.bitwise)


def _softmax(s: Step, x: Array) -> Array:
    e = s.xp.exp(x - s.xp.max(x, axis=-1, keepdims=True))
    return e / s.xp.sum(e, axis=-1, keepdims=True)


def _sigmoid(s: Step, x: Array) -> Array:
    return 1 / (1 + s.xp.exp(-x))


def _gelu(s: Step, x: Array) -> Array:
    return 0.5 * x * (1 + s.xp.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def _gelu_exact(s: Step, x: Array) -> Array:
    """By Abramowitz and Stegun 7.1.26: erf to 1.5e-7."""
    size, series = s.xp.abs(x) * 0.7071067811865476, 0.0
    for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + c) / (1 + 0.3275911 * size)
    tail = series * s.xp.exp(-size * size)  # 1 - erf(size)
    return 0.5 * x * s.xp.where(x < 0, tail, 2 - tail)


def _route(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    a, scores, xp = node.attrs, x[0], s.xp
    if a.gating == "sparsemixer":
        return _sparsemixer(s, scores, a.n_used) * a.factor
    soft = a.gating == "softmax"
    p = (_softmax if soft else _sigmoid)(s, scores)
    judged = p + w[0] if w else scores if soft else p
    if a.n_group_used < a.n_group:
        groups = xp.reshape(judged, (judged.shape[0], a.n_group, -1))
        best = xp.where(s.rank(groups) < (2 if w else 1), groups, 0.0)
        bad = s.rank(xp.sum(best, axis=-1)) >= a.n_group_used
        judged = xp.reshape(xp.where(bad[..., None], -np.inf, groups), judged.shape)
    weights = xp.where(s.rank(judged) < a.n_used, p, 0.0)
    if a.normalize:
        weights = weights / xp.clip(xp.sum(weights, axis=-1, keepdims=True), 1e-20, np.inf)
    return weights * a.factor


def _sparsemixer(s: Step, scores: Array, n_used: int) -> Array:
    xp, left, y = s.xp, scores, 0 * scores
    for _ in range(n_used):
        best, top = s.rank(left) == 0, xp.max(left, axis=-1, keepdims=True)
        far = (top - scores) / xp.maximum(xp.abs(scores), top + 0 * scores) > 0.02
        y = xp.where(best, _softmax(s, xp.where(far, -np.inf, left)), y)
        left = xp.where(best, -np.inf, left)
    return y


def _moe(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    (rows, weights), y = x, 0 * x[0]
    chosen = s.space.numpy(s.rank(weights) < node.attrs.n_used)
    for e in np.flatnonzero(chosen.any(axis=0)).tolist():
        those = np.flatnonzero(chosen[:, e])
        some = s.take(rows, those)
        g, u = (s.linear(some, *(m[e] for m in w[i::3])) for i in (0, 1))
        if (act := node.attrs.activation) == "swiglu_clamped":
            g, u, act = s.xp.clip(g, -np.inf, 7), s.xp.clip(u, -7, 7) + 1, "swish"
        z = _OF_ONE[act](s, g) * u
        z = s.linear(z, *(m[e] for m in w[2::3])) * s.take(weights[:, e], those)[:, None]
        y = s.space.put(y, s.space.array(those), s.take(y, those) + z)
    return y


def _previous(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    def of_rows(rows: Rows, last: Array) -> tuple[Array, Array]:
        seen = s.xp.concat([last[None], s.take(x[0], rows)], axis=0)
        return seen[:-1], seen[-1]

    return s.recur(node, 1, of_rows)


def _conv(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    def of_rows(rows: Rows, before: Array) -> tuple[Array, Array]:
        seen, t = s.xp.concat([before, s.take(x[0], rows)], axis=0), len(rows)
        y = sum(seen[j : j + t] * w[0][:, j] for j in range(w[0].shape[1]))
        return y + (w[1] if len(w) > 1 else 0.0), seen[t:]

    return s.recur(node, 1, of_rows)


def _scan(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    a, d = w[0][:, None, :], s.xp.reshape(w[1], (-1, 1))
    bs, cs = (s.xp.repeat(z, x[0].shape[1] // z.shape[1], axis=1) for z in x[2:])

    def of_token(t: int, state: Array) -> tuple[Array, Array]:
        v, dt, b, c = x[0][t], x[1][t][:, None], bs[t][:, None, :], cs[t][:, None, :]
        state = state * s.xp.exp(dt[:, :, None] * a) + (dt * v)[:, :, None] * b
        return s.xp.sum(state * c, axis=-1) + d * v, state

    return s.by_token(node, 1, of_token)


def _delta_rule(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    def of_token(t: int, state: Array) -> tuple[Array, Array]:
        q, decay, k, v, a, b = (z[t][:, None, :] for z in x)  # [h, 1, d]
        found = s.xp.sum(state * a, axis=-1, keepdims=True)
        state = state * decay + found * b + s.xp.permute_dims(v, (0, 2, 1)) * k
        return s.xp.sum(state * q, axis=-1), state

    return s.by_token(node, 1, of_token)


def _wkv4(node: Node, s: Step, x: Inputs, w: Inputs) -> Array:
    def mean(total: Array, weight: Array, most: Array, k: Array, v: Array) -> tuple[Array, ...]:
        top = s.xp.maximum(most, k)
        old, new = s.xp.exp(most - top), s.xp.exp(k - top)
        return old * total + new * v, old * weight + new, top

    def of_token(t: int, total: Array, weight: Array, most: Array) -> tuple[Array, ...]:
        above, below, _ = mean(total, weight, most, w[1] + x[0][t], x[1][t])
        return above / below, *mean(total, weight, most + w[0], x[0][t], x[1][t])

    return s.by_token(node, 3, of_token)


_OF_ONE: dict[str, Callable[[Step, Array], Array]] = {
    "silu": lambda s, x: x * _sigmoid(s, x),
    "swish": lambda s, x: x * _sigmoid(s, 1.702 * x),  # of swiglu_clamped
    "gelu": _gelu,
    "gelu_exact": _gelu_exact,
    "relu": lambda s, x: s.xp.clip(x, 0, np.inf),
    "sigmoid": _sigmoid,
    "tanh": lambda s, x: s.xp.tanh(x),
    "exp": lambda s, x: s.xp.exp(x),
    "softplus": lambda s, x: s.xp.clip(x, 0, np.inf) + s.xp.log1p(s.xp.exp(-s.xp.abs(x))),
    "sum": lambda s, x: s.xp.sum(x, axis=-1, keepdims=True),
    "output_rows": lambda s, x: s.take(x, s.output_rows),
}
OPERATIONS: dict[str, Callable[[Node, Step, Inputs, Inputs], Array]] = {
    "tokens": lambda n, s, x, w: s.tokens,
    "embed": lambda n, s, x, w: s.take(w[0], s.tokens),
    "embed_position": lambda n, s, x, w: s.take(w[0], s.positions + n.attrs.offset),
    "embed_row": lambda n, s, x, w: s.take(w[0], 0 * s.tokens + n.attrs.row),
    "linear": lambda n, s, x, w: s.linear(x[0], *w),
    "linear_heads": lambda n, s, x, w: s.xp.stack(
        [s.linear(x[0][:, h], w[0][h]) for h in range(n.shape[0])], axis=1),
    "heads": lambda n, s, x, w: s.xp.reshape(x[0], (-1, *n.shape)),
    "flatten": lambda n, s, x, w: s.xp.reshape(x[0], (-1, *n.shape)),
    "slice": lambda n, s, x, w: x[0][..., n.attrs.start : n.attrs.start + n.attrs.size],
    "concat": lambda n, s, x, w: s.xp.concat(x, axis=-1),
    "repeat": lambda n, s, x, w: s.xp.repeat(x[0], n.shape[0] // x[0].shape[1], axis=1),
    "cached": lambda n, s, x, w: s.remember(n.attrs.index, x[0]),
    "add": lambda n, s, x, w: x[0] + x[1],
    "mul": lambda n, s, x, w: x[0] * x[1],
    "add_weight": lambda n, s, x, w: x[0] + s.xp.reshape(w[0], fitted(w[0].shape, n.shape)),
    "mul_weight": lambda n, s, x, w: x[0] * s.xp.reshape(w[0], fitted(w[0].shape, n.shape)),
    "scale": lambda n, s, x, w: x[0] * n.attrs.factor,
    "clamp": lambda n, s, x, w: s.xp.clip(x[0], n.attrs.low, n.attrs.high),
    "rms_norm": _rms_norm, "layer_norm": _layer_norm, "rope": _rope, "attend": _attend,
    "route": _route, "moe": _moe, "previous": _previous, "conv": _conv, "scan": _scan,
    "delta_rule": _delta_rule, "wkv4": _wkv4,
}  # fmt: skip
OPERATIONS |= {op: lambda n, s, x, w, f=f: f(s, x[0]) for op, f in _OF_ONE.items()}  # type: ignore[misc]
