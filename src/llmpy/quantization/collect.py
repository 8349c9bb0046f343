"""Collecting importance: a text is read, and the squares of the inputs of each product summed.

Native code sums while it reads. Without it the reference backend does, with the products of many
tokens at once, and four bytes of memory for each weight.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, ffi
from llmpy.backends.base import Backend, KvPool
from llmpy.backends.cpu.backend import CpuBackend
from llmpy.backends.cpu.lower.sums import Sums
from llmpy.backends.reference.backend import ReferenceBackend, ReferenceKvPool, ReferencePlan
from llmpy.backends.reference.moe import ACTIVATIONS
from llmpy.backends.reference.tools import Array, Step
from llmpy.graph import Graph, Node
from llmpy.loading import load
from llmpy.quantization.importance import Importance
from llmpy.quantization.measure import MeasureEvent, windows

__all__ = ["collect_importance"]


class _Sums:
    """Sums of squares and counts, by name of the tensor."""

    def __init__(self) -> None:
        self.squares: dict[str, NDArray[np.float64]] = {}
        self.counts: dict[str, NDArray[np.float64]] = {}

    def add(self, name: str, rows: Array, matrix: int = 0, n_matrices: int = 1) -> None:
        """Rows [T, n] that matrix number `matrix` of the tensor is multiplied with."""
        if name not in self.squares:
            self.squares[name] = np.zeros((n_matrices, rows.shape[1]))
            self.counts[name] = np.zeros(n_matrices)
        self.squares[name][matrix] += np.square(rows, dtype=np.float64).sum(axis=0)
        self.counts[name][matrix] += len(rows)


class _Plan(ReferencePlan):
    """Computes as the reference does, within rounding, and remembers what products are fed."""

    sums: _Sums

    def compute(self, node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
        """Return the result of a node."""
        if node.op == "linear":
            self.sums.add(node.weights[0], x[0])
            y: Array = x[0] @ w[0].T
            return y + w[1] if len(w) > 1 else y
        if node.op == "linear_heads":
            for h in range(len(w[0])):
                self.sums.add(node.weights[0], x[0][:, h], h, len(w[0]))
        if node.op == "moe":
            return self._moe(node, x, w)
        result: Array = super().compute(node, step, x, w)
        return result

    def _moe(self, node: Node, x: list[Array], w: list[Array]) -> Array:
        rows, router_weights = x
        act = ACTIVATIONS[node.attrs.activation]
        order = np.argsort(-router_weights, axis=1, kind="stable")[:, : node.attrs.n_used]
        y = np.zeros_like(rows)
        for e in range(len(w[0])):
            chosen = (order == e).any(axis=1)
            if not chosen.any():
                continue
            some = rows[chosen]
            g, u = some @ w[0][e].T, some @ w[1][e].T
            if len(w) > 3:
                g, u = g + w[3][e], u + w[4][e]
            inner = act(g, u)
            z = inner @ w[2][e].T
            y[chosen] += router_weights[chosen, e][:, None] * (z + w[5][e] if len(w) > 3 else z)
            for name, fed in zip(node.weights[:3], (some, some, inner), strict=True):
                self.sums.add(name, fed, e, len(w[0]))
        return y


class _Backend(ReferenceBackend):
    """Makes plans that remember."""

    def __init__(self, sums: _Sums) -> None:
        super().__init__()
        self.sums = sums

    def compile(
        self,
        graph: Graph,
        buffers: Mapping[str, Any],
        pool: KvPool,
        *,
        n_ctx: int,
    ) -> ReferencePlan:
        """A plan whose sums are this backend's."""
        assert isinstance(pool, ReferenceKvPool)
        plan = _Plan(graph, buffers, pool, n_ctx)
        plan.sums = self.sums
        return plan


def collect_importance(
    path: str | os.PathLike[str],
    text: str,
    *,
    name: str = "",
    n_ctx: int = 512,
    n_windows: int | None = None,
    output: bool = False,
    architecture: str | None = None,
    backend: str = "auto",
    n_threads: int | None = None,
    progress: Callable[[MeasureEvent], object] | None = None,
) -> Importance:
    """Run the model at `path` on `text`, and sum the squared inputs of its matmuls.

    The text is split into windows of `n_ctx` tokens, of which the first `n_windows` or all are
    used; `name` is the name of the text in the file. `output`: whether the output matrix is
    included, whose importance is usually left out. `backend` and `n_threads` are those of `load`.
    The `estimate` of events is 0. Raises what `load` raises, and ValueError for a text that is too
    short.
    """
    begin = time.perf_counter()
    sums: Sums | _Sums
    engine: Backend
    checks.path("path", path)
    for option, string in (("text", text), ("name", name)):
        checks.text(option, string)
    for option, number in (("n_ctx", n_ctx), ("n_windows", n_windows), ("n_threads", n_threads)):
        if number is not None:
            checks.whole(option, number)
    checks.flag("output", output)
    checks.function("progress", progress)
    checks.one_of("backend", backend, ("auto", "cpu", "reference"))
    if backend == "cpu" or (backend == "auto" and ffi.available()):
        sums = Sums()
        engine = CpuBackend(n_threads=n_threads, max_tokens=n_ctx, sums=sums)
    else:
        sums = _Sums()
        engine = _Backend(sums)
    with load(
        Path(path), architecture=architecture, n_ctx=n_ctx, n_batch=n_ctx, backend=engine,
        kv_dtype="f32",
    ) as model:  # fmt: skip
        parts = windows(model, text, n_ctx, n_windows)
        for i, tokens in enumerate(parts):
            for _ in model.logits(tokens):
                pass
            if progress is not None:
                progress(MeasureEvent(i + 1, len(parts), 0.0, time.perf_counter() - begin))
    wanted = [tensor for tensor in sums.squares if output or tensor.startswith("blk.")]
    squares = {tensor: sums.squares[tensor].astype(np.float32) for tensor in wanted}
    counts = {tensor: sums.counts[tensor].astype(np.float32) for tensor in wanted}
    return Importance(squares, counts, len(parts), n_ctx, [name] if name else [])
