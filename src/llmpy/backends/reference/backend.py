"""The reference backend: the operations of ops.py, node after node.

Every other backend is tested against it. It is slow, needs no compiler, and computes in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.base import KV_DTYPES, PAGE_TOKENS, Batch, Page, State, kv_bytes
from llmpy.backends.reference.ops import OPERATIONS
from llmpy.backends.reference.tools import Array, Step
from llmpy.dtypes import BY_NAME, DType
from llmpy.errors import BackendError
from llmpy.graph import Graph, Node

__all__ = ["OPERATIONS", "ReferenceBackend", "ReferencePlan"]


class ReferencePlan:
    """A graph for NumPy to run; a page's memory is one array [PAGE_TOKENS, bytes] a cache."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array], kv_dtype: str) -> None:
        self.graph = graph
        self.weights = weights
        self.n_vocab = graph.n_vocab
        self.kv_dtype = KV_DTYPES[kv_dtype]
        self.page_bytes = PAGE_TOKENS * sum(kv_bytes(kv_dtype, c.shape) for c in graph.caches)
        self.recurrent_bytes = 4 * sum(int(np.prod(r.shape)) for r in graph.recurrences)

    def new_page(self) -> Page:
        """A page of zeros."""
        empty = [np.zeros((PAGE_TOKENS, *c.shape), np.float32) for c in self.graph.caches]
        return Page([self._stored(array) for array in empty])

    def copy_page(self, page: Page) -> Page:
        """A page of its own with the same contents."""
        return Page([array.copy() for array in page.memory])

    def new_recurrent(self) -> Page:
        """One array for each recurrence, full of what it begins with."""
        return Page([np.full(r.shape, r.fill, np.float32) for r in self.graph.recurrences])

    def copy_recurrent(self, page: Page) -> Page:
        """Memory of its own with the same contents."""
        return self.copy_page(page)

    def run(self, batch: Batch, states: Sequence[State]) -> Array:
        """Walk the nodes in order."""

        def history(cache: int, session: int, n: int) -> Array:
            pages = states[session].pages[: -(-n // PAGE_TOKENS)]
            rows = np.concatenate([page.memory[cache] for page in pages])[:n]
            return self._read(rows, self.graph.caches[cache].shape)

        def remember(cache: int, rows: Array) -> None:
            stored = self._stored(rows)
            for row, position, session in zip(stored, batch.positions, batch.sessions, strict=True):
                page, slot = divmod(int(position), PAGE_TOKENS)
                states[session].pages[page].memory[cache][slot] = row

        def state(recurrence: int, session: int) -> Array:
            memory = states[session].recurrent
            assert memory is not None
            array: Array = memory.memory[recurrence]
            return array

        of, ends = batch.wanted, np.zeros(len(states), np.int64)
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
        return results[self.graph.output]

    def compute(self, node: Node, step: Step, x: list[Array], w: list[Array]) -> Array:
        """The result of one node."""
        return OPERATIONS[node.op](node, step, x, w)

    def warm_up(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Let go of the weights."""
        self.weights = {}

    def _stored(self, rows: Array) -> NDArray[np.uint8]:
        """Keys or values [T, ..., d] as bytes [T, n]; a head is padded to whole blocks."""
        padding = -rows.shape[-1] % BY_NAME[self.kv_dtype].block
        padded = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, padding)])
        return quant.quantize(self.kv_dtype, padded).reshape(len(rows), -1)

    def _read(self, stored: NDArray[np.uint8], shape: tuple[int, ...]) -> Array:
        """What `_stored` kept of rows of `shape`."""
        *heads, width = shape
        padded = width + -width % BY_NAME[self.kv_dtype].block
        rows = quant.dequantize(self.kv_dtype, stored, (len(stored), *heads, padded))
        return rows[..., :width]


class ReferenceBackend:
    """NumPy only: slow, exact, everywhere."""

    name = "reference"

    def __init__(self) -> None:
        self._uploaded: list[str] = []

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
        self, graph: Graph, buffers: Mapping[str, Any], *, n_ctx: int, kv_dtype: str
    ) -> ReferencePlan:
        """Nothing to prepare."""
        return ReferencePlan(graph, buffers, kv_dtype)
