"""The reference backend: the operations of ops.py, node after node.

Every other backend is tested against it. It is slow, needs no compiler, and computes in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.base import (
    PAGE_TOKENS,
    Batch,
    Determinism,
    KvCache,
    KvPool,
    Requirements,
    StoredTensor,
)
from llmpy.backends.host import HostPool, Logits, Piece, shapes_digest
from llmpy.backends.reference.ops import OPERATIONS
from llmpy.backends.reference.tools import Array, Step
from llmpy.dtypes import BY_NAME, DType
from llmpy.errors import BackendError
from llmpy.graph import Graph, Node
from llmpy.machine.memory import available_memory

__all__ = ["OPERATIONS", "ReferenceBackend", "ReferenceKvPool", "ReferencePlan"]


class ReferencePlan:
    """A graph for NumPy to run."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array], pool: ReferenceKvPool) -> None:
        self.graph = graph
        self.weights = weights
        self.n_vocab = graph.n_vocab
        self._pool = pool

    def run(self, batch: Batch, caches: Sequence[KvCache]) -> Logits:
        """Walk the nodes in order."""
        pages, states = self._pool.pages, self._pool.states

        def history(cache: int, session: int, n: int) -> Array:
            table = caches[session].page_table[: -(-n // PAGE_TOKENS)].tolist()
            rows = np.concatenate([pages.arrays(page)[cache] for page in table])[:n]
            return self._pool.loaded(rows, cache)

        def remember(cache: int, rows: Array) -> None:
            stored = self._pool.stored(rows)
            for row, position, session in zip(stored, batch.positions, batch.sessions, strict=True):
                page, slot = divmod(int(position), PAGE_TOKENS)
                pages.arrays(int(caches[session].page_table[page]))[cache][slot] = row

        def state(recurrence: int, session: int) -> Array:
            array: Array = states.arrays(caches[session].state)[recurrence]
            return array

        of, ends = batch.wanted, np.zeros(len(caches), np.int64)
        np.maximum.at(ends, batch.sessions, batch.positions + 1)
        tokens, at, who = batch.tokens, batch.positions, batch.sessions
        steps = {
            "all": Step(tokens, at, who, of, ends, history, remember, state),
            "wanted": Step(tokens[of], at[of], who[of], of, ends, history, remember, state),
        }
        results: list[Array] = []
        with np.errstate(all="ignore"):  # a model's infinities are its own affair
            for node in self.graph.nodes:
                x = [results[i] for i in node.inputs]
                w = [self.weights[name] for name in node.weights]
                results.append(self.compute(node, steps[node.rows], x, w))
        return Logits(results[self.graph.output])

    def compute(self, node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
        """The result of one node."""
        return OPERATIONS[node.op](node, step, x, w)

    def warm_up(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Let go of the weights."""
        self.weights = {}


class ReferenceKvPool:
    """A page is an array of bytes [PAGE_TOKENS, n] for each cache of the graph, as in a file."""

    def __init__(self, graph: Graph, kv_dtype: str) -> None:
        self._dtype = BY_NAME[kv_dtype.upper()]
        self._shapes = [cache.shape for cache in graph.caches]
        rows = [self._row_bytes(shape) for shape in self._shapes]
        self.layout = f"reference/{kv_dtype}/{shapes_digest(graph)}"
        self.pages = HostPool([Piece((PAGE_TOKENS, n), np.uint8) for n in rows])
        self.states = HostPool([Piece(r.shape, np.float32, r.fill) for r in graph.recurrences])

    def fits(self, graph: Graph) -> bool:
        """Whether plans of the graph can use it."""
        return self.layout.endswith(shapes_digest(graph))

    def stored(self, rows: Array) -> NDArray[np.uint8]:
        """Keys or values [T, ..., d] as bytes [T, n]; a head is padded to whole blocks."""
        padding = -rows.shape[-1] % self._dtype.block
        padded = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, padding)])
        return quant.quantize(self._dtype, padded).reshape(len(rows), -1)

    def loaded(self, stored: NDArray[np.uint8], cache: int) -> Array:
        """What `stored` made of rows of a cache."""
        *heads, width = self._shapes[cache]
        padded = width + -width % self._dtype.block
        rows = quant.dequantize(self._dtype, stored, (len(stored), *heads, padded))
        return rows[..., :width]

    def _row_bytes(self, shape: tuple[int, ...]) -> int:
        *heads, width = shape
        return prod(heads) * self._dtype.row_bytes(width + -width % self._dtype.block)


class ReferenceBackend:
    """NumPy only: slow, exact, everywhere."""

    name = "reference"
    kv_dtypes = ("f16", "f32", "q8_0", "q4_0")
    determinism: Determinism = "bitwise"

    def __init__(self) -> None:
        self._uploaded: list[str] = []

    def requirements(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str
    ) -> Requirements:
        """Return what the graph takes: every weight is float32."""
        weights = 4 * sum(prod(tensors[name].shape) for name in graph.used)
        pool = self.kv_pool(graph, kv_dtype)
        return Requirements(weights, pool.pages.n_bytes, pool.states.n_bytes, available_memory())

    def kv_pool(self, graph: Graph, kv_dtype: str) -> ReferenceKvPool:
        """Make an empty pool for plans of this graph."""
        return ReferenceKvPool(graph, kv_dtype)

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
        self._uploaded.append(name)
        return quant.dequantize(dtype, data, shape)

    def prepare(self, release: Callable[[str], object] = str) -> Generator[str]:
        """Nothing is left to do."""
        names, self._uploaded = self._uploaded, []
        for name in names:
            release(name)
            yield name

    def compile(
        self, graph: Graph, buffers: Mapping[str, Any], pool: KvPool, *, n_ctx: int
    ) -> ReferencePlan:
        """Nothing to prepare."""
        if not isinstance(pool, ReferenceKvPool) or not pool.fits(graph):
            raise BackendError(f"kv_pool: the layout {pool.layout!r} is not that of this graph")
        return ReferencePlan(graph, buffers, pool)
