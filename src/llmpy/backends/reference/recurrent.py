"""The operations with a memory in NumPy: token after token, each changes its session's arrays."""

from __future__ import annotations

import numpy as np

from llmpy.backends.reference.tools import Array, Step
from llmpy.graph import Node

__all__ = ["conv", "delta_rule", "previous", "scan", "wkv4"]


def previous(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x of the token before in its session."""
    y = np.empty_like(x[0])
    for t, session in enumerate(step.sessions):
        last = step.state(node.attrs.state, session)
        y[t] = last
        last[:] = x[0][t]
    return y


def conv(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """y[t, i] = sum over j of x[t - width + 1 + j, i] w[i, j], plus b[i]."""
    y = np.empty_like(x[0])
    for t, session in enumerate(step.sessions):
        before = step.state(node.attrs.state, session)  # [width - 1, n], oldest first
        rows = np.concatenate([before, x[0][t : t + 1]])
        y[t] = np.einsum("ji,ij->i", rows, w[0]) + (w[1] if len(w) > 1 else 0)
        before[:] = rows[1:]
    return y


def scan(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """For each head S = exp(dt a) S + dt x b^T, y = S c + d x."""
    a, d = w[0][:, None, :], w[1].reshape(-1, 1)  # [h, 1, n or 1], [h, 1]
    y = np.empty_like(x[0])
    for t, session in enumerate(step.sessions):
        s = step.state(node.attrs.state, session)  # [h, d, n]
        values, dt = x[0][t], x[1][t][:, None]
        b, c = (np.repeat(z[t], len(s) // z.shape[1], axis=0) for z in x[2:])  # [h, n]
        s *= np.exp(dt[:, :, None] * a)
        s += (dt * values)[:, :, None] * b[:, None, :]
        y[t] = (s @ c[:, :, None])[:, :, 0] + d * values
    return y


def delta_rule(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """For each head S = S diag(w) + (S a) b^T + v k^T, y = S x."""
    y = np.empty((len(x[0]), *node.shape), np.float32)
    for t, session in enumerate(step.sessions):
        s = step.state(node.attrs.state, session)  # [h, d_v, d_k]
        q, decay, k, v, a, b = (z[t][:, None, :] for z in x)  # [h, 1, d]
        found = s @ a.swapaxes(1, 2)  # [h, d_v, 1]
        s *= decay
        s += found * b + v.swapaxes(1, 2) * k
        y[t] = (s @ q.swapaxes(1, 2))[:, :, 0]
    return y


def wkv4(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Mean of values v, weighted by exp of keys that decay; sums hold e^-most of their values."""
    (decay, first), y = w, np.empty_like(x[0])
    for t, session in enumerate(step.sessions):
        total, weight, most = (step.state(node.attrs.state + i, session) for i in range(3))
        k, v = x[0][t], x[1][t]
        top = np.maximum(most, first + k)
        old, new = np.exp(most - top), np.exp(first + k - top)
        y[t] = (old * total + new * v) / (old * weight + new)
        top = np.maximum(most + decay, k)
        old, new = np.exp(most + decay - top), np.exp(k - top)
        total[:], weight[:], most[:] = old * total + new * v, old * weight + new, top
    return y
