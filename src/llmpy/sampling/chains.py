"""A chain of steps from logits to a token, and its usual form.

Steps are applied in the order in which they are written; then the token is drawn from the softmax
of what is left. Built-in steps run natively, wherever functions of the user's stand between them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypedDict
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.ffi import address, available
from llmpy.sampling.compiled import NativeChain
from llmpy.sampling.definition import Stage, candidates, described, own, sampled, stepped
from llmpy.sampling.penalties import Frequency, LogitBias, Presence, Repetition
from llmpy.sampling.rng import Rng
from llmpy.sampling.state import ChainState
from llmpy.sampling.step import BuiltIn, View, Vocabulary, largest, recent
from llmpy.sampling.strings import parsed, printed
from llmpy.sampling.temperatures import Greedy, Temperature
from llmpy.sampling.texts import BannedStrings
from llmpy.sampling.truncation import MinP, TopK, TopP
from llmpy.sampling.weights import MAX_VOCAB, Logits, log_sum, max_logit

__all__ = ["Chain", "Sampled", "Sampler", "Sampling", "chain", "checked_chain", "default_chain"]

_PER_THREAD = threading.local()


class Sampler(Protocol):
    """A step of a chain: a callable that takes and returns logits, float32 [n_vocab]."""

    def __call__(self, logits: Logits, session: Any, /) -> Logits:
        """The changed logits; -inf removes a token. `session.tokens` are the ids so far.

        `logits` may be changed in place.
        """


class Sampled(NamedTuple):
    """A chosen token, its log-probability, and the most likely tokens with theirs, best first.

    Natural logarithms, of the model's own softmax: before any step of the chain.
    """

    token: int
    logprob: float
    top: list[tuple[int, float]]


@dataclass(frozen=True, eq=False)
class Chain:
    """A sequence of sampler steps; a chain is itself a sampler, and may be part of another chain.

    `str(chain)` is the sampler string of its built-in steps. Raises SamplerError for steps that
    exclude each other.
    """

    steps: tuple[Sampler, ...]

    def __post_init__(self) -> None:
        for index, step in enumerate(self.steps):
            if isinstance(step, BuiltIn) and step.draws:
                _check_last(self.steps, index, step)

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """The logits after all steps, [n_vocab] float32; SamplerError when they become unusable."""
        max_logit(_checked(logits))
        for step in self.steps:
            state = step.initial_state() if isinstance(step, BuiltIn) else ()
            logits = stepped(step, logits, View(session, None, state))
        return logits

    def __str__(self) -> str:
        return printed(self.steps)

    def sample(
        self,
        logits: Logits,
        session: Any,
        rng: Rng,
        state: ChainState | None = None,
        *,
        in_place: bool = False,
    ) -> int:
        """Apply the steps, sample a token with one number of `rng`, and return its id.

        `logits` is [n_vocab] float32, finite or -inf; `session` has `tokens`, the ids so far (only
        penalties and custom steps read it). `state`: the state of the last step, updated with this
        token; None outside a sequence. `in_place`: `logits` may be changed, so that custom steps
        get them without a copy. Raises SamplerError for unusable logits; then `rng` and `state` do
        not change.

        To mask tokens, for a grammar for example, set their logits to -inf before the call.
        """
        logits = _checked(logits)
        natives = self._natives(logits.size)
        if natives is None:
            values = state.values if state else None
            token, values = sampled(self.steps, logits, session, rng, values)
            rng.advance()
            if state:
                state.values = values
            return token
        for native, step in zip(natives, self._own, strict=False):
            if native.steps:
                given, in_place = np.ascontiguousarray(logits), True
                logits = np.empty(given.shape, np.float32)
                history = _history(native, session)
                native.apply(address(given), given.size, *history[:2], rng, None, logits)
            else:
                max_logit(logits)
            logits = own(step, logits if in_place else logits.copy(), session)
            in_place = True
        logits, native = np.ascontiguousarray(logits), natives[-1]
        history = _history(native, session)
        return native.sample(address(logits), logits.size, *history[:2], rng, state)

    def sample_with_logprobs(
        self,
        logits: Logits,
        session: Any,
        rng: Rng,
        n: int,
        state: ChainState | None = None,
        *,
        in_place: bool = False,
    ) -> Sampled:
        """Sample as `sample` does; also return log-probabilities, of the `n` most likely too."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise SamplerError(f"logprobs: expected a count >= 0, found {n!r}")
        top, total = self.top(_checked(logits), n)
        changed = logits.copy() if in_place and self._own else logits
        token = self.sample(changed, session, rng, state, in_place=in_place)
        return Sampled(token, float(logits[token]) - total, top)

    def top(self, logits: Logits, n: int) -> tuple[list[tuple[int, float]], float]:
        """Return the `n` most likely tokens and their log-probabilities, best first; and `log_sum`.

        No step of the chain is applied.
        """
        n, natives = min(n, logits.size), self._natives(logits.size)
        if natives is not None:
            logits = np.ascontiguousarray(logits)
            ids: npt.NDArray[Any]
            ids, total = natives[-1].top(address(logits), logits.size, n)
        else:
            total = log_sum(logits)
            ids = np.flatnonzero(largest(logits, n) & (logits > -np.inf))[:n]
        ids = ids[np.argsort(-logits[ids], kind="stable")]
        return [(int(i), float(logits[i]) - total) for i in ids], total

    def explain(
        self, logits: Logits, session: Any, rng: Rng, n: int = 5, state: ChainState | None = None
    ) -> tuple[int, tuple[Stage, ...]]:
        """Return the token that `sample` returns, and a `Stage` for each step.

        Each `Stage` has the `n` most likely candidates before and after its step. `rng` and `state`
        change as with `sample`. This is slower, because it computes in NumPy.
        """
        stages: list[Stage] = []

        def seen(step: Any, before: Logits, after: Logits) -> None:
            (n_before, first), (n_after, then) = candidates(before, n), candidates(after, n)
            stages.append(Stage(printed((step,)), n_before, n_after, first, then))

        values = state.values if state else None
        token, values = sampled(self.steps, _checked(logits), session, rng, values, seen)
        rng.advance()
        if state:
            state.values = values
        return token, tuple(stages)

    def compile(self, n_vocab: int, ends: Collection[int] = ()) -> NativeChain | None:
        """Compile this chain for the native sampler; return None if a step is a custom one.

        This is for loops that pass addresses of arrays: `NativeChain.sample` runs it on one row of
        logits, which may be masked before. Native code that generates several tokens in one call
        stops after one of `ends`. Raises BackendError without the compiled library.
        """
        return None if self._own else NativeChain(self._parts[0], n_vocab, ends)

    def bound(self, vocabulary: Vocabulary) -> Chain:
        """Return the chain with texts replaced by the token ids of a vocabulary."""
        steps = [
            step.bound(vocabulary) if isinstance(step, BuiltIn) else step for step in self.steps
        ]
        return Chain(tuple(step for step in steps if step is not None))

    def initial_state(self) -> ChainState:
        """Return the state of the chain before the first token."""
        last = self.steps[-1] if self.steps else None
        return ChainState(last.initial_state() if isinstance(last, BuiltIn) else ())

    @property
    def banned(self) -> tuple[str, ...]:
        """Texts that must not be generated (see `banned_strings`)."""
        steps = [step for step in self.steps if isinstance(step, BannedStrings)]
        return tuple(text for step in steps for text in step.strings)

    @cached_property
    def _own(self) -> tuple[Sampler, ...]:
        """The steps of the user's."""
        return tuple(step for step in self.steps if not isinstance(step, BuiltIn))

    @cached_property
    def _parts(self) -> tuple[tuple[BuiltIn, ...], ...]:
        """The built-in steps before each of the user's, and after the last."""
        parts: list[tuple[BuiltIn, ...]] = [()]
        for built_in, steps in groupby(self.steps, lambda step: isinstance(step, BuiltIn)):
            if built_in:
                parts[-1] = tuple(step for step in steps if isinstance(step, BuiltIn))
            else:
                parts += [()] * len(tuple(steps))
        return tuple(parts)

    def _natives(self, n_vocab: int) -> list[NativeChain] | None:
        """The compiled parts, one for each thread; None without a compiled library."""
        if not hasattr(_PER_THREAD, "chains"):
            _PER_THREAD.chains = WeakKeyDictionary()
        chains: WeakKeyDictionary[Chain, list[NativeChain]] = _PER_THREAD.chains
        natives = chains.get(self)
        if natives is None or natives[0].n_vocab != n_vocab:
            if not available():
                return None
            natives = chains[self] = [NativeChain(part, n_vocab) for part in self._parts]
        return natives


