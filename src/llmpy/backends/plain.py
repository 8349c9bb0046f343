"""The common base of backends that dequantize all weights and run a graph node by node.

A subclass of `PlainBackend` says how it keeps a weight (`keep`), where sequences live (`kv_pool`),
and makes plans; one of `PlainPlan` computes a node.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from math import prod
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.base import (
    Batch,
    Determinism,
    KvCache,
    KvPool,
    Requirements,
    StoredTensor,
    WindowedPool,
)
from llmpy.backends.batches import BatchCheck
from llmpy.backends.pool import Logits
from llmpy.backends.space import Space
from llmpy.dtypes import DType
from llmpy.errors import BackendError
from llmpy.graph import Graph, Node

__all__ = ["PlainBackend", "PlainPlan"]

S = TypeVar("S")  # what a plan makes of a batch


class PlainPlan(Generic[S]):
    """A plan that runs the nodes of a graph in order.

    `step` prepares a batch, and `compute` runs a node. `operations`: a function `(node, step,
    inputs [T, ...], weights)` by name; a graph with others raises BackendError. `fetch` copies
    logits to the host.
    """

    operations: Mapping[str, Callable[[Node, S, list[Any], list[Any]], Any]]

    def __init__(
        self, graph: Graph, weights: Mapping[str, Any], n_ctx: int,
        fetch: Callable[[Any], NDArray[Any]] = np.asarray,
    ) -> None:  # fmt: skip
        if missing := {node.op for node in graph.nodes} - self.operations.keys():
            names = ", ".join(sorted(missing))
            raise BackendError(f"the model needs operations that this backend lacks: {names}")
        self._fetch = fetch
        self.graph = graph
        self.n_vocab = graph.n_vocab
        self._weights = weights
        self._check = BatchCheck(graph, n_ctx)
        last = {j: i for i, node in enumerate(graph.nodes) for j in node.inputs}
        last[graph.output] = len(graph.nodes)
        self._done: dict[int, list[int]] = {}  # node -> the results that nobody reads after it
        for j, i in last.items():
            self._done.setdefault(i, []).append(j)

    def step(self, batch: Batch, caches: Sequence[KvCache], of: NDArray[np.int64]) -> S:
        """Return the data that `compute` needs for the rows `of` a batch."""
        raise NotImplementedError

    def compute(self, node: Node, step: S, x: list[Any], w: list[Any]) -> Any:
        """Compute the result of a node from its inputs [T, ...] and weights."""
        return self.operations[node.op](node, step, x, w)

    def run(self, batch: Batch, caches: Sequence[KvCache]) -> Logits:
        """Compute the batch; see `Plan`."""
        self._check(batch, caches)
        of = {"all": np.arange(len(batch.tokens)), "output": batch.output_rows.astype(np.int64)}
        steps = {rows: self.step(batch, caches, which) for rows, which in of.items()}
        results: dict[int, Any] = {}
        with np.errstate(all="ignore"):  # a model's infinities are its own affair
            for i, node in enumerate(self.graph.nodes):
                if len(of[node.rows]):
                    x = [results[j] for j in node.inputs]
                    w = [self._weights[name] for name in node.weights]
                    results[i] = self.compute(node, steps[node.rows], x, w)
                for j in self._done.get(i, ()):
                    results.pop(j, None)
        nothing = np.empty((0, self.n_vocab), np.float32)
        return Logits(results.get(self.graph.output, nothing), self._fetch)

    def warm_up(self) -> None:
        """Do nothing; no work is left."""

    def close(self) -> None:
        """Release the weights."""
        self._weights = {}


class PlainBackend:
    """A backend that uploads tensors as float32 arrays, or as what `keep` returns."""

    name = "plain"
    kv_dtypes: tuple[str, ...] = ("f32",)
    determinism: Determinism = "per_run"

    def __init__(self, space: Space | None = None) -> None:
        self.space = space or Space()
        self._uploaded: list[str] = []

    def keep(self, values: NDArray[np.float32], uses: frozenset[str]) -> Any:
        """Return the object that plans read in place of a tensor."""
        return values

    def value_bytes(self, shape: tuple[int, ...], uses: frozenset[str]) -> int:
        """Return the bytes per value of what `keep` returns."""
        return 4

    def kv_pool(self, graph: Graph, kv_dtype: str) -> KvPool:
        """Return an empty pool for plans of this graph."""
        raise NotImplementedError

    def requirements(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str
    ) -> Requirements:
        """Return the memory that the graph with these tensors needs."""
        weights = 0
        for name, uses in graph.used.items():
            shape = tensors[name].shape
            weights += prod(shape) * self.value_bytes(shape, frozenset(uses))
        pool = self.kv_pool(graph, kv_dtype)
        page, state, free = pool.pages.n_bytes, pool.states.n_bytes, self.space.available()
        if not isinstance(pool, WindowedPool):
            return Requirements(weights, page, state, free)
        return Requirements(weights, page, state, free, pool.windowed.n_bytes, pool.window)

    def upload(
        self,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        data: NDArray[np.uint8],
        uses: frozenset[str],
    ) -> Any:
        """Dequantize a tensor, and return the result of `keep`."""
        if dtype.name not in quant.readable:
            raise BackendError(f"tensor {name!r}: llmpy cannot read the type {dtype} yet")
        self._uploaded.append(name)
        return self.keep(quant.dequantize(dtype, data, shape), uses)

    def prepare(self, release: Callable[[str], object] = str) -> Generator[str]:
        """Do nothing; no work is left."""
        names, self._uploaded = self._uploaded, []
        for name in names:
            release(name)
            yield name
