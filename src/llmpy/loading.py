"""load(): where file, architecture, tokenizer and backend meet.

path -> metadata and tensors -> hyperparameters -> graph -> plan
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, log, quant
from llmpy.backends import (
    ALL_ON_ONE,
    GpuShare,
    checked_kv_dtype,
    make_backend,
    shared_with_cpu,
)
from llmpy.backends.base import PAGE_TOKENS, Backend, Describing, Requirements
from llmpy.checkpoint.open import existing, open_licensed, open_vocabulary
from llmpy.dtypes import BY_NAME
from llmpy.engine import Turn, Turns
from llmpy.errors import BackendError, OutOfMemory
from llmpy.format import ModelFile
from llmpy.graph import PAIRS, Graph, is_encoder, key_rotations, n_embedded
from llmpy.model import Model
from llmpy.overrides import GivenTokenizer, tokenizer_of
from llmpy.planning import planned
from llmpy.session.asynchronous import in_thread
from llmpy.session.ranking import Classifier, pair_table
from llmpy.tokenizer import Tokenizer, build_tokenizer
from llmpy.wiring import Wired, wire

if TYPE_CHECKING:
    from llmpy.chat import ChatTemplate

__all__ = ["LoadEvent", "aload", "load", "load_template", "load_tokenizer"]

MOST_PREFIX_BYTES = 2 << 30  # that the prefix cache takes where nothing else is asked for


@dataclass(frozen=True, slots=True)
class LoadEvent:
    """Progress of `load`: "metadata" once it is read, "tensor" for each one ready, then "done".

    `bytes_done` of `bytes_total` tensor bytes are ready; `seconds` is the time since the call
    began.
    """

    kind: Literal["metadata", "tensor", "done"]
    name: str
    bytes_done: int
    bytes_total: int
    seconds: float


class _Report:
    """Tells `progress` how far a load is."""

    def __init__(
        self, progress: Callable[[LoadEvent], object] | None, total: int, begin: float
    ) -> None:
        self._progress = progress
        self._total = total
        self._begin = begin

    def __call__(self, kind: Literal["metadata", "tensor", "done"], name: str, done: int) -> None:
        if self._progress is not None:
            seconds = time.perf_counter() - self._begin
            self._progress(LoadEvent(kind, name, done, self._total, seconds))

    def tensors(self, file: ModelFile, ready: Iterable[str]) -> None:
        """Tell of each tensor once it is ready."""
        done = 0
        for name in ready:
            done += file.tensors[name].size
            self("tensor", name, done)


def load(
    path: str | os.PathLike[str],
    *,
    architecture: str | None = None,
    n_ctx: int | None = None,
    n_threads: int | None = None,
    n_batch: int = 512,
    backend: str | Backend = "auto",
    n_gpu_layers: int | None = None,
    device: str | None = None,
    device_memory: int | str | Sequence[int | str] | None = None,
    kv_dtype: str = "auto",
    max_total_tokens: int | None = None,
    prefix_cache_bytes: int | None = None,
    rope: Mapping[str, Any] | None = None,
    tokenizer: GivenTokenizer | None = None,
    mmap: bool = True,
    download: bool = False,
    allow_licenses: Iterable[str] | None = None,
    progress: Callable[[LoadEvent], object] | None = None,
) -> Model:
    """Load a model: a GGUF file, a Hugging Face checkpoint folder, or a GGML, GGMF or GGJT file.

    `path`: the path, or a name of `llmpy.models()`. `architecture`: that of a GGML, GGMF or GGJT
    file, which does not contain it (see `open_model`). `n_ctx`: tokens a session can hold (default:
    the model's own context length, or less if memory is short). `n_threads`: default all CPUs
    available to this process. `n_batch`: largest number of tokens computed in one step. `backend`:
    "cpu", "gpu", "reference", or an object of that protocol; "auto" takes a GPU that is faster than
    the CPU, else the compiled one. `n_gpu_layers`: how many of the last layers, with the output
    projection, a GPU computes; the CPU computes the others. `device`: the GPU, by its number or a
    part of its name; several with commas between them share these layers. `device_memory`: what
    the model may take of it, in bytes or as "6GB", or a size for each; without `n_gpu_layers` as
    many layers go there as fit. `kv_dtype`: storage type of keys and values; "auto" is the
    backend's own choice; for "cpu" that is "int14", 14-bit integers with a scale, which are more
    accurate than half precision; "q8_0", blocks of 32, takes half of that at some error; "f32"
    rounds nothing.
    `max_total_tokens`: limit on the tokens in the KV caches of all sessions (default: none); above
    it sessions wait, and if all of them wait, the youngest is preempted and computed again later,
    which changes no text. `prefix_cache_bytes`: memory in addition for computed pages, also of
    sessions that have ended, so that another session that begins with the same tokens reuses them
    (default: a quarter of free memory, 2 GiB at most; 0: none). `progress` is called with a
    `LoadEvent` as tensors become ready; an exception cancels the load.

    `rope`: RoPE parameters that override the file's, a mapping of "freq_base", "freq_scale" (the
    reciprocal of the factor by which the context is stretched), "scaling" ("none", "linear" or
    "yarn"), "original_context". `tokenizer`: a tokenizer that replaces the file's: the path of a
    tokenizer.json or of a model, or an object of `llmpy.TokenizerProtocol`. `mmap`: False copies
    the weights into memory, so that nothing reads the files once the model is loaded. `download`:
    `pull` a model that is not installed; without it nothing is ever downloaded. `allow_licenses`:
    see `pull`.

    Raises ModelFileError or UnsupportedModelError for the file, ModelNotFound, LicenseRefused,
    PullError where it is downloaded, OutOfMemory with the numbers, BackendError if the backend
    cannot run here, ValueError for an `n_ctx` above the size of a model's position table.
    """
    begin = time.perf_counter()
    sizes = {"n_ctx": n_ctx, "n_threads": n_threads, "max_total_tokens": max_total_tokens}
    _check_arguments(path, progress, mmap, **sizes, n_batch=n_batch)
    share = GpuShare(n_gpu_layers, device, device_memory, n_ctx)
    engine = make_backend(backend, n_threads, n_batch, share)

    def on(engine: Backend) -> Model:
        stored = checked_kv_dtype(engine, kv_dtype)
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(open_licensed(path, architecture, download, allow_licenses))
            wired = wire(engine, file, n_ctx=n_ctx, kv_dtype=stored, rope=rope)
            max_pages = _pages(max_total_tokens, wired.n_ctx)
            prefix_bytes = _prefix_bytes(prefix_cache_bytes, wired.graph, wired.needs)
            total = sum(file.tensors[name].size for name in wired.graph.used)
            report = _Report(progress, total, begin)
            report("metadata", str(file.path), 0)
            file.release_all()  # of the metadata, and before any tensor is read ahead
            buffers = _uploaded(engine, file, wired.graph, mmap)
            # goes on while the tokenizer is made
            ready = opened.enter_context(contextlib.closing(engine.prepare(file.release)))
            words = tokenizer_of(file, tokenizer, n_embedded(wired.graph))
            report.tensors(file, ready)
            model = _made(engine, file, wired, words, buffers, n_batch, max_pages, prefix_bytes)
            model.computed_by = (
                engine.described(wired.graph) if isinstance(engine, Describing) else engine.name
            )
            report("done", str(file.path), total)
            seconds = time.perf_counter() - begin
            size = total / 1e9
            by = model.computed_by
            log.log.info("loaded %r, %.2f GB of tensors, %.2f s, on %s", model, size, seconds, by)
            if mmap:
                opened.pop_all()  # the map of the file lives as long as something reads it
        return model

    if backend != "auto" or engine.name != "gpu" or share[:3] != ALL_ON_ONE[:3]:
        return on(engine)
    try:
        if kv_dtype not in ("auto", *engine.kv_dtypes):
            raise BackendError(f"gpu: keys and values cannot be stored as {kv_dtype}")
        return on(engine)
    except (BackendError, OutOfMemory) as error:
        found = error.with_traceback(None)  # whose frames hold what was uploaded
    warnings.warn(
        f"the CPU runs this model, or a part of it: {found}", RuntimeWarning, stacklevel=2
    )
    if isinstance(found, OutOfMemory):
        with contextlib.suppress(BackendError, OutOfMemory):
            return on(shared_with_cpu(engine, n_threads, n_batch, n_ctx))
    return on(make_backend("cpu", n_threads, n_batch))


async def aload(
    path: str | os.PathLike[str],
    *,
    architecture: str | None = None,
    n_ctx: int | None = None,
    n_threads: int | None = None,
    n_batch: int = 512,
    backend: str | Backend = "auto",
    n_gpu_layers: int | None = None,
    device: str | None = None,
    device_memory: int | str | Sequence[int | str] | None = None,
    kv_dtype: str = "auto",
    max_total_tokens: int | None = None,
    prefix_cache_bytes: int | None = None,
    rope: Mapping[str, Any] | None = None,
    tokenizer: GivenTokenizer | None = None,
    mmap: bool = True,
    download: bool = False,
    allow_licenses: Iterable[str] | None = None,
    progress: Callable[[LoadEvent], object] | None = None,
) -> Model:
    """Run `load` in a thread, for asyncio; `progress` is called there, and it can be cancelled."""
    cancelled = threading.Event()

    def report(event: LoadEvent) -> None:
        if cancelled.is_set():
            raise InterruptedError("the load was cancelled")
        if progress is not None:
            progress(event)

    call = partial(
        load,
        path,
        architecture=architecture,
        n_ctx=n_ctx,
        n_threads=n_threads,
        n_batch=n_batch,
        backend=backend,
        n_gpu_layers=n_gpu_layers,
        device=device,
        device_memory=device_memory,
        kv_dtype=kv_dtype,
        max_total_tokens=max_total_tokens,
        prefix_cache_bytes=prefix_cache_bytes,
        rope=rope,
        tokenizer=tokenizer,
        mmap=mmap,
        download=download,
        allow_licenses=allow_licenses,
        progress=report,
    )
    return await in_thread(call, cancel=cancelled.set)


def load_tokenizer(path: str | os.PathLike[str], *, architecture: str | None = None) -> Tokenizer:
    """Return the tokenizer of a model file, without its weights."""
    return build_tokenizer(open_vocabulary(path, architecture=architecture), existing(path))


def load_template(
    path: str | os.PathLike[str], name: str | None = None, *, architecture: str | None = None
) -> ChatTemplate:
    """Return the chat template of a model file, without its weights.

    `name`: a named template, or one in Jinja, instead of the file's own (see `Model.chat`).
    """
    from llmpy.chat import chosen_template

    if name is not None:
        checks.text("name", name)
    metadata = open_vocabulary(path, architecture=architecture)
    return chosen_template(metadata, build_tokenizer(metadata, existing(path)), name)


def _made(
    engine: Backend,
    file: ModelFile,
    wired: Wired,
    tokenizer: Tokenizer,
    buffers: dict[str, Any],
    n_batch: int,
    max_pages: int | None,
    prefix_bytes: int,
) -> Model:
    """The model, once its tensors are there."""
    graph, n_ctx = wired.graph, wired.n_ctx
    classifier = _classifier(engine, file, graph, buffers)
    pool = engine.kv_pool(graph, wired.kv_dtype)
    compiled = partial(engine.compile, buffers=buffers, pool=pool, n_ctx=n_ctx)
    memory = engine, graph, file.tensors, wired.needs, wired.kv_dtype, tokenizer.n_vocab
    parts = file, wired.hyperparameters, graph, tokenizer, compiled, pool
    plan = partial(planned, *memory, n_batch)
    options = n_ctx, n_batch, max_pages, prefix_bytes, classifier, plan
    return Model(*parts, *options, _turns(file, graph))


def _turns(file: ModelFile, graph: Graph) -> Turns | None:
    """Return the rotation of keys in the caches; None where tokens cannot be moved."""
    found = key_rotations(graph)
    if found is None:
        return None
    turns: dict[int, Turn | None] = {}
    for cache, rotation in found.items():
        turns[cache] = None
        if rotation is not None:
            rope, divisors = rotation
            frequencies = rope.frequencies()
            if divisors:
                info = file.tensors[divisors]
                frequencies = frequencies / quant.dequantize(
                    info.dtype, file.data(divisors), info.shape
                )
            turns[cache] = Turn(frequencies, rope.neox)
    return turns


def _check_arguments(path: object, progress: object, mmap: object, **numbers: object) -> None:
    checks.path("path", path)
    checks.flag("mmap", mmap)
    for name, number in numbers.items():
        if number is not None:
            checks.whole(name, number)
    checks.function("progress", progress)


def _pages(max_total_tokens: int | None, n_ctx: int) -> int | None:
    """Return how many pages hold so many tokens; at least a session of `n_ctx` tokens must fit."""
    if max_total_tokens is None:
        return None
    n_pages, needed = max_total_tokens // PAGE_TOKENS, -(-n_ctx // PAGE_TOKENS)
    if n_pages < needed:
        raise ValueError(
            f"max_total_tokens: expected at least {needed * PAGE_TOKENS}, for one session of n_ctx "
            f"({n_ctx}) tokens, found {max_total_tokens}; load the model with a smaller n_ctx"
        )
    return n_pages


def _prefix_bytes(asked: int | None, graph: Graph, needs: Requirements) -> int:
    """Return the bytes that the prefix cache may take; 0 where no token comes after a text."""
    if asked is not None:
        checks.whole("prefix_cache_bytes", asked, 0, sys.maxsize)
    if is_encoder(graph):
        return 0
    free = MOST_PREFIX_BYTES if needs.available is None else (needs.available - needs.weights) // 4
    return max(0, min(free, MOST_PREFIX_BYTES)) if asked is None else asked


def _uploaded(engine: Backend, file: ModelFile, graph: Graph, mmap: bool) -> dict[str, Any]:
    """Upload each tensor that the graph reads to the backend."""

    def data(name: str) -> NDArray[np.uint8]:
        if mmap:
            return file.data(name)
        copied = np.array(file.data(name))
        file.release(name)
        return copied

    return {
        name: engine.upload(name, info.dtype, info.shape, data(name), frozenset(uses))
        for name, uses in graph.used.items()
        for info in (file.tensors[name],)
    }


def _classifier(
    engine: Backend, file: ModelFile, graph: Graph, buffers: dict[str, Any]
) -> Classifier | None:
    """The head of a reranker, and among the buffers the table by which it tells two texts apart."""
    found = Classifier.of(file, graph)
    if found is not None and (table := pair_table(file, graph)) is not None:
        dtype, data = BY_NAME["F32"], table.view(np.uint8).reshape(-1)
        buffers[PAIRS] = engine.upload(PAIRS, dtype, table.shape, data, frozenset({"embed"}))
    return found
