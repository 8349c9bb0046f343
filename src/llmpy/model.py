"""A model that is ready to run: it makes sessions and chats, and reads texts."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, overload

from llmpy import checks, log
from llmpy.backends.base import KvPool, Plan
from llmpy.backends.trace import Trace, Traceable
from llmpy.checkpoint.recommended import recommended_sampling
from llmpy.engine import BatchStep, Engine, PrefixStats, Turns, batch_steps
from llmpy.errors import BackendError
from llmpy.format import ModelFile, TensorInfo
from llmpy.graph import Graph
from llmpy.planning import MemoryPlan
from llmpy.restoring import OVERFLOWS, Restorer
from llmpy.sampling import Chain, Rng, Sampler, Sampling, checked_chain, default_chain
from llmpy.session.embedding import check_generates
from llmpy.session.fingerprint import Fingerprint, SavedModel
from llmpy.session.overflow import Overflow, checked_overflow
from llmpy.session.ranking import Classifier
from llmpy.session.session import Session
from llmpy.session.transcript import Transcript
from llmpy.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llmpy.chat import Chat
    from llmpy.constraints import Constrain
    from llmpy.session.completion import Completion, Options

__all__ = ["Model"]


class Model(Restorer):
    """A model ready to run: immutable, and shared by all its sessions and threads.

    `metadata` is the file's, `tokenizer` and `graph` are built from it, `n_ctx` is the number of
    tokens a session can hold, and `n_vocab` the number of token ids it can generate;
    `recommended_sampling` are the parameters of `default_chain` that the file recommends.
    `computed_by` says for people what computes it, for each of its layers where they differ. The
    memory belongs to this process: another process must load the model itself.
    """

    computed_by = ""

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
        turns: Turns | None,
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
        self.recommended_sampling = recommended_sampling(file.path, file.metadata)
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
        self._engine.turns = turns
        if log.traces():
            self._trace_until_closed()

    def session(
        self,
        *,
        sampler: Chain | Sampler | str | None = None,
        seed: int | None = None,
        overflow: Overflow | str | Callable[..., Any] = "error",
        n_keep: int = 0,
        **sampling: Unpack[Sampling],
    ) -> Session:
        """Return a new, empty session with its own KV cache, sampler and random numbers.

        `sampler`: a chain, a sampler string (`"top-k:k=40/temperature:0.7"`), or any callable
        `(logits, session) -> logits`. Without one, it is `default_chain` with what the model file
        recommends, and `sampling` are its parameters: `model.session(temperature=0.5)`; the
        defaults are temperature 0.8, top_k 40, top_p 0.95, min_p 0.05. The same `seed` gives the
        same text; None draws a seed. `overflow`: the policy for a full context: "error", "shift"
        (the older half of the tokens after the first `n_keep` is dropped, with a ContextWarning),
        or a callable `(tokens, needed, n_ctx) -> tokens`, whose tokens are computed again where
        they differ. Raises UnsupportedModelError for an encoder.
        """
        self._engine.check_open()
        check_generates(self)
        chain = self._chain("session", sampler, sampling)
        choice = checked_overflow(overflow, *OVERFLOWS, where="a session")
        sequence = self._engine.sequence(rng=Rng(seed))
        transcript = Transcript(self._engine, self.tokenizer, sequence, choice)
        transcript.n_keep = checks.whole("n_keep", n_keep, 0)
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
        of which up to `n_parallel` are batched. No chat template is applied: `model.chat()` does.
        The options are those of `session`, with `temperature` and the like, and of
        `Session.stream`; prompt number i of a list gets the seed `seed + i`, and its completion is
        what it would be alone with that seed.
        """
        from llmpy.session.completion import complete

        options = {
            "max_tokens": max_tokens,
            "stop": stop,
            "logprobs": logprobs,
            "special": special,
            "constrain": constrain,
        }
        chain = self._chain("generate", sampler, sampling)
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
        """Run `generate` in asyncio; cancelling the task stops it after the current step."""
        from llmpy.session.completion import acomplete

        options = {
            "max_tokens": max_tokens,
            "stop": stop,
            "logprobs": logprobs,
            "special": special,
            "constrain": constrain,
        }
        chain = self._chain("agenerate", sampler, sampling)
        new_session = partial(self.session, sampler=chain)
        return await acomplete(new_session, prompt, seed, n_parallel, options)

    def _chain(self, caller: str, sampler: Any, sampling: Mapping[str, Any]) -> Chain:
        """The chain of a `sampler=` argument, or the usual one with some parameters."""
        known = Sampling.__annotations__
        for name in sampling:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise TypeError(
                    f"{caller}() got an unexpected keyword argument {name!r}; {hint}"
                    f"Those of samplers: {', '.join(known)}"
                )
        if sampler is None:
            return default_chain(**{**self.recommended_sampling, **sampling})
        if sampling:
            names = ", ".join(sampling)
            raise TypeError(
                f"{caller}(): expected a sampler or parameters of the usual, found both: {names}"
            )
        return checked_chain(sampler)

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
        """Return a new conversation in the model's chat format: `model.chat().ask("Hello")`.

        `system`: the text of a system message. `messages`: the messages so far, as dicts with
        "role" and "content". `template`: a named template ("chatml", ...) or one in Jinja; default:
        the model file's. `template_kwargs`: variables of the template. `think`: whether the model
        thinks before it answers, where it can (None: the template's default). `overflow`: the
        policy for a full context: "error", "drop_oldest" (the oldest turns are dropped, with a
        ContextWarning), or a callable `(messages, needed, n_ctx) -> messages`. `sampler`, `seed`
        and `sampling` are those of `session`: `model.chat(temperature=0.5)`. Raises TemplateError
        if no template is found or the one given cannot be used.
        """
        from llmpy.chat import Chat, chosen_template

        return Chat(
            self.session(sampler=self._chain("chat", sampler, sampling), seed=seed),
            chosen_template(self.metadata, self.tokenizer, template),
            system=system,
            messages=messages,
            template_kwargs=template_kwargs,
            think=think,
            overflow=overflow,
        )

    def batch_steps(
        self, prompts: Iterable[Sequence[int]], *, n_parallel: int = 64
    ) -> Generator[BatchStep]:
        """Yield the logits of the next token of many prompts at once, for the caller to choose.

        This is for many short answers of a small model: nothing is done in Python for each token
        but what the loop's body does. `prompts` are token ids; up to `n_parallel` run at a time,
        and where one ends the next is asked for and begins. Each step must be answered by
        `step.choose(tokens)`, a token for each row and -1 for a prompt that has ended; the row has
        bitwise those of `Session.steps`, where the backend is batch invariant.

            for step in model.batch_steps(prompts):
                tokens = step.logits.argmax(1)  # float32 [n, n_vocab]
                step.choose(numpy.where(tokens == model.tokenizer.eos, -1, tokens))

        Raises ContextFull for a prompt that does not fit, with its answer, in the context,
        UnsupportedModelError for an encoder.
        """
        self._engine.check_open()
        check_generates(self)
        return batch_steps(self._engine, prompts, n_parallel)

    @contextlib.contextmanager
    def trace(self) -> Iterator[Trace]:
        """Time each operation of the steps that run inside the `with` block, for all sessions.

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
        """Return the size and the hit counts of the prefix cache."""
        prefix = self._engine.prefix
        with self._engine.lock:
            return prefix.stats() if prefix is not None else PrefixStats(0, 0, 0, 0, 0, 0)

    def plan(self, *, n_ctx: int | None = None, sessions: int = 1) -> MemoryPlan:
        """Return the memory that the model needs with `sessions` full sessions of `n_ctx` tokens.

        Default: the context length that it was loaded with. `llmpy.plan_memory` returns it before a
        model is loaded.
        """
        n_ctx = self.n_ctx if n_ctx is None else checks.whole("n_ctx", n_ctx)
        checks.whole("sessions", sessions)
        return self._planned(n_ctx, sessions)

    def warm_up(self) -> None:
        """Run the work now that otherwise runs during the first tokens and slows them down."""
        with self._engine.lock:
            self._engine.check_open()
            self._engine.plan.warm_up()

    def _trace_until_closed(self) -> None:
        with contextlib.suppress(BackendError):  # it cannot time its operations
            trace = self._start_trace()
            self._write_trace = weakref.finalize(self, log.write_trace, self.path, trace)

    def close(self) -> None:
        """Free the model's memory at once; its sessions cannot be used any more."""
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
