"""The CPU backend: weights packed for native kernels, a graph lowered to a native plan.

Kernels for several instruction sets are in one library; the best that runs here is taken, or the
one that the environment variable LLMPY_CPU names.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.base import Determinism, KvPool, Requirements, StoredTensor
from llmpy.backends.cpu.kv import FORMATS, CpuKvPool, layout_name, page_layout, state_layout
from llmpy.backends.cpu.lower.builder import lower
from llmpy.backends.cpu.lower.program import Code, Tensor
from llmpy.backends.cpu.lower.show import show_program
from llmpy.backends.cpu.lower.sums import Sums
from llmpy.backends.cpu.packing import Packing, Weights
from llmpy.backends.cpu.plan import CpuPlan
from llmpy.dtypes import BY_NAME, DType
from llmpy.errors import BackendError
from llmpy.ffi import level_names, level_number, weight_types
from llmpy.ffi.abi import MAX_THREADS
from llmpy.graph import Graph
from llmpy.machine.cpus import available_cpus
from llmpy.machine.memory import available_memory

__all__ = ["CpuBackend", "kept_bytes"]

_EMBEDDED = {"embed", "embed_position", "embed_row"}  # what reads single rows
_PRODUCTS = {2: {"linear"}, 3: {"linear_heads", "moe"}}  # what reads matrices, by dimensions
_LARGEST_F16 = 65504.0


@dataclass(frozen=True)
class _Raw:
    """A tensor's type, shape (last dimension: a row), and its bytes in one piece."""

    dtype: DType
    shape: tuple[int, ...]
    data: NDArray[np.uint8]


