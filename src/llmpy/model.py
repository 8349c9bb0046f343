"""load(): where file, architecture, tokenizer and backend meet.

path -> metadata and tensors -> hyperparameters -> graph -> plan
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from llmpy import native, quant
from llmpy.arch.base import build
from llmpy.backends.base import PAGE_TOKENS, Backend, Plan
from llmpy.errors import ModelFileError, OutOfMemory, SessionClosed, UnsupportedModelError
from llmpy.format import ModelFile, TensorInfo, open_gguf
from llmpy.graph import Graph
from llmpy.memory import available_memory, readable_bytes
from llmpy.sampling import Chain, Rng, Sampler, chain, default_chain
from llmpy.session.cache import PagePool
from llmpy.session.session import Session
from llmpy.tokenizer import Tokenizer, build_tokenizer

__all__ = ["LoadEvent", "Model", "load", "load_tokenizer"]

RECOMMENDATIONS = {
    "general.sampling.temp": "temperature",
    "general.sampling.top_k": "top_k",
    "general.sampling.top_p": "top_p",
    "general.sampling.min_p": "min_p",
    "general.sampling.penalty_repeat": "repeat_penalty",
}


@dataclass(frozen=True, slots=True)
class LoadEvent:
    """Progress of `load`: "metadata" once it is read, "tensor" for each one ready, then "done".

    `bytes_done` of `bytes_total` tensor bytes are ready; `seconds` since the call began.
    """

    kind: Literal["metadata", "tensor", "done"]
    name: str
    bytes_done: int
    bytes_total: int
    seconds: float


def load(
    path: str | os.PathLike[str],
    *,
    n_ctx: int | None = None,
    n_threads: int | None = None,
    n_batch: int = 512,
    backend: str | Backend = "auto",
    kv_dtype: Literal["f16", "f32"] = "f16",
    progress: Callable[[LoadEvent], object] | None = None,
) -> Model:
    """Load a GGUF model.

    `n_ctx`: tokens a session can hold (default: the model's own context, or what memory can hold of
    it). `n_threads`: default all CPUs available to this process. `n_batch`: tokens read in one
    step, at most. `backend`: "cpu", "reference", or an object of that protocol; "auto" takes the
    compiled one where it is installed. `kv_dtype`: storage of keys and values. `progress` is called
    with a `LoadEvent` as things are ready; an exception it raises cancels the load.

    Raises ModelFileError or UnsupportedModelError for the file, OutOfMemory with the numbers,
    BackendError when the backend cannot run here.
    """
    begin = time.perf_counter()
    for name, number in (("n_ctx", n_ctx), ("n_threads", n_threads), ("n_batch", n_batch)):
        if number is not None and not 1 <= number < 2**31:
            raise ValueError(f"{name}: expected a positive whole number, found {number}")
    if kv_dtype not in ("f16", "f32"):
        raise ValueError(f"kv_dtype: expected 'f16' or 'f32', found {kv_dtype!r}")
    engine = _backend(backend, n_threads, n_batch)

    def report(kind: Literal["metadata", "tensor", "done"], name: str, done: int) -> None:
        if progress is not None:
            progress(LoadEvent(kind, name, done, total, time.perf_counter() - begin))

    with open_gguf(Path(path)) as file:
        shapes = {name: info.shape for name, info in file.tensors.items()}
        total = sum(info.size for info in file.tensors.values())
        architecture, graph = build(file, shapes)
        tokenizer = build_tokenizer(file.metadata, file.path)
        _check_vocabulary(file, graph, tokenizer)
        for name in graph.used:
            _check_type(file, file.tensors[name])
        context = _context(file, graph, n_ctx, architecture.n_ctx, kv_dtype)
        report("metadata", str(file.path), 0)
        buffers, done = {}, 0
        for name, info in file.tensors.items():
            if name in graph.used:
                uses = frozenset(graph.used[name])
                buffers[name] = engine.upload(name, info.dtype, info.shape, file.data(name), uses)
                file.release(name)
            done += info.size
            report("tensor", name, done)
        plan = engine.compile(graph, buffers, n_ctx=context, kv_dtype=kv_dtype)
        file.release_all()
        model = Model(file, architecture, graph, tokenizer, plan, context, n_batch)
        report("done", str(file.path), total)
    return model


class Model:
    """A model ready to run: immutable, and shared by all its sessions and threads.

    `metadata` is the file's, `tokenizer` and `graph` what was made of it, `n_ctx` the tokens a
    session can hold, `n_vocab` the token ids it can say.
    """

    def __init__(
        self,
        file: ModelFile,
        architecture: Any,
        graph: Graph,
        tokenizer: Tokenizer,
        plan: Plan,
        n_ctx: int,
        n_batch: int,
    ) -> None:
        self.path = file.path
        self.metadata = file.metadata
        self.tensors: Mapping[str, TensorInfo] = file.tensors
        self.architecture = architecture
        self.graph = graph
        self.tokenizer = tokenizer
        self.n_ctx = n_ctx
        self.n_vocab = tokenizer.n_vocab
        self.n_batch = n_batch
        self._plan = plan
        self._pool = PagePool(plan)
        self._lock = threading.RLock()
        self._closed = False
        self._positions = np.arange(max(n_ctx, n_batch), dtype=np.int32)
        self._zeros = np.zeros(n_batch, np.int32)

    def session(
        self, *, sampler: Chain | Sampler | None = None, seed: int | None = None
    ) -> Session:
        """A new conversation with its own memory, sampler and random numbers.

        `sampler`: a chain, or any callable `(logits, session) -> logits`; default: what the model
        file recommends, else temperature 0.8, top_k 40, top_p 0.95, min_p 0.05. The same `seed`
        gives the same text; None draws one.
        """
        self._check_open()
        if sampler is None:
            sampler = default_chain(**self.recommended_sampling)
        elif not isinstance(sampler, Chain):
            sampler = chain(sampler)
        return Session(self, sampler, Rng(seed))

    @property
    def recommended_sampling(self) -> dict[str, Any]:
        """The sampling parameters that the file recommends (`general.sampling.*`)."""
        found = {name: self.metadata.get(key) for key, name in RECOMMENDATIONS.items()}
        return {name: value for name, value in found.items() if isinstance(value, int | float)}

    def close(self) -> None:
        """Free the model's memory at once; its sessions cannot go on."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._plan.close()
                self._pool.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("this model is closed; load it again")

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        name = self.metadata.get("general.name", self.path.name)
        return f"<llmpy.Model {name!r}: n_ctx {self.n_ctx}, n_vocab {self.n_vocab}>"


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer of a model file alone, without its weights."""
    with open_gguf(Path(path)) as file:
        return build_tokenizer(file.metadata, file.path)


def _backend(backend: str | Backend, n_threads: int | None, n_batch: int) -> Backend:
    if not isinstance(backend, str):
        return backend
    if backend == "auto":
        backend = "cpu" if native.available() else "reference"
        if backend == "reference":
            warnings.warn(
                "the compiled part of llmpy is not installed: falling back to the reference "
                "backend, which is very slow",
                RuntimeWarning,
                stacklevel=3,
            )
    if backend == "cpu":
        from llmpy.backends.cpu import CpuBackend

        return CpuBackend(n_threads=n_threads, max_tokens=n_batch)
    if backend == "reference":
        from llmpy.backends.reference import ReferenceBackend

        return ReferenceBackend()
    raise ValueError(f"backend: expected 'auto', 'cpu' or 'reference', found {backend!r}")


def _check_type(file: ModelFile, info: TensorInfo) -> None:
    field = f"tensor '{info.name}' type"
    if info.dtype.is_integer:
        raise ModelFileError(file.path, field, "a type for weights", str(info.dtype))
    if info.dtype.name not in quant.readable:
        known = ", ".join(sorted(quant.readable))
        raise UnsupportedModelError(file.path, field, f"one of {known}", str(info.dtype))


def _check_vocabulary(file: ModelFile, graph: Graph, tokenizer: Tokenizer) -> None:
    """Each token must have a row to be embedded by and a logit to be said by."""
    rows = [graph.n_vocab]
    rows += [graph.shapes[n.weights[0]][0] for n in graph.nodes if n.op == "embed"]
    if tokenizer.n_vocab > min(rows):
        key = "tokenizer.ggml.tokens"
        raise ModelFileError(
            file.path,
            key,
            f"at most {min(rows)} tokens, the rows of the embedding and output tensors",
            f"{tokenizer.n_vocab} tokens",
            offset=file.where(key),
        )


def _context(file: ModelFile, graph: Graph, asked: int | None, trained: int, kv_dtype: str) -> int:
    """How many tokens a session may hold, so that weights and one full session fit in memory."""
    size = {"f16": 2, "f32": 4}[kv_dtype]
    per_token = sum(prod(c.shape) for c in graph.caches) * size
    weights = sum(file.tensors[name].size for name in graph.used)
    free = available_memory()
    wanted = asked or trained
    if free is None:
        return min(wanted, _index_limit())
    fitting = max(0, (free - weights) // max(1, per_token) // PAGE_TOKENS * PAGE_TOKENS)
    if (asked and asked > fitting) or fitting < PAGE_TOKENS:
        n = asked or PAGE_TOKENS
        raise OutOfMemory(
            f"{file.path}: the weights need {readable_bytes(weights)} and a context of {n} tokens "
            f"{readable_bytes(per_token * n)}, but {readable_bytes(free)} of memory are free. "
            + (f"A context of {fitting} would fit." if fitting >= PAGE_TOKENS else "")
        )
    return min(wanted, fitting, _index_limit())


def _index_limit() -> int:
    """Positions are 32-bit numbers, and an array of them is kept: 64 MB at the most."""
    return 1 << 24
