"""The reference backend: each operation in a few lines of NumPy, which are its definition.

Every other backend is tested against it. It is slow, needs no compiler, computes in float32, and
reads a batch token by token where the number of rows could change the order of a sum (law 9).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.base import PAGE_TOKENS, Batch, Page, State
from llmpy.dtypes import DType
from llmpy.errors import BackendError
from llmpy.graph import Graph, Node

__all__ = ["ReferenceBackend"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Step:
    """What an operation may ask about the batch: for its own rows, which token, where, of whom."""

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sessions: NDArray[np.int32]
    wanted: NDArray[np.int32]
    history: Callable[[int, int, int], Array]  # (cache, session, n) -> its first n rows
    remember: Callable[[int, Array], None]  # (cache, rows [T, ...])


def embed(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Row of the table for each token: [n_vocab, n] -> [T, n]."""
    return w[0][step.tokens]


def rms_norm(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x / sqrt(mean(x^2) + eps) * w over the last axis."""
    mean = np.mean(x[0] * x[0], axis=-1, keepdims=True, dtype=np.float32)
    scale: Array = np.reciprocal(np.sqrt(mean + np.float32(node.attrs["eps"])), dtype=np.float32)
    return x[0] * scale * w[0]


def linear(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """y[t, o] = sum over i of x[t, i] w[o, i], plus b[o]."""
    y = _product(w[0], x[0])
    return y + w[1] if len(w) > 1 else y


def heads(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """[T, n * d] seen as [T, n, d]."""
    return x[0].reshape(-1, *node.shape)


def rope(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """Each pair of values turned by position times frequency, times the magnitude."""
    spec = node.attrs["rope"]
    frequencies = spec.frequencies() / (w[0] if w else 1.0)
    angle = step.positions[:, None, None] * frequencies  # [T, 1, n_dims / 2]
    cos = (np.cos(angle) * spec.magnitude()).astype(np.float32)
    sin = (np.sin(angle) * spec.magnitude()).astype(np.float32)
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
    step.remember(node.attrs["index"], x[0])
    return x[0]


def attend(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """softmax(scale q k^T) v over what the session holds up to this token, within the window."""
    q = x[0]  # [T, n_head, d]; keys and values come from the session
    n_head = q.shape[1]
    y = np.empty((len(q), *node.shape), np.float32)
    for t, (position, session) in enumerate(zip(step.positions, step.sessions, strict=True)):
        start = max(0, position + 1 - node.attrs["window"]) if node.attrs["window"] else 0
        k, v = (step.history(c, session, position + 1)[start:] for c in node.attrs["caches"])
        groups = q[t].reshape(k.shape[1], n_head // k.shape[1], -1)  # [n_kv, group, d]
        scores = groups @ k.transpose(1, 2, 0) * np.float32(node.attrs["scale"])
        y[t] = (_softmax(scores) @ v.transpose(1, 0, 2)).reshape(-1)
    return y


def add(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """a + b."""
    return x[0] + x[1]


def mul(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """a * b."""
    return x[0] * x[1]


def scale(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """factor * x."""
    return x[0] * np.float32(node.attrs["factor"])


def silu(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """x / (1 + exp(-x))."""
    y: Array = x[0] / (1 + np.exp(-x[0]))
    return y


def mixture(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """The best `n_used` experts of each token (ties: the lower index), weighted by softmax."""
    gate, up, down = w
    y = np.zeros_like(x[0])
    for t, (row, scores) in enumerate(zip(*x, strict=True)):
        best = np.argsort(-scores, kind="stable")[: node.attrs["n_used"]]
        for expert, weight in zip(best, _softmax(scores[best]), strict=True):
            g, u = (_product(w, row[None])[0] for w in (gate[expert], up[expert]))
            y[t] += weight * _product(down[expert], (g / (1 + np.exp(-g)) * u)[None])[0]
    return y


def wanted(node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
    """The rows whose logits are asked for."""
    return x[0][step.wanted]


OPERATIONS = {
    f.__name__: f
    for f in [
        embed, rms_norm, linear, heads, rope, cached, attend, add, mul, scale, silu, mixture, wanted
    ]
}  # fmt: skip


def _product(w: Array, x: Array) -> Array:
    """Row by row, so that the number of rows cannot change the order of the sums."""
    return np.stack([w @ row for row in x]) if len(x) else np.empty((0, len(w)), np.float32)


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = e / e.sum(axis=-1, keepdims=True)
    return y


class ReferencePlan:
    """A graph for NumPy to run; a page's memory is one array [PAGE_TOKENS, ...] for each cache."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array], kv_dtype: str) -> None:
        self.graph = graph
        self.weights = weights
        self.n_vocab = graph.n_vocab
        self.kv_type = np.dtype({"f16": np.float16, "f32": np.float32}[kv_dtype])
        values = sum(int(np.prod(c.shape)) for c in graph.caches)
        self.page_bytes = PAGE_TOKENS * values * self.kv_type.itemsize

    def new_page(self) -> Page:
        """A page of zeros."""
        return Page([np.zeros((PAGE_TOKENS, *c.shape), self.kv_type) for c in self.graph.caches])

    def copy_page(self, page: Page) -> Page:
        """A page of its own with the same contents."""
        return Page([array.copy() for array in page.memory])

    def run(self, batch: Batch, states: Sequence[State]) -> Array:
        """Walk the nodes in order."""

        def history(cache: int, session: int, n: int) -> Array:
            pages = states[session].pages[: -(-n // PAGE_TOKENS)]
            rows = np.concatenate([page.memory[cache] for page in pages])[:n]
            return rows.astype(np.float32)

        def remember(cache: int, rows: Array) -> None:
            for row, position, session in zip(rows, batch.positions, batch.sessions, strict=True):
                page, slot = divmod(int(position), PAGE_TOKENS)
                states[session].pages[page].memory[cache][slot] = row

        of = batch.wanted
        steps = {
            "all": Step(
                batch.tokens, batch.positions, batch.sessions, of, history, remember
            ),
            "wanted": Step(
                batch.tokens[of], batch.positions[of], batch.sessions[of], of, history, remember
            ),
        }  # fmt: skip
        results: list[Array] = []
        with np.errstate(all="ignore"):  # a model's infinities are its own affair
            for node in self.graph.nodes:
                x = [results[i] for i in node.inputs]
                w = [self.weights[name] for name in node.weights]
                results.append(OPERATIONS[node.op](node, steps[node.rows], x, w))
        return results[self.graph.output]

    def close(self) -> None:
        """Let go of the weights."""
        self.weights = {}


class ReferenceBackend:
    """NumPy only: slow, exact, everywhere."""

    name = "reference"

    def upload(
        self,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        data: NDArray[np.uint8],
        uses: frozenset[str],
    ) -> Array:
        """The tensor in float32."""
        if dtype.name not in quant.readable:
            raise BackendError(f"tensor {name!r}: llmpy cannot read the type {dtype} yet")
        return quant.dequantize(dtype, data, shape)

    def compile(
        self, graph: Graph, buffers: Mapping[str, Any], *, n_ctx: int, kv_dtype: str
    ) -> ReferencePlan:
        """Nothing to prepare."""
        return ReferencePlan(graph, buffers, kv_dtype)