class CpuBackend:
    """Native kernels on all processors that this process may use, or on `n_threads` of them.

    Batches may have up to `max_tokens` tokens. `level` chooses an instruction set by name. `sums`:
    where plans sum the squares of what products are fed.
    """

    name = "cpu"
    kv_dtypes = tuple(FORMATS)
    determinism: Determinism = "bitwise"

    def __init__(
        self,
        *,
        n_threads: int | None = None,
        max_tokens: int = 512,
        level: str | None = None,
        sums: Sums | None = None,
    ) -> None:
        self._level = level_number(level)
        self.level = level_names()[self._level]
        self.n_threads = min(n_threads or available_cpus(), available_cpus(), MAX_THREADS)
        self.max_tokens = max_tokens
        self._warned: set[str] = set()
        self._sums = sums
        self._packing = Packing(self._level, self.n_threads)

    def requirements(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str
    ) -> Requirements:
        """Return what the graph over these tensors takes in memory."""
        weights = sum(
            kept_bytes(tensors[name], frozenset(uses)) for name, uses in graph.used.items()
        )
        *_, windows, page, windowed = page_layout(graph, kv_dtype)
        state, free = state_layout(graph)[1], available_memory()
        return Requirements(weights, page, state, free, windowed, windows.window)

    def step_bytes(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str, n_output_rows: int
    ) -> int:
        """Return the bytes of activations and logits of the largest step: `n_output_rows` rows."""
        program = lower(graph, _kept(graph, tensors), kv_dtype)
        rows = n_output_rows * (program.output_bytes + 4 * program.n_vocab)
        return self.max_tokens * program.all_bytes + rows

    def program_text(self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str) -> str:
        """Return the native operations of the graph over these tensors, one a line."""
        return show_program(lower(graph, _kept(graph, tensors), kv_dtype))

    def kv_pool(self, graph: Graph, kv_dtype: str) -> CpuKvPool:
        """Make an empty pool for plans of this graph."""
        return CpuKvPool(graph, kv_dtype, self.level)

    def upload(
        self,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        data: NDArray[np.uint8],
        uses: frozenset[str],
    ) -> Tensor:
        """Take over what products read, and rows of embeddings, as they are; the rest as float32.

        A type that has no kernel becomes F16, or F32 where that would overflow, with a warning.
        Raises BackendError for a type that nobody here can read.
        """
        if dtype.name not in quant.readable:
            raise BackendError(f"tensor {name!r}: llmpy cannot read the type {dtype} yet")
        raw = _Raw(dtype, shape, np.ascontiguousarray(data).reshape(-1).view(np.uint8))
        expected = dtype.row_bytes(shape[-1]) * math.prod(shape[:-1])
        if raw.data.size != expected:
            raise BackendError(f"tensor {name!r}: expected {expected} bytes, found {data.size}")
        weights = rows = values = None
        matrix = _is_matrix(shape, uses)
        embedded = bool(uses & _EMBEDDED)
        if (matrix or embedded) and dtype.id not in weight_types():
            raw = self._converted(raw)
        if matrix:
            weights = Weights(name, raw.dtype.id, raw.shape, raw.data)
        self._packing.add(name, weights)
        if embedded:
            rows = raw.data
        if uses - _EMBEDDED - (_PRODUCTS[len(shape)] if matrix else set()):
            values = quant.dequantize(raw.dtype, raw.data, shape)
            if "conv" in uses and len(shape) == 2:  # one token of its window after the other
                values = np.ascontiguousarray(values.T)
        return Tensor(name, raw.dtype, shape, weights, rows, values)

    def prepare(self, release: Callable[[str], object] = str) -> Packing:
        """Pack what was uploaded, or let it be packed behind the first steps of the plans."""
        packing, self._packing = self._packing, Packing(self._level, self.n_threads)
        packing.start(release)
        return packing

    def compile(
        self, graph: Graph, buffers: Mapping[str, Tensor], pool: KvPool, *, n_ctx: int
    ) -> CpuPlan:
        """Lower the graph; the plan keeps the tensors it reads."""
        if not isinstance(pool, CpuKvPool):
            raise BackendError(f"kv_pool: expected one of the cpu backend, found {pool.layout}")
        layout = layout_name(graph, pool.kv_dtype, self.level)
        if layout != pool.layout:
            raise BackendError(f"kv_pool: expected the layout {layout}, found {pool.layout}")
        for _ in self.prepare():
            pass
        weights = [tensor.weights for tensor in buffers.values() if tensor.weights is not None]
        packing = weights[0].packing if weights else None
        program = lower(graph, buffers, pool.kv_dtype, sums=self._sums is not None)
        plan = CpuPlan(
            Code(program, buffers, self._sums),
            pool,
            level=self._level,
            n_threads=self.n_threads,
            max_tokens=self.max_tokens,
            n_ctx=n_ctx,
            packing=packing,
        )
        if packing is not None:
            packing.go_on()
        return plan

    def _converted(self, raw: _Raw) -> _Raw:
        values = quant.dequantize(raw.dtype, raw.data, raw.shape)
        with np.errstate(invalid="ignore"):
            fits = bool(np.nanmax(np.abs(values), initial=0) <= _LARGEST_F16)
        dtype = BY_NAME["F16" if fits else "F32"]
        if raw.dtype.name not in self._warned:
            self._warned.add(raw.dtype.name)
            warnings.warn(
                f"no kernel for the type {raw.dtype}: its tensors become {dtype}, which takes "
                f"{8 * dtype.size} bits a weight",
                RuntimeWarning,
                stacklevel=4,
            )
        data = values.astype(np.float16 if fits else np.float32)
        return _Raw(dtype, raw.shape, data.reshape(-1).view(np.uint8))


class _Kept(NamedTuple):
    """A tensor as it will be kept."""

    dtype: DType
    shape: tuple[int, ...]


def _kept(graph: Graph, tensors: Mapping[str, StoredTensor]) -> dict[str, _Kept]:
    """Tensors in the types that products read, F16 where no kernel reads those of the file."""
    found = {name: _Kept(tensors[name].dtype, tensors[name].shape) for name in graph.used}
    types = weight_types()
    other = {name: t for name, t in found.items() if t.dtype.id not in types}
    return found | {name: t._replace(dtype=BY_NAME["F16"]) for name, t in other.items()}


def kept_bytes(tensor: StoredTensor, uses: frozenset[str]) -> int:
    """Return the bytes of a tensor kept: its blocks, F16 where no kernel reads them, or float32."""
    if not (_is_matrix(tensor.shape, uses) or uses & _EMBEDDED):
        return 4 * math.prod(tensor.shape)
    if tensor.dtype.id in weight_types():
        return tensor.size
    return BY_NAME["F16"].size * math.prod(tensor.shape)


def _is_matrix(shape: tuple[int, ...], uses: frozenset[str]) -> bool:
    """Whether a matmul reads it; else it is a bias, or no matmul's."""
    return bool(uses & _PRODUCTS.get(len(shape), set()))
