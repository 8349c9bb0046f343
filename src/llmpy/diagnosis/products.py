"""The multiplications a second that the kernels reach: the limit of prefill."""

from __future__ import annotations

import time

import numpy as np

from llmpy.backends.base import Batch
from llmpy.backends.cpu.backend import CpuBackend
from llmpy.dtypes import BY_NAME
from llmpy.engine.cache import PagedState, PagePool
from llmpy.graph import Graph, Weights
from llmpy.graph.check import finish

__all__ = ["multiply_rate"]

N_TOKENS, WIDTH = 256, 2048  # weights that fit into the last cache


def multiply_rate(n_threads: int | None = None, seconds: float = 0.4) -> float:
    """Measure the multiplications per second of 8-bit weights with many tokens.

    The best of the steps that fit into `seconds` is returned, the preparation of the activations
    included. Raises BackendError without the compiled library.
    """
    backend = CpuBackend(n_threads=n_threads, max_tokens=N_TOKENS)
    shapes = {"x.weight": (N_TOKENS, WIDTH), "w.weight": (WIDTH, WIDTH)}
    graph, top = Graph(shapes), Weights(shapes)
    finished = finish(graph, graph.tokens().embed(top.x).linear(top.w), harmless=["*"])
    rng = np.random.Generator(np.random.PCG64(0))
    x = rng.standard_normal(shapes["x.weight"], np.float32).view(np.uint8).reshape(-1)
    w = rng.integers(0, 256, (WIDTH * WIDTH // 32, 34), np.uint8)
    w[:, :2] = np.array([0.01], np.float16).view(np.uint8)
    stored = {"x.weight": ("F32", x), "w.weight": ("Q8_0", w.reshape(-1))}
    buffers = {}
    for name, (dtype, data) in stored.items():
        data.setflags(write=False)
        uses = frozenset(graph.used[name])
        buffers[name] = backend.upload(name, BY_NAME[dtype], shapes[name], data, uses)
    pool = backend.kv_pool(finished, "f32")
    plan = backend.compile(finished, buffers, pool, n_ctx=N_TOKENS)
    state = PagedState(PagePool(pool), N_TOKENS)
    state.prepare(0, N_TOKENS)
    ids = np.arange(N_TOKENS, dtype=np.int32)
    batch = Batch(ids, ids, np.zeros_like(ids), ids)
    plan.run(batch, [state])
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        begin = time.perf_counter()
        plan.run(batch, [state])
        best = max(best, N_TOKENS * WIDTH * WIDTH / (time.perf_counter() - begin))
    return best
