"""The reference backend: the operations of ops.py, node after node.

Every other backend is tested against it. It is slow, needs no compiler, and computes in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.base import PAGE_TOKENS, Batch, Determinism, KvCache, KvPool
from llmpy.backends.plain import PlainBackend, PlainPlan
from llmpy.backends.pool import ArrayKvPool, Piece
from llmpy.backends.reference.ops import OPERATIONS
from llmpy.backends.reference.tools import Array, Step
from llmpy.dtypes import BY_NAME
from llmpy.graph import Graph

__all__ = ["OPERATIONS", "ReferenceBackend", "ReferenceKvPool", "ReferencePlan"]


class ReferencePlan(PlainPlan[Step]):
    """A graph for NumPy to run."""

    operations = OPERATIONS

    def __init__(
        self, graph: Graph, weights: Mapping[str, Array], pool: ReferenceKvPool, n_ctx: int
    ) -> None:
        super().__init__(graph, weights, n_ctx)
        self._pool = pool

    def step(self, batch: Batch, caches: Sequence[KvCache], of: NDArray[np.int64]) -> Step:
        """Return what operations ask about the rows `of` a batch."""
        pool = self._pool

        def history(cache: int, session: int, n: int) -> Array:
            rows: Array = pool.load(cache, caches[session], 0, n)
            return rows

        def remember(cache: int, rows: Array) -> None:
            for row, position, session in zip(rows, batch.positions, batch.sessions, strict=True):
                pool.store(cache, caches[session], position[None], row[None])

        def state(recurrence: int, session: int) -> Array:
            array: Array = pool.states.arrays(caches[session].state)[recurrence]
            return array

        ends = np.zeros(len(caches), np.int64)
        np.maximum.at(ends, batch.sessions, batch.positions + 1)
        rows = batch.tokens[of], batch.positions[of], batch.sessions[of]
        return Step(*rows, batch.output_rows, ends, history, remember, state)


class ReferenceKvPool(ArrayKvPool):
    """A page is an array of bytes [PAGE_TOKENS, n] for each cache of the graph, as in a file."""

    def __init__(self, graph: Graph, kv_dtype: str) -> None:
        self._dtype = BY_NAME[kv_dtype.upper()]
        self._shapes = [cache.shape for cache in graph.caches]
        rows = [self._row_bytes(shape) for shape in self._shapes]
        pages = [Piece((PAGE_TOKENS, n), "uint8") for n in rows]
        super().__init__(f"reference/{kv_dtype}", graph, pages)

    def stored(self, rows: Array, page: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return keys or values [T, ..., d] as bytes [T, n]; a head is padded to whole blocks."""
        padding = -rows.shape[-1] % self._dtype.block
        padded = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, padding)])
        return quant.quantize(self._dtype, padded).reshape(len(rows), -1)

    def loaded(self, rows: NDArray[np.uint8], cache: int) -> Array:
        """Return what `stored` was given."""
        *heads, width = self._shapes[cache]
        padded = width + -width % self._dtype.block
        values = quant.dequantize(self._dtype, rows, (len(rows), *heads, padded))
        return values[..., :width]

    def _row_bytes(self, shape: tuple[int, ...]) -> int:
        *heads, width = shape
        return prod(heads) * self._dtype.row_bytes(width + -width % self._dtype.block)


class ReferenceBackend(PlainBackend):
    """NumPy only: slow, exact, everywhere."""

    name = "reference"
    kv_dtypes = ("f16", "f32", "q8_0", "q4_0")
    determinism: Determinism = "bitwise"

    def kv_pool(self, graph: Graph, kv_dtype: str) -> ReferenceKvPool:
        """Make an empty pool for plans of this graph."""
        return ReferenceKvPool(graph, kv_dtype)

    def compile(
        self, graph: Graph, buffers: Mapping[str, Any], pool: KvPool, *, n_ctx: int
    ) -> ReferencePlan:
        """Nothing to prepare."""
        return ReferencePlan(graph, buffers, ReferenceKvPool.checked(pool, graph), n_ctx)
