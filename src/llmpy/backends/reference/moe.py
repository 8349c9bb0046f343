"""The operations of mixtures of experts in NumPy: routing and the weighted sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmpy.backends.reference.tools import Array, Step, gelu, gelu_exact, product, silu, softmax
from llmpy.graph import Node

__all__ = ["ACTIVATIONS", "moe", "route"]


def route(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Weight the chosen experts; 0 stands for all others (ties: the lower index is chosen).

    Chosen by score (softmax keeps the order), sigmoid plus bias, in the best groups only.
    """
    a, n_used = node.attrs, node.attrs.n_used
    y = np.zeros_like(x[0])
    for t, scores in enumerate(x[0]):
        if a.gating == "sparsemixer":
            chosen, weights = _sparsemixer(scores, n_used)
        else:
            soft = a.gating == "softmax"
            p = softmax(scores) if soft else 1 / (1 + np.exp(-scores))
            judged = p + w[0] if w else scores if soft else p
            chosen = _choose(judged, 2 if w else 1, n_used, a.n_group, a.n_group_used)
            weights = p[chosen]
            if a.normalize:
                weights = weights / max(weights.sum(), np.float32(1e-20))
        y[t, chosen] = weights * np.float32(a.factor)
    return y


def _choose(judged: Array, n_best: int, n: int, n_group: int, n_group_used: int) -> Any:
    """The `n` best experts, best first; a group is as good as the sum of its `n_best` best."""
    if n_group_used < n_group:
        groups = judged.reshape(n_group, -1)
        merit = np.sort(groups, axis=1)[:, -n_best:].sum(axis=1)
        worst = np.argsort(-merit, kind="stable")[n_group_used:]
        judged = groups.copy()
        judged[worst] = -np.inf
        judged = judged.reshape(-1)
    return np.argsort(-judged, kind="stable")[:n]


def _sparsemixer(scores: Array, n: int) -> tuple[Any, Array]:
    """Best after best; each one's weight is its softmax among those near the best of the rest."""
    left, chosen, weights = scores.copy(), [], []
    for _ in range(n):
        best = int(np.argmax(left))
        size = np.maximum(np.abs(scores), left[best])
        near = ~((left[best] - scores) / size > np.float32(0.02))  # 0 / 0 is near
        weights.append(softmax(np.where(near, left, -np.inf))[best])
        chosen.append(best)
        left[best] = -np.inf
    return np.array(chosen), np.array(weights, np.float32)


def moe(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Sum the `n_used` experts of the largest weights (ties: the lower index), largest first.

    "swiglu_clamped" is min(g, 7) sigmoid(1.702 g) (clamp(u, -7, 7) + 1), of gpt-oss.
    """
    act = ACTIVATIONS[node.attrs.activation]
    gate, up, down = w[:3]
    y = np.zeros_like(x[0])
    for t, (row, weights) in enumerate(zip(*x, strict=True)):
        for e in np.argsort(-weights, kind="stable")[: node.attrs.n_used]:
            g, u = (product(m[e], row[None])[0] for m in (gate, up))
            if len(w) > 3:
                g, u = g + w[3][e], u + w[4][e]
            z = product(down[e], act(g, u)[None])[0]
            y[t] += weights[e] * (z + w[5][e] if len(w) > 3 else z)
    return y


def _swiglu_clamped(g: Array, u: Array) -> Array:
    g, u = np.minimum(g, np.float32(7)), np.clip(u, np.float32(-7), np.float32(7))
    y: Array = g / (1 + np.exp(np.float32(-1.702) * g)) * (u + 1)
    return y


ACTIVATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "silu": lambda g, u: silu(g) * u,
    "gelu": lambda g, u: gelu(g) * u,
    "gelu_exact": lambda g, u: gelu_exact(g) * u,
    "relu": lambda g, u: np.maximum(g, 0) * u,
    "swiglu_clamped": _swiglu_clamped,
}
