"""The GPU backend: tensors packed on a device, a graph lowered to its kernels."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, Determinism, KvPool, Requirements, StoredTensor
from llmpy.backends.gpu.device import Device
from llmpy.backends.gpu.groups import join
from llmpy.backends.gpu.header import FIELDS, WORDS
from llmpy.backends.gpu.lowering import lower
from llmpy.backends.gpu.pages import KV_TYPES, GpuKvPool
from llmpy.backends.gpu.plan import GpuPlan
from llmpy.backends.gpu.tensors import (
    Kept,
    Tensor,
    Uploader,
    kept_bytes,
    planned,
    staging_bytes,
)
from llmpy.dtypes import DType
from llmpy.errors import BackendError
from llmpy.graph import Graph, fuse

__all__ = ["GpuBackend"]


class GpuBackend:
    """Runs models on `device`, up to `max_tokens` tokens in one step."""

    name = "gpu"
    kv_dtypes = KV_TYPES
    determinism: Determinism = "bitwise"
    staging_bytes = staticmethod(staging_bytes)  # beside what is kept, while it is uploaded

    def __init__(self, device: Device, *, max_tokens: int = 512) -> None:
        self.device = device
        self.max_tokens = max_tokens
        self._uploaded: list[str] = []
        self._uploader = Uploader(device)

    def described(self, graph: Graph) -> str:  # noqa: ARG002
        """Return the name of the device."""
        return self.device.name

    def requirements(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str
    ) -> Requirements:
        """Return the memory that the graph with these tensors needs."""
        weights = sum(
            kept_bytes(tensors[name].dtype, tensors[name].shape, frozenset(uses))
            for name, uses in graph.used.items()
        )
        pool = self.kv_pool(graph, kv_dtype)
        sizes = pool.pages.n_bytes, pool.states.n_bytes, self.device.free_memory()
        return Requirements(weights, *sizes, pool.windowed.n_bytes, pool.window)

    def step_bytes(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str, n_output_rows: int
    ) -> int:
        """Return the bytes of activations and logits of the largest step: `n_output_rows` rows.

        With what it is told of its batch, each sequence of which is as long as it can be.
        """
        found = {name: planned(tensors[name].dtype, tensors[name].shape) for name in graph.used}
        pool = self.kv_pool(graph, kv_dtype)
        lowered = lower(graph, found, pool, lambda _: Kept(None), graph.n_ctx)
        rows = {"all": self.max_tokens, "output": n_output_rows}
        floats = lowered.parts.floats + sum(n * lowered.floats[space] for space, n in rows.items())
        n_rotated = sum(rope.n_dims for rope, _ in lowered.ropes)
        pages = 2 * n_output_rows * -(-graph.n_ctx // PAGE_TOKENS)
        words = WORDS + self.max_tokens * (len(FIELDS) + n_rotated) + pages
        return 4 * (floats + words)

    def upload(
        self, name: str, dtype: DType, shape: tuple[int, ...], data: NDArray[np.uint8],
        uses: frozenset[str],
    ) -> Tensor:  # fmt: skip
        """Pack what matmuls and embeddings read as it is stored; bring the rest as float32."""
        tensor = self._uploader.upload(name, dtype, shape, data, uses)
        self._uploaded.append(name)
        return tensor

    def prepare(self, release: Callable[[str], object] = str) -> Generator[str]:
        """Say what is there: all of it."""
        names, self._uploaded = self._uploaded, []
        self._uploader.close()
        for name in names:
            release(name)
            yield name

    def kv_pool(self, graph: Graph, kv_dtype: str) -> GpuKvPool:
        """Make an empty pool for plans of this graph."""
        return GpuKvPool(self.device, graph, kv_dtype)

    def compile(
        self, graph: Graph, buffers: Mapping[str, Tensor], pool: KvPool, *, n_ctx: int
    ) -> GpuPlan:
        """Lower the graph; the plan keeps the tensors it reads."""
        if not isinstance(pool, GpuKvPool):
            raise BackendError(f"kv_pool: expected one of the gpu backend, found {pool.layout}")
        pool.check(graph)
        tensors = {name: buffers[name] for name in graph.used if name in buffers}
        groups = join(self.device, fuse(graph), tensors)
        for tensor in tensors.values():
            tensor.fixed = True
        lowered = lower(graph, tensors, pool, self._constant, n_ctx, groups)
        return GpuPlan(
            self.device, graph, lowered, tensors, pool, n_ctx=n_ctx, max_tokens=self.max_tokens
        )

    def _constant(self, values: NDArray[np.float32]) -> Kept:
        return Kept(self._uploader.filled(values))
