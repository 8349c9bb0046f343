"""A backend over the array API standard: any accelerator that has such a namespace.

Weights are dequantized once, and all tokens of a step are computed at once. With `bitwise` (NumPy's
default) matmuls and attention go row by row, so that nothing depends on what is computed beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.array.ops import OPERATIONS, Step
from llmpy.backends.base import PAGE_TOKENS, Batch, KvCache, KvPool
from llmpy.backends.plain import PlainBackend, PlainPlan
from llmpy.backends.pool import ArrayKvPool, Piece
from llmpy.backends.space import Array, Space
from llmpy.graph import Graph

__all__ = ["ArrayBackend", "ArrayPlan"]

_STORED = {"f32": "float32", "f16": "float16"}  # of keys and values
_MATMULS = {"linear", "linear_heads", "moe"}


class ArrayPlan(PlainPlan[Step]):
    """A graph over arrays of `space`."""

    operations = OPERATIONS

    pool: ArrayKvPool
    backend: ArrayBackend

    def step(self, batch: Batch, caches: Sequence[KvCache], of: NDArray[np.int64]) -> Step:
        """Return what operations ask about the rows `of` a batch."""
        return Step(self.backend.space, self.pool, batch, caches, of, self.backend.bitwise)


class ArrayBackend(PlainBackend):
    """`namespace`: one of NAMESPACES; `device`: of it, as it writes them ("cuda:0").

    `weights`: "float32", or a type of 16 bits of the namespace, in which matmuls then compute.
    """

    name = "array"
    kv_dtypes = tuple(_STORED)

    def __init__(
        self,
        namespace: str = "numpy",
        device: str | None = None,
        *,
        weights: str = "float32",
        bitwise: bool | None = None,
    ) -> None:
        super().__init__(Space(namespace, device))
        self.bitwise = namespace == "numpy" if bitwise is None else bitwise
        self.determinism = "bitwise" if self.bitwise else "per_run"
        self._bytes = 4 if weights == "float32" else 2
        self._like = self.space.full((1,), 0.0, weights)

    def keep(self, values: NDArray[np.float32], uses: frozenset[str]) -> Array:
        """Bring a tensor to the device."""
        array = self.space.array(values)
        return self.space.cast(array, self._like) if values.ndim > 1 and uses <= _MATMULS else array

    def value_bytes(self, shape: tuple[int, ...], uses: frozenset[str]) -> int:
        """Return the bytes of one value of what `keep` returns."""
        return self._bytes if len(shape) > 1 and uses <= _MATMULS else 4

    def kv_pool(self, graph: Graph, kv_dtype: str) -> ArrayKvPool:
        """Make an empty pool: a page is an array [PAGE_TOKENS, *shape] for each cache."""
        kind = _STORED[kv_dtype]
        pages = [Piece((PAGE_TOKENS, *cache.shape), kind) for cache in graph.caches]
        return ArrayKvPool(f"array/{kv_dtype}", graph, pages, self.space)

    def compile(
        self, graph: Graph, buffers: Mapping[str, Any], pool: KvPool, *, n_ctx: int
    ) -> ArrayPlan:
        """Make a plan over these arrays."""
        plan = ArrayPlan(graph, buffers, n_ctx, self.space.numpy)
        plan.pool, plan.backend = ArrayKvPool.checked(pool, graph), self
        return plan
