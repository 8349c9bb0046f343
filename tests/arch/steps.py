"""Running a tiny model by hand: batches over pages, as sessions make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import ffi
from llmpy.arch.base import build
from llmpy.backends import checked_kv_dtype
from llmpy.backends.array.backend import ArrayBackend
from llmpy.backends.base import Batch
from llmpy.backends.reference.backend import ReferenceBackend
from llmpy.checkpoint.open import open_model
from llmpy.engine.cache import PagedState, PagePool
from llmpy.graph import Graph

MAX_TOKENS = 256  # in one batch
N_CTX = 512

Logits = NDArray[np.float32]


def make_backend(name: str, n_threads: int = 2) -> Any:
    if name == "reference":
        return ReferenceBackend()
    if name.partition(":")[0] == "array":
        return ArrayBackend(*name.split(":")[1:])
    if name == "gpu":
        from tests.backends.gpu.devices import gpu_backend

        return gpu_backend()
    if not ffi.available():
        import pytest

        pytest.skip(f"the compiled library is not installed: {ffi.library_path()}")
    from llmpy.backends.cpu.backend import CpuBackend

    return CpuBackend(n_threads=n_threads, max_tokens=MAX_TOKENS)


@dataclass
class Runner:
    """A plan and its pages."""

    graph: Graph
    plan: Any
    pool: PagePool

    def state(self) -> PagedState:
        return PagedState(self.pool, N_CTX)

    def step(
        self, parts: Sequence[tuple[PagedState, int, Sequence[int]]], output_rows: Any
    ) -> Logits:
        """One batch of (state, position of the first token, tokens), one part after another."""
        for state, start, tokens in parts:
            state.prepare(start, start + len(tokens))
        positions = [np.arange(start, start + len(tokens)) for _, start, tokens in parts]
        owners = [np.full(len(tokens), i) for i, (_, _, tokens) in enumerate(parts)]
        logits = self.run(
            [state for state, _, _ in parts],
            np.concatenate([tokens for _, _, tokens in parts]),
            np.concatenate(positions),
            np.concatenate(owners),
            output_rows,
        )
        for state, start, tokens in parts:
            state.done(start + len(tokens))
        return logits

    def run(self, states: list[PagedState], *arrays: Any) -> Logits:
        """One batch of `Batch`'s four arrays; the logits are copied out of the plan's memory."""
        batch = Batch(*(np.ascontiguousarray(a, dtype=np.int32) for a in arrays))
        return np.array(self.plan.run(batch, states).logits())

    def read(self, tokens: Sequence[int], chunks: Iterable[int]) -> Logits:
        """The logits of all tokens, read by a new session in pieces of these lengths."""
        state, start, rows = self.state(), 0, []
        for n in chunks:
            rows.append(self.step([(state, start, tokens[start : start + n])], np.arange(n)))
            start += n
        assert start == len(tokens)
        state.keep(0)
        return np.concatenate(rows)

    def whole(self, tokens: Sequence[int]) -> Logits:
        return self.read(tokens, [len(tokens)])


def load(
    path: Path, backend: Any, kv_dtype: str = "f32", architecture: str | None = None
) -> Runner:
    with open_model(path, architecture=architecture) as file:
        graph = build(file, {name: info.shape for name, info in file.tensors.items()})[1]
        buffers = {
            name: backend.upload(name, t.dtype, t.shape, file.data(name), frozenset(uses))
            for name, uses in graph.used.items()
            for t in [file.tensors[name]]
        }
        kv = backend.kv_pool(graph, checked_kv_dtype(backend, kv_dtype))
        plan = backend.compile(graph, buffers, kv, n_ctx=N_CTX)
    return Runner(graph, plan, PagePool(kv))
