"""One operation, or a few, as a model of its own: the rows of an embedding are what goes in."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from llmpy import ffi, quant
from llmpy.backends import checked_kv_dtype
from llmpy.backends.array.backend import ArrayBackend
from llmpy.backends.base import Batch
from llmpy.backends.reference.backend import ReferenceBackend
from llmpy.dtypes import BY_NAME
from llmpy.engine.cache import PagedState, PagePool
from llmpy.graph import Graph, Value, Weights
from llmpy.graph.check import finish
from tests.backends.gpu.devices import gpu_backend

Array = NDArray[np.float32]
Trace = Callable[[Value, Weights], Value]
N_CTX = 2048
MAX_TOKENS = 512
ARM = platform.machine().lower() in ("aarch64", "arm64")
X86_LEVELS = ["portable", "avx2", "avx_vnni", "avx512bw", "avx512", "amx"]
LEVELS = ["portable", "neon", "neon_i8mm"] if ARM else X86_LEVELS


def cpu_backend(level: str | None = None, n_threads: int = 1) -> Any:
    """The compiled backend; skips where it, the instructions or processors are missing."""
    if not ffi.available():
        pytest.skip(f"the compiled library is not installed: {ffi.library_path()}")
    from llmpy.backends.cpu.backend import CpuBackend
    from llmpy.errors import BackendError
    from llmpy.ffi import level_names
    from llmpy.machine.cpus import available_cpus

    if available_cpus() < n_threads:
        pytest.skip(f"{n_threads} processors are needed")
    if level is not None and level not in level_names():
        pytest.skip(f"no kernels for {level} on this kind of processor")
    try:
        return CpuBackend(n_threads=n_threads, max_tokens=MAX_TOKENS, level=level)
    except BackendError as error:
        pytest.skip(str(error))


def backend(name: str) -> Any:
    """ "reference", "array", "gpu", or the compiled one at the named level."""
    if name == "gpu":
        return gpu_backend()
    if name == "array":
        return ArrayBackend()
    return ReferenceBackend() if name == "reference" else cpu_backend(name)


def random(seed: int, *shape: int) -> Array:
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, np.float32)


def stored(dtype: str, values: Array) -> NDArray[np.uint8]:
    """Bytes of a tensor; those that nobody writes are random, with a usual factor."""
    if dtype in quant.writable:
        return quant.quantize(dtype, values)
    kind = BY_NAME[dtype]
    n_blocks = values.size // kind.block
    words = np.random.Generator(np.random.PCG64(values.size)).bytes(n_blocks * kind.size)
    blocks = np.frombuffer(words, np.uint8).reshape(n_blocks, kind.size).copy()
    factors = {
        "TQ2_0": {64: 3e-2},
        "IQ3_XXS": {0: 3e-3},
    }[dtype]
    for place, factor in factors.items():
        blocks[:, place : place + 2] = np.array([factor], np.float16).view(np.uint8)
    return blocks.reshape(-1)


def near(ours: Array, reference: Array, tolerance: float = 2e-6) -> None:
    assert ours.shape == reference.shape
    np.testing.assert_allclose(
        ours, reference, rtol=0, atol=tolerance * max(1.0, float(np.abs(reference).max()))
    )


def as_in_a_file(data: Any) -> Any:
    data.setflags(write=False)
    return data


class Model:
    """A traced graph over given weights ({name: (type, values)}), compiled by a backend.

    The table "x" is what tokens embed; `trace` gets its rows and gives the output.
    """

    def __init__(
        self,
        engine: Any,
        x: Array,
        trace: Trace,
        weights: Mapping[str, tuple[str, Array]] | None = None,
        kv_dtype: str = "f32",
        x_dtype: str = "F32",
    ) -> None:
        tensors = {"x.weight": (x_dtype, x), **(weights or {})}
        shapes = {name: values.shape for name, (_, values) in tensors.items()}
        graph = Graph(shapes)
        top = Weights(shapes)
        finished = finish(graph, trace(graph.tokens().embed(top.x), top), harmless=["*"])
        buffers = {
            name: engine.upload(
                name,
                BY_NAME[dtype],
                values.shape,
                as_in_a_file(stored(dtype, values)),
                frozenset(graph.used[name]),
            )
            for name, (dtype, values) in tensors.items()
            if name in graph.used
        }
        self.kv = engine.kv_pool(finished, checked_kv_dtype(engine, kv_dtype))
        self.plan = engine.compile(finished, buffers, self.kv, n_ctx=N_CTX)
        self.pool = PagePool(self.kv)
        self.n_rows = len(x)

    def state(self) -> PagedState:
        return PagedState(self.pool, N_CTX)

    def step(
        self, parts: Sequence[tuple[PagedState, int, Sequence[int]]], output_rows: Any = None
    ) -> Array:
        """One batch of (state, first position, tokens); by default all logits are requested."""
        for state, start, tokens in parts:
            state.prepare(start, start + len(tokens))
        n = sum(len(tokens) for _, _, tokens in parts)
        arrays = (
            np.concatenate([np.asarray(tokens) for _, _, tokens in parts]),
            np.concatenate([start + np.arange(len(tokens)) for _, start, tokens in parts]),
            np.concatenate([np.full(len(tokens), i) for i, (_, _, tokens) in enumerate(parts)]),
            np.arange(n) if output_rows is None else np.asarray(output_rows),
        )
        batch = Batch(*(np.ascontiguousarray(a, dtype=np.int32) for a in arrays))
        logits = np.array(self.plan.run(batch, [state for state, _, _ in parts]).logits())
        for state, start, tokens in parts:
            state.done(start + len(tokens))
        return logits

    def read(self, tokens: Sequence[int], chunk: int = MAX_TOKENS) -> Array:
        """The logits of all tokens of a new session, read in pieces."""
        state = self.state()
        rows = [
            self.step([(state, at, tokens[at : at + chunk])]) for at in range(0, len(tokens), chunk)
        ]
        state.keep(0)
        return np.concatenate(rows)

    def rows(self) -> Array:
        """The output for every row of the table, each a token of one session."""
        return self.read(range(self.n_rows))


def flatten(x: Value) -> Value:
    """[T, heads, d] as [T, heads * d]: a token that sees only itself gives back its own value."""
    return x.attend(x.cached(), x.cached(), window=1)