def _check_last(steps: tuple[Sampler, ...], index: int, step: BuiltIn) -> None:
    """Refuse steps that make no sense with one that decides what is drawn."""
    behind = [s for s in steps[index + 1 :] if not isinstance(s, BannedStrings)]
    if behind:
        raise SamplerError(
            f"step {index}: {step.name} follows what is drawn, so expected it to be the last step, "
            f"found {printed(behind[:1])} after it"
        )
    truncating = [s for s in steps[:index] if isinstance(s, BuiltIn) and s.truncates]
    if step.name.startswith("mirostat") and truncating:
        raise SamplerError(
            f"step {index}: {step.name} decides itself how many tokens stay: leave out "
            f"{printed(truncating)}, or use temperature in place of {step.name}"
        )


def _history(native: NativeChain, session: Any) -> tuple[int, int, object]:
    """Address and number of the ids that a compiled part looks at, and what keeps them alive."""
    if not native.n_history:
        return 0, 0, None
    ids = np.ascontiguousarray(recent(session, native.n_history, native.n_vocab))
    return address(ids), ids.size, ids


def _checked(logits: Logits) -> Logits:
    if (
        not isinstance(logits, np.ndarray)
        or logits.dtype != np.float32
        or logits.ndim != 1
        or not 1 <= logits.size <= MAX_VOCAB
    ):
        raise SamplerError(
            f"logits: expected 1 to {MAX_VOCAB} float32 numbers, found {described(logits)}"
        )
    return logits


