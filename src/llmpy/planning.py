"""The memory that a model takes and the operations that it runs, before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from llmpy import checks
from llmpy.backends import GpuShare, checked_kv_dtype, make_backend
from llmpy.backends.base import PAGE_TOKENS, Backend, Requirements
from llmpy.checkpoint.open import open_model
from llmpy.graph import Graph, is_encoder, layers_text, show
from llmpy.machine.memory import readable_bytes
from llmpy.wiring import unchecked

if TYPE_CHECKING:
    from llmpy.backends.base import StoredTensor

__all__ = ["MemoryPlace", "MemoryPlan", "plan_memory", "planned", "program_text"]

TOKEN_BYTES = 200  # that the tokenizer takes for each token of the vocabulary


@dataclass(frozen=True)
class MemoryPlace:
    """The memory in bytes that layers `first` to `end`, exclusive, need where they are computed.

    `name`: of the device, or of the backend. The rest is as in `MemoryPlan`.
    """

    name: str
    first: int
    end: int
    weights: int
    kv_cache: int
    recurrent: int
    activations: int
    available: int | None

    @property
    def total(self) -> int:
        """Sum of all parts, in bytes."""
        return self.weights + self.kv_cache + self.recurrent + self.activations

    def __str__(self) -> str:
        free = "" if self.available is None else f" of {readable_bytes(self.available)}"
        layers = layers_text(self.first, self.end) if self.end else "all"
        return f"{self.name}: {layers}, {readable_bytes(self.total)}{free}"


@dataclass(frozen=True)
class MemoryPlan:
    """The memory in bytes that a model needs with `sessions` full sessions of `n_ctx` tokens.

    `weights`: the tensors as the backend stores them; `kv_cache` and `recurrent`: KV cache and
    recurrent state of all sessions; `activations`: those of a step of the largest batch;
    `tokenizer`: the vocabulary. `available`: free memory now, None if the system does not report
    it. `places`: where what of it lies, if that is more than one backend.
    """

    n_ctx: int
    sessions: int
    kv_dtype: str
    weights: int
    kv_cache: int
    recurrent: int
    activations: int
    tokenizer: int
    available: int | None
    places: tuple[MemoryPlace, ...] = ()

    @property
    def total(self) -> int:
        """Sum of all parts, in bytes."""
        parts = self.weights, self.kv_cache, self.recurrent, self.activations, self.tokenizer
        return sum(parts)

    @property
    def fits(self) -> bool:
        """True if that much memory is free, everywhere."""
        found = self.places or (self,)
        return all(each.available is None or each.total <= each.available for each in found)

    def __str__(self) -> str:
        rows = [
            ("weights", self.weights),
            (f"KV cache, {self.kv_dtype}, {self.sessions} x {self.n_ctx} tokens", self.kv_cache),
            ("recurrent states", self.recurrent),
            ("activations", self.activations),
            ("tokenizer", self.tokenizer),
            ("total", self.total),
        ]
        lines = [(name, readable_bytes(n)) for name, n in rows if n]
        if self.available is not None:
            lines.append(("free now", readable_bytes(self.available)))
        width = max(len(name) for name, _ in lines)
        table = [f"{name:<{width}}  {size:>9}" for name, size in lines]
        return "\n".join([*table, *map(str, self.places)])


@runtime_checkable
class Placing(Protocol):
    """A backend that computes layers in several places."""

    def part_needs(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str, n_output_rows: int
    ) -> list[Any]:
        """Return what each of them needs: `name`, `first`, `end`, `needs` and `step`."""


@runtime_checkable
class StepSized(Protocol):
    """A backend that tells what a step takes."""

    def step_bytes(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str, n_outputs: int
    ) -> int:
        """Return the bytes of activations and logits of the largest step, of `n_outputs` rows."""


def plan_memory(
    path: str | os.PathLike[str],
    *,
    n_ctx: int | None = None,
    sessions: int = 1,
    backend: str | Backend = "auto",
    n_gpu_layers: int | None = None,
    device: str | None = None,
    device_memory: int | str | Sequence[int | str] | None = None,
    n_batch: int = 512,
    kv_dtype: str = "auto",
    architecture: str | None = None,
    rope: Mapping[str, Any] | None = None,
) -> MemoryPlan:
    """Return the memory that a model needs with `sessions` full sessions, without loading it.

    `n_ctx`: tokens of a session (default: the model's own context length). The other options are
    those of `load`, and so are the errors about the file; too little memory is not an error.
    """
    checks.path("path", path)
    for name, number in (("n_ctx", n_ctx), ("sessions", sessions), ("n_batch", n_batch)):
        if number is not None:
            checks.whole(name, number)
    share = GpuShare(n_gpu_layers, device, device_memory, n_ctx)
    engine = make_backend(backend, None, n_batch, share)
    kv_dtype = checked_kv_dtype(engine, kv_dtype)
    with open_model(path, architecture=architecture) as file:
        hyperparameters, graph = unchecked(file, n_ctx, rope)
        kv_dtype = "f32" if is_encoder(graph) else kv_dtype
        needs = engine.requirements(graph, file.tensors, kv_dtype)
        tokens: Any = file.metadata.get("tokenizer.ggml.tokens", ())
        needed = engine, graph, file.tensors, needs, kv_dtype, len(tokens)
        return planned(*needed, n_batch, n_ctx or hyperparameters.n_ctx, sessions)


@runtime_checkable
class _Printing(Protocol):
    """A backend that says what it makes of a graph."""

    def program_text(self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str) -> str:
        """Return the operations that it will run, one a line."""


def program_text(
    path: str | os.PathLike[str],
    *,
    n_ctx: int | None = None,
    backend: str | Backend = "auto",
    kv_dtype: str = "auto",
    architecture: str | None = None,
    rope: Mapping[str, Any] | None = None,
) -> str:
    """Return the operations that a step of a model runs, one a line, without loading it.

    The native backend prints them as it has fused and placed them; of a backend that does not say
    what it runs it is the graph. The options are those of `load`, and so are the errors about the
    file.
    """
    checks.path("path", path)
    if n_ctx is not None:
        checks.whole("n_ctx", n_ctx)
    engine = make_backend(backend, None, 1)
    kv_dtype = checked_kv_dtype(engine, kv_dtype)
    with open_model(path, architecture=architecture) as file:
        _, graph = unchecked(file, n_ctx, rope)
        if not isinstance(engine, _Printing):
            return show(graph, {name: info.dtype for name, info in file.tensors.items()})
        kv_dtype = "f32" if is_encoder(graph) else kv_dtype
        return engine.program_text(graph, file.tensors, kv_dtype)


def planned(
    backend: Backend,
    graph: Graph,
    tensors: Mapping[str, StoredTensor],
    needs: Requirements,
    kv_dtype: str,
    n_tokens: int,
    n_batch: int,
    n_ctx: int,
    sessions: int,
) -> MemoryPlan:
    """Return the plan from what the backend `needs`.

    What windows have passed is freed after a step, so that of one session its tokens are there too.
    """
    n_step = -(-min(n_batch, max(0, n_ctx - needs.window)) // PAGE_TOKENS)
    step = 0
    if isinstance(backend, StepSized):
        step = backend.step_bytes(graph, tensors, kv_dtype, sessions)

    def caches(needs: Requirements) -> int:
        return sessions * needs.cache_bytes(n_ctx) + n_step * needs.windowed

    places: list[MemoryPlace] = []
    if isinstance(backend, Placing):
        for part in backend.part_needs(graph, tensors, kv_dtype, sessions):
            sizes = part.needs.weights, caches(part.needs), sessions * part.needs.recurrent
            place = part.name, part.first, part.end, *sizes, part.step, part.needs.available
            places.append(MemoryPlace(*place))
    return MemoryPlan(
        n_ctx=n_ctx,
        sessions=sessions,
        kv_dtype=kv_dtype,
        weights=needs.weights,
        kv_cache=caches(needs),
        recurrent=sessions * needs.recurrent,
        activations=step,
        tokenizer=TOKEN_BYTES * n_tokens,
        available=needs.available,
        places=tuple(places),
    )
