"""load(): where file, architecture, tokenizer and backend meet.

path -> metadata and tensors -> hyperparameters -> graph -> plan
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, log
from llmpy.backends import checked_kv_dtype, make_backend
from llmpy.backends.base import PAGE_TOKENS, Backend, KvPool, Plan, Requirements
from llmpy.backends.trace import Trace, Traceable
from llmpy.checkpoint.open import existing, open_licensed, open_vocabulary
from llmpy.checkpoint.recommended import GGUF_KEYS, recommended
from llmpy.dtypes import BY_NAME
from llmpy.engine import Engine, PrefixStats
from llmpy.errors import BackendError
from llmpy.format import ModelFile, TensorInfo
from llmpy.graph import PAIRS, Graph, is_encoder, n_embedded
from llmpy.overrides import GivenTokenizer, tokenizer_of
from llmpy.planning import MemoryPlan, planned
from llmpy.restoring import OVERFLOWS, Restorer
from llmpy.sampling import Chain, Rng, Sampler, Sampling, checked_chain, default_chain
from llmpy.session.asynchronous import in_thread
from llmpy.session.embedding import check_generates
from llmpy.session.fingerprint import Fingerprint
from llmpy.session.overflow import Overflow, checked_overflow
from llmpy.session.ranking import Classifier, pair_table
from llmpy.session.saved import SavedModel
from llmpy.session.session import Session
from llmpy.session.transcript import Transcript
from llmpy.tokenizer import Tokenizer, build_tokenizer
from llmpy.wiring import Wired, wire

if TYPE_CHECKING:
    from llmpy.chat import Chat, ChatTemplate
    from llmpy.constraints import Constrain
    from llmpy.session.completion import Completion, Options

__all__ = ["LoadEvent", "Model", "aload", "load", "load_template", "load_tokenizer"]

MOST_PREFIX_BYTES = 2 << 30  # that the prefix cache takes where nothing else is asked for


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
    """Load a model: a GGUF file, the folder of a Hugging Face checkpoint, or a file before GGUF.

    `path`: where it is, or a name of `llmpy.models()`. `architecture`: of a GGML, GGMF or GGJT
    file, which does not say it (see `open_model`). `n_ctx`: tokens a session can hold (default: the
    model's own context, or what memory can hold of it). `n_threads`: default all CPUs available to
    this process. `n_batch`: tokens read in one step, at most. `backend`: "cpu", "reference", or an
    object of that protocol; "auto" takes the compiled one where it is installed. `kv_dtype`:
    storage of keys and values; "auto" is the backend's own choice; of "cpu" that is "int14", 14-bit
    integers with a scale, which are closer than half precision; "q8_0", blocks of 32, takes half of
    that at some error; "f32" rounds nothing. `max_total_tokens`: tokens in the KV caches of all
    sessions together (default: any number); more sessions wait for room, and where all of them
    wait, the youngest gives its own up and is read again later, which changes no text.
    `prefix_cache_bytes`: memory beside that for what was computed of texts, also of sessions that
    have ended, so that another session that begins with the same tokens need not compute them
    (default: a quarter of what is free, 2 GiB at most; 0: none). `progress` gets a `LoadEvent` as
    things are ready; an exception cancels the load.

    `rope`: another rotation than the file says, a mapping of "freq_base", "freq_scale" (the
    reciprocal of the factor by which the context is stretched), "scaling" ("none", "linear" or
    "yarn"), "original_context". `tokenizer`: another one than the file's: the path of a
    tokenizer.json or of a model, or an object of `llmpy.TokenizerProtocol`. `mmap`: False copies
    the weights into memory, so that nothing reads the files once the model is loaded. `download`:
    `pull` a model that is not here; else nothing is ever downloaded. `allow_licenses`: see `pull`.

    Raises ModelFileError or UnsupportedModelError for the file, ModelNotFound, LicenseRefused,
    PullError where it is downloaded, OutOfMemory with the numbers, BackendError when the backend
    cannot run here, ValueError for more context than a model with a table of positions can have.
    """
    begin = time.perf_counter()
    sizes = {"n_ctx": n_ctx, "n_threads": n_threads, "max_total_tokens": max_total_tokens}
    _check_arguments(path, progress, mmap, **sizes, n_batch=n_batch)
    engine = make_backend(backend, n_threads, n_batch)
    kv_dtype = checked_kv_dtype(engine, kv_dtype)

    with contextlib.ExitStack() as opened:
        file = opened.enter_context(open_licensed(path, architecture, download, allow_licenses))
        wired = wire(engine, file, n_ctx=n_ctx, kv_dtype=kv_dtype, rope=rope)
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
        report("done", str(file.path), total)
        seconds = time.perf_counter() - begin
        log.log.info("loaded %r, %.2f GB of tensors, %.2f s", model, total / 1e9, seconds)
        if mmap:
            opened.pop_all()  # the map of the file lives as long as something reads it
    return model


async def aload(
    path: str | os.PathLike[str],
    *,
    architecture: str | None = None,
    n_ctx: int | None = None,
    n_threads: int | None = None,
    n_batch: int = 512,
    backend: str | Backend = "auto",
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
    """`load` for asyncio, in a thread of its own, which calls `progress`; it can be cancelled."""
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


class Model(Restorer):
    """A model ready to run: immutable, and shared by all its sessions and threads.

    `metadata` is the file's, `tokenizer` and `graph` what was made of it, `n_ctx` the tokens a
    session can hold, `n_vocab` the token ids it can say; `recommended_sampling` are the parameters
    of `default_chain` that the file recommends. Its memory belongs to this process: another one
    loads the model itself.
    """

    def __init__(
        self,
        file: ModelFile,
        architecture: Any,
        graph: Graph,
        tokenizer: Tokenizer,
        compiled: Callable[[Graph], Plan],
        pool: KvPool,
        n_ctx: int,
        n_batch: int,
        max_pages: int | None,
        prefix_bytes: int,
        classifier: Classifier | None,
        planned: Callable[[int, int], MemoryPlan],
    ) -> None:
        self.path = file.path
        self.metadata = file.metadata
        self.tensors: Mapping[str, TensorInfo] = file.tensors
        self.architecture = architecture
        self.graph = graph
        self.tokenizer = tokenizer
        self.n_ctx = n_ctx
        self.n_vocab = tokenizer.n_embedded
        self.n_batch = n_batch
        self.recommended_sampling = recommended(file.path, file.metadata, GGUF_KEYS)
        self._compiled = compiled
        self._classifier = classifier
        self._readers = {}
        self.saved = SavedModel(file.path, Fingerprint(file, graph, tokenizer).read)
        self._planned = planned
        self._tracing = False
        self._write_trace: weakref.finalize[..., Model] | None = None  # see LLMPY_TRACE
        self._engine = Engine(
            compiled(graph),
            pool,
            n_ctx=n_ctx,
            n_batch=n_batch,
            n_outputs=self.n_vocab,
            max_pages=max_pages,
            prefix_bytes=prefix_bytes,
        )
        if log.traces():
            self._trace_until_closed()

    def session(
        self,
        *,
        sampler: Chain | Sampler | str | None = None,
        seed: int | None = None,
        overflow: Overflow | str | Callable[..., Any] = "error",
        **sampling: Unpack[Sampling],
    ) -> Session:
        """A new text with its own KV cache, sampler and random numbers.

        `sampler`: a chain, a sampler string (`"top-k:k=40/temperature:0.7"`), or any callable
        `(logits, session) -> logits`. Without one, it is `default_chain` with what the model file
        recommends, and `sampling` are its parameters: `model.session(temperature=0.5)`; they are
        temperature 0.8, top_k 40, top_p 0.95, min_p 0.05 where nobody says more. The same `seed`
        gives the same text; None draws one. `overflow`: what happens when the context is full:
        "error", "shift" (the older half is left out and the rest is computed again, with a
        ContextWarning), or a callable `(tokens, needed, n_ctx) -> tokens`. Raises
        UnsupportedModelError for an encoder.
        """
        self._engine.check_open()
        check_generates(self)
        chain = _chain_of(sampler, self.recommended_sampling, sampling)
        choice = checked_overflow(overflow, *OVERFLOWS, where="a session")
        sequence = self._engine.sequence(rng=Rng(seed))
        transcript = Transcript(self._engine, self.tokenizer, sequence, choice)
        transcript.chain = chain
        return Session(transcript, self)

    @overload
    def generate(self, prompt: str, **o: Unpack[Options]) -> Completion: ...  # type: ignore[overload-overlap]

    @overload
    def generate(self, prompt: Sequence[int], **o: Unpack[Options]) -> Completion: ...

    @overload
    def generate(
        self, prompt: Sequence[str | Sequence[int]], **o: Unpack[Options]
    ) -> list[Completion]: ...

    def generate(
        self,
        prompt: str | Sequence[int] | Sequence[str | Sequence[int]],
        *,
        max_tokens: int | None = 256,
        stop: str | Iterable[str] = (),
        sampler: Chain | Sampler | str | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
        special: bool = False,
        constrain: Constrain | None = None,
        n_parallel: int = 16,
        **sampling: Unpack[Sampling],
    ) -> Completion | list[Completion]:
        """Continue a prompt, or several in one batch: `model.generate("Once", max_tokens=50)`.

        Returns a `Completion` for a text (or its token ids), a list of them for a list of prompts,
        of which `n_parallel` are computed together. No chat template is applied: `model.chat()`
        does. The options are those of `session`, with `temperature` and the like, and of
        `Session.stream`; prompt number i of a list
        gets the seed `seed + i`, and is answered as it would be alone with that seed.
        """
        from llmpy.session.completion import complete

        options = {
            "max_tokens": max_tokens,
            "stop": stop,
            "logprobs": logprobs,
            "special": special,
            "constrain": constrain,
        }
        chain = _chain_of(sampler, self.recommended_sampling, sampling)
        new_session = partial(self.session, sampler=chain)
        return complete(new_session, prompt, seed, n_parallel, options)

    @overload
    async def agenerate(self, prompt: str, **o: Unpack[Options]) -> Completion: ...  # type: ignore[overload-overlap]

    @overload
    async def agenerate(self, prompt: Sequence[int], **o: Unpack[Options]) -> Completion: ...

    @overload
    async def agenerate(
        self, prompt: Sequence[str | Sequence[int]], **o: Unpack[Options]
    ) -> list[Completion]: ...

    async def agenerate(
        self,
        prompt: str | Sequence[int] | Sequence[str | Sequence[int]],
        *,
        max_tokens: int | None = 256,
        stop: str | Iterable[str] = (),
        sampler: Chain | Sampler | str | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
        special: bool = False,
        constrain: Constrain | None = None,
        n_parallel: int = 16,
        **sampling: Unpack[Sampling],
    ) -> Completion | list[Completion]:
        """`generate` for asyncio; cancelling the task stops after the step that runs."""
        from llmpy.session.completion import acomplete

        options = {
            "max_tokens": max_tokens,
            "stop": stop,
            "logprobs": logprobs,
            "special": special,
            "constrain": constrain,
        }
        chain = _chain_of(sampler, self.recommended_sampling, sampling)
        new_session = partial(self.session, sampler=chain)
        return await acomplete(new_session, prompt, seed, n_parallel, options)

    def chat(
        self,
        system: str | None = None,
        *,
        messages: Iterable[Mapping[str, Any]] = (),
        template: str | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        think: bool | None = None,
        overflow: Overflow | str | Callable[..., Any] = "error",
        sampler: Chain | Sampler | str | None = None,
        seed: int | None = None,
        **sampling: Unpack[Sampling],
    ) -> Chat:
        """A new conversation in the model's chat format: `model.chat().ask("Hello")`.

        `system`: the text of a system message. `messages`: what was said before, as dicts with
        "role" and "content". `template`: a named template ("chatml", ...) or one in Jinja; default:
        the model file's. `template_kwargs`: variables of the template. `think`: whether the model
        shall think before it answers, where it can (None: as the template has it). `overflow`: what
        happens when the context is full: "error", "drop_oldest" (the oldest turns are left out,
        with a ContextWarning), or a callable `(messages, needed, n_ctx) -> messages`. `sampler`,
        `seed` and `sampling` are those of `session`: `model.chat(temperature=0.5)`. Raises
        TemplateError where no template is found or the one given cannot be used.
        """
        from llmpy.chat import Chat, chosen_template

        return Chat(
            self.session(sampler=sampler, seed=seed, **sampling),
            chosen_template(self.metadata, self.tokenizer, template),
            system=system,
            messages=messages,
            template_kwargs=template_kwargs,
            think=think,
            overflow=overflow,
        )

    @contextlib.contextmanager
    def trace(self) -> Iterator[Trace]:
        """Time each operation of the steps that run inside the `with` block, of all sessions.

        `with model.trace() as trace: ...; print(trace)` prints a table: kind of operation and
        weights, calls, milliseconds, share, GB/s of weights read, GMAC/s. Linear operations that
        run as one parallel region are one row. Raises BackendError where the backend cannot time
        its operations, RuntimeError inside another trace of this model.
        """
        trace = self._start_trace()
        try:
            yield trace
        finally:
            trace.stop()
            with self._engine.lock:
                self._tracing = False
                if isinstance(self._engine.plan, Traceable):
                    self._engine.plan.stop_trace()

    def _start_trace(self) -> Trace:
        with self._engine.lock:
            self._engine.check_open()
            plan = self._engine.plan
            if not isinstance(plan, Traceable):
                raise BackendError("this backend cannot time its operations; use backend='cpu'")
            if self._tracing:
                raise RuntimeError("this model is traced already; leave that trace first")
            self._tracing = True
            return Trace(plan.start_trace(), plan.description)

    def prefix_cache(self) -> PrefixStats:
        """Return what the prefix cache holds, and how many tokens of prompts it had."""
        prefix = self._engine.prefix
        with self._engine.lock:
            return prefix.stats() if prefix is not None else PrefixStats(0, 0, 0, 0, 0, 0)

    def plan(self, *, n_ctx: int | None = None, sessions: int = 1) -> MemoryPlan:
        """Return what the model takes with so many sessions of `n_ctx` tokens, all of them full.

        Default: the context that it was loaded with. `llmpy.plan_memory` tells it before a model is
        loaded.
        """
        n_ctx = self.n_ctx if n_ctx is None else checks.whole("n_ctx", n_ctx)
        checks.whole("sessions", sessions)
        return self._planned(n_ctx, sessions)

    def warm_up(self) -> None:
        """Do now what is otherwise done behind the first tokens, which are slower for it."""
        self._engine.check_open()
        self._engine.plan.warm_up()

    def _trace_until_closed(self) -> None:
        with contextlib.suppress(BackendError):  # it cannot time its operations
            trace = self._start_trace()
            self._write_trace = weakref.finalize(self, log.write_trace, self.path, trace)

    def close(self) -> None:
        """Free the model's memory at once; its sessions cannot go on."""
        with self._engine.lock:
            if not self._engine.closed:
                if self._write_trace is not None:
                    self._write_trace()
                log.log.info("closed %s", self.path)
                self._engine.close()
                self._close_readers()

    def _how_to_copy(self) -> str:
        loaded = f"llmpy.load({str(self.path)!r}, n_ctx={self.n_ctx})"
        return f"threads share it as it is; another process loads it itself, with {loaded}"

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        name = self.metadata.get("general.name", self.path.name)
        return f"<llmpy.Model {name!r}: n_ctx {self.n_ctx}, n_vocab {self.n_vocab}>"


def load_tokenizer(path: str | os.PathLike[str], *, architecture: str | None = None) -> Tokenizer:
    """The tokenizer of a model file alone, without its weights."""
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


def _chain_of(sampler: Any, recommended: Mapping[str, Any], sampling: Mapping[str, Any]) -> Chain:
    """The chain of a `sampler=` argument, or the usual one with some parameters."""
    known = Sampling.__annotations__
    for name in sampling:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TypeError(f"no argument is called {name!r}; {hint}Those of samplers: {[*known]}")
    if sampler is None:
        return default_chain(**{**recommended, **sampling})
    if sampling:
        names = ", ".join(sampling)
        raise TypeError(f"expected a sampler or parameters of the usual one, found both: {names}")
    return checked_chain(sampler)


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
    told = engine, graph, file.tensors, wired.needs, wired.kv_dtype, tokenizer.n_vocab
    parts = file, wired.hyperparameters, graph, tokenizer, compiled, pool
    options = n_ctx, n_batch, max_pages, prefix_bytes, classifier, partial(planned, *told)
    return Model(*parts, *options)


def _check_arguments(path: object, progress: object, mmap: object, **numbers: object) -> None:
    checks.path("path", path)
    checks.flag("mmap", mmap)
    for name, number in numbers.items():
        if number is not None:
            checks.whole(name, number)
    checks.function("progress", progress)


def _pages(max_total_tokens: int | None, n_ctx: int) -> int | None:
    """How many pages hold so many tokens; at least a session of `n_ctx` tokens must fit."""
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
    """What the prefix cache may take; nothing where no token comes after a text."""
    if asked is not None:
        checks.whole("prefix_cache_bytes", asked, 0, sys.maxsize)
    if is_encoder(graph):
        return 0
    free = MOST_PREFIX_BYTES if needs.available is None else (needs.available - needs.weights) // 4
    return max(0, min(free, MOST_PREFIX_BYTES)) if asked is None else asked


def _uploaded(engine: Backend, file: ModelFile, graph: Graph, mmap: bool) -> dict[str, Any]:
    """What the backend makes of each tensor that the graph reads."""

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
