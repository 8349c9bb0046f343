"""Each operation in a few lines of NumPy, which are its definition.

Every function gets its node, what it may ask about the batch, its inputs [T, ...] and its weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llmpy.backends.reference import tools
from llmpy.backends.reference.moe import moe, route
from llmpy.backends.reference.recurrent import conv, delta_rule, previous, scan, wkv4
from llmpy.backends.reference.tools import Array, Step, softmax
from llmpy.graph import Node
from llmpy.graph.rope import alibi_slopes
from llmpy.graph.shapes import fitted

__all__ = ["OPERATIONS"]


def tokens(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """The token ids of the batch [T], which `embed` reads there."""
    return step.tokens.astype(np.float32)


def embed(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Row of the table for each token: [n_vocab, n] -> [T, n]."""
    return w[0][step.tokens]


def embed_position(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Row of the table for each token's position, from the row `offset` on."""
    y: Array = w[0][step.positions + node.attrs.offset]
    return y


def embed_row(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """The same row for every token."""
    return np.repeat(w[0][node.attrs.row][None], len(step.tokens), axis=0)


def rms_norm(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x / sqrt(mean(x^2) + eps) over the last axis, times w if there is one."""
    mean = np.mean(x[0] * x[0], axis=-1, keepdims=True, dtype=np.float32)
    scale: Array = np.reciprocal(np.sqrt(mean + np.float32(node.attrs.eps)), dtype=np.float32)
    return x[0] * scale * w[0] if w else x[0] * scale


def layer_norm(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """(x - mean) / sqrt(variance + eps) over the last axis, times w, plus b, where they are."""
    centered = x[0] - np.mean(x[0], axis=-1, keepdims=True, dtype=np.float32)
    y: Array = rms_norm(node, step, [centered], w[:1])
    return y + w[1] if len(w) > 1 else y


def linear(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """y[t, o] = sum over i of x[t, i] w[o, i], plus b[o]."""
    y = tools.product(w[0], x[0])
    return y + w[1] if len(w) > 1 else y


def linear_heads(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """For each head h, y[t, h, o] = sum over i of x[t, h, i] w[h, o, i]."""
    return np.stack([tools.product(w[0][h], x[0][:, h]) for h in range(len(w[0]))], axis=1)


def heads(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """[T, n * d] seen as [T, n, d]."""
    return x[0].reshape(-1, *node.shape)


def flatten(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """[T, n, d] seen as [T, n * d]."""
    return x[0].reshape(-1, *node.shape)


def slice_(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Values `start` to `start + size` of the last axis."""
    start = node.attrs.start
    return x[0][..., start : start + node.attrs.size]


def concat(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Both side by side on the last axis."""
    return np.concatenate(x, axis=-1)


def repeat(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Each head n / n_head times, one after another."""
    return np.repeat(x[0], node.attrs.n // x[0].shape[1], axis=1)


def rope(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Each pair of values turned by position times frequency, times the magnitude, which grows."""
    spec = node.attrs.rope
    cos, sin = spec.rotation(step.positions[:, None], w[0] if w else None)
    n = spec.n_dims
    first, second = (
        (slice(0, n // 2), slice(n // 2, n)) if spec.neox else (slice(0, n, 2), slice(1, n, 2))
    )
    a, b = x[0][..., first], x[0][..., second]
    y = x[0].copy()
    y[..., first] = a * cos - b * sin
    y[..., second] = a * sin + b * cos
    return y


def cached(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Remember the rows for their sessions; `attend` reads them back."""
    step.remember(node.attrs.index, x[0])
    return x[0]


def attend(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """softmax(scale q k^T) v over what the session holds up to this token, within the window.

    ALiBi takes slope * distance from the scores, after a softcap; a sink is a score without value.
    """
    q, a = x[0], node.attrs  # q [T, n_head, d]; keys and values come from the session
    n_head, scale = q.shape[1], np.float32(a.scale)
    slopes = alibi_slopes(n_head, a.alibi)
    y = np.empty((len(q), *node.shape), np.float32)
    for t, (position, session) in enumerate(zip(step.positions, step.sessions, strict=True)):
        first, end = tools.visible(a, int(position), int(step.ends[session]))
        k, v = (step.history(c, session, end)[first:] for c in a.caches)
        groups = q[t].reshape(k.shape[1], n_head // k.shape[1], -1)  # [n_kv, group, d]
        scores = (groups @ k.transpose(1, 2, 0)).reshape(n_head, -1) * scale
        if cap := np.float32(a.softcap):
            scores = np.tanh(scores / cap) * cap
        if a.alibi:
            distance = np.abs(position - np.arange(first, end))
            scores = scores - (slopes[:, None] * distance).astype(np.float32)
        if w:
            scores = np.concatenate([scores, w[0][:, None]], axis=1)
        probabilities = softmax(scores)[:, : end - first].reshape(*groups.shape[:2], -1)
        y[t] = (probabilities @ v.transpose(1, 0, 2)).reshape(-1)
    return y


def add(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """a + b."""
    return x[0] + x[1]


def mul(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """a * b; b may have one value for the last axis."""
    return x[0] * x[1]


def add_weight(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x plus a tensor of the shape of its last axes."""
    return x[0] + w[0].reshape(fitted(w[0].shape, node.shape))


def mul_weight(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x times a tensor of the shape of its last axes."""
    return x[0] * w[0].reshape(fitted(w[0].shape, node.shape))


def scale(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """factor * x."""
    return x[0] * np.float32(node.attrs.factor)


def sum_(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """The sum over the last axis."""
    y: Array = x[0].sum(axis=-1, keepdims=True, dtype=np.float32)
    return y


def clamp(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Brought between low and high."""
    return np.clip(x[0], np.float32(node.attrs.low), np.float32(node.attrs.high))


def silu(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x / (1 + exp(-x))."""
    return tools.silu(x[0])


def gelu(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    return tools.gelu(x[0])


def gelu_exact(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x / 2 (1 + erf(x / sqrt(2)))."""
    return tools.gelu_exact(x[0])


def relu(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """The larger of x and 0."""
    return np.maximum(x[0], 0)


def sigmoid(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """1 / (1 + exp(-x))."""
    y: Array = np.reciprocal(1 + np.exp(-x[0]))
    return y


def tanh(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Hyperbolic tangent."""
    y: Array = np.tanh(x[0])
    return y


def exp(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """e to the power of x."""
    y: Array = np.exp(x[0])
    return y


def softplus(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """log(1 + exp(x))."""
    y: Array = np.logaddexp(x[0], np.float32(0))
    return y


def output_rows(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """The rows whose logits are asked for."""
    return x[0][step.output_rows]


OPERATIONS: dict[str, Callable[[Node, Step, list[Array], list[Array]], Array]] = {
    f.__name__.removesuffix("_"): f
    for f in [
        tokens, embed, embed_position, embed_row, rms_norm, layer_norm, linear, linear_heads, heads,
        flatten, slice_, concat, repeat, rope, cached, attend, add, mul, add_weight, mul_weight,
        scale, clamp, silu, gelu, gelu_exact, relu, sigmoid, tanh, exp, softplus, route, moe,
        output_rows, sum_, previous, conv, scan, delta_rule, wkv4,
    ]
}  # fmt: skip
