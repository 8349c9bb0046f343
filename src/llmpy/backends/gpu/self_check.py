"""Trying a device before it is used: whether it computes what it should, and how fast."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.base import Backend, Batch, Plan
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.device import Device
from llmpy.dtypes import BY_NAME
from llmpy.errors import BackendError
from llmpy.graph import Graph, Weights
from llmpy.graph.check import finish

__all__ = ["check_device", "seconds_per_token"]

TOLERANCE = 1e-5  # of the largest number
Shape = tuple[int, ...]


def check_device(device: Device) -> None:
    """Multiply on the device, one row and many; raises BackendError unless both are right."""
    x, w = _numbers(9, 96), _numbers(70, 96)
    data = quant.quantize("Q8_0", w).reshape(-1)
    plan = _product(GpuBackend(device), x, w.shape, data)
    rows = np.arange(9, dtype=np.int32)
    cache: Any = _NoCache()
    whole = plan.run(Batch(rows, rows, 0 * rows, rows), [cache]).logits().copy()
    one = plan.run(Batch(rows[3:4], rows[3:4], rows[:1], rows[:1]), [cache]).logits().copy()
    plan.close()
    expected = x @ quant.dequantize("Q8_0", data, w.shape).T
    difference = float(np.abs(whole - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise BackendError(
            f"gpu: {device.name} multiplies wrongly: expected a difference of at most "
            f"{TOLERANCE:.0e} of the largest number, found {difference:.0e}"
        )
    if not np.array_equal(one[0], whole[3]):
        raise BackendError(
            f"gpu: {device.name} gives other numbers for one row than for the same among others"
        )


def seconds_per_token(
    backend: Backend, shape: tuple[int, int] = (16384, 4096), dtype: str = "Q8_0", rows: int = 1
) -> float:
    """Return the least seconds of a matmul of `rows` rows with a matrix of that shape and type."""
    data = np.zeros(BY_NAME[dtype].row_bytes(shape[1]) * shape[0], np.uint8)
    plan = _product(backend, _numbers(1, shape[1]), shape, data, dtype)
    plan.warm_up()
    cache, found, at = _NoCache(), [], np.arange(rows, dtype=np.int32)
    batch = Batch(0 * at, at, 0 * at, at[-1:])
    for _ in range(5):
        begin = time.perf_counter()
        plan.run(batch, [cache]).logits()
        found.append(time.perf_counter() - begin)
    plan.close()
    return min(found)


def _product(
    backend: Backend, x: NDArray[np.float32], shape: Shape, w: NDArray[np.uint8],
    dtype: str = "Q8_0",
) -> Plan:  # fmt: skip
    """A model of rows `x` and a product with one matrix."""
    shapes: Mapping[str, Shape] = {"x.weight": x.shape, "w.weight": shape}
    graph, top = Graph(shapes), Weights(shapes)
    graph = finish(graph, graph.tokens().embed(top.x).linear(top.w))
    tensors = {"x.weight": ("F32", x.reshape(-1).view(np.uint8)), "w.weight": (dtype, w)}
    buffers = {
        name: backend.upload(name, BY_NAME[kind], shapes[name], data, frozenset(graph.used[name]))
        for name, (kind, data) in tensors.items()
    }
    for _ in backend.prepare():
        pass
    return backend.compile(graph, buffers, backend.kv_pool(graph, "f32"), n_ctx=512)


class _NoCache:
    """The cache of a sequence in a graph that has none."""

    page_table = window_table = np.zeros(0, np.uint64)
    n_pages = state = 0


def _numbers(*shape: int) -> NDArray[np.float32]:
    return np.random.Generator(np.random.PCG64(1)).standard_normal(shape, np.float32)