def checked_chain(sampler: Any) -> Chain:
    """Return the chain that a `sampler=` argument means: a chain, a step, or a sampler string."""
    return sampler if isinstance(sampler, Chain) else chain(sampler)


def chain(*steps: Sampler | Callable[[Logits, Any], Logits] | str) -> Chain:
    """Return a chain of steps in the order given: `chain(top_k(8), my_function, temperature(0.7))`.

    A text is a sampler string: `chain("top-k:k=8/temperature:0.7")`. `chain()` samples from the
    model's own probabilities. Raises SamplerError if a step is not callable.
    """
    flat: list[Sampler] = []
    for index, step in enumerate(steps):
        if isinstance(step, str):
            flat += parsed(step)
            continue
        if isinstance(step, type):
            name = step.__name__
            raise SamplerError(f"step {index}: expected a sampler, found the class {name}: call it")
        if not callable(step):
            raise SamplerError(f"step {index}: expected a sampler, found {step!r}")
        flat += step.steps if isinstance(step, Chain) else (step,)
    return Chain(tuple(flat))


class Sampling(TypedDict, total=False):
    """The parameters of `default_chain`."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    frequency_penalty: float
    presence_penalty: float
    logit_bias: Mapping[int | str, float] | Mapping[int, float] | None
    last_n: int


def default_chain(
    *,
    temperature: float = 0.8,
    top_k: int = 40,
    top_p: float = 0.95,
    min_p: float = 0.05,
    repeat_penalty: float = 1.0,
    frequency_penalty: float = 0.0,
    presence_penalty: float = 0.0,
    logit_bias: Mapping[int | str, float] | Mapping[int, float] | None = None,
    last_n: int = 64,
) -> Chain:
    """Return the default chain: penalties, logit bias, top-k, top-p, min-p and temperature.

    Steps at their neutral value are left out, and so are the truncating ones at temperature 0,
    which could not change the result. The penalties use the last `last_n` tokens (-1: all).
    """
    repetition = Repetition(repeat_penalty, last_n)
    frequency = Frequency(frequency_penalty, last_n)
    presence = Presence(presence_penalty, last_n)
    bias = LogitBias(logit_bias or {})
    kept, nucleus, relative, heat = TopK(top_k), TopP(top_p), MinP(min_p), Temperature(temperature)
    cold = heat.is_greedy
    choices: list[tuple[bool, BuiltIn]] = [
        (repetition.penalty != 1.0, repetition),
        (frequency.penalty != 0.0, frequency),
        (presence.penalty != 0.0, presence),
        (bool(bias.entries), bias),
        (cold, Greedy()),
        (not cold and kept.k > 0, kept),
        (not cold and nucleus.p < 1.0, nucleus),
        (not cold and relative.p > 0.0, relative),
        (not cold and heat.temperature != 1.0, heat),
    ]
    return Chain(tuple(step for wanted, step in choices if wanted))
