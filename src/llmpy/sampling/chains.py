"""A chain of steps from logits to a token, and its usual form.

Steps are applied in the order in which they are written; then the token is drawn from the softmax
of what is left. Built-in steps run natively, except those before a step of the user's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.ffi import address, available
from llmpy.sampling.compiled import NativeChain
from llmpy.sampling.rng import Rng
from llmpy.sampling.steps import (
    BuiltIn,
    Frequency,
    Greedy,
    LogitBias,
    MinP,
    Presence,
    Repetition,
    Temperature,
    TopK,
    TopP,
    recent,
)
from llmpy.sampling.weights import MAX_VOCAB, Logits, draw, log_sum, peak

__all__ = ["Chain", "Sampled", "Sampler", "chain", "default_chain"]

_PER_THREAD = threading.local()


class Sampler(Protocol):
    """Anything that may stand in a chain: it takes logits [n_vocab] float32, and returns such."""

    def __call__(self, logits: Logits, session: Any, /) -> Logits:
        """The changed logits; -inf removes a token. `session.tokens` are the ids said so far."""


class Sampled(NamedTuple):
    """A chosen token, its log-probability, and the most likely tokens with theirs, best first.

    Natural logarithms, of the model's own softmax: before any step of the chain.
    """

    token: int
    logprob: float
    top: list[tuple[int, float]]


@dataclass(frozen=True, eq=False)
class Chain:
    """Steps in order. A chain is itself a sampler, and may stand in another chain."""

    steps: tuple[Sampler, ...]

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """The logits after all steps, [n_vocab] float32; SamplerError when they become unusable."""
        return self._apply(self.steps, _checked(logits), session)

    def sample(self, logits: Logits, session: Any, rng: Rng) -> int:
        """The id of the next token: the steps, then a draw that takes one number of `rng`.

        `logits` is [n_vocab] float32, finite or -inf; `session` has `tokens`, the ids said so far
        (only penalties and the user's own steps look at it). SamplerError says what is unusable.
        """
        logits = _checked(logits)
        head, tail = self._split()
        logits = self._apply(head, logits, session)
        native = self._native(tail, logits.size)
        if native is None:
            token = draw(self._apply(tail, logits, session), rng.peek())
            rng.advance()
            return token
        logits = np.ascontiguousarray(logits)
        history, n_history = 0, 0
        if native.n_history:
            ids = np.ascontiguousarray(recent(session, native.n_history, logits.size))
            history, n_history = address(ids), ids.size
        return native.sample(address(logits), logits.size, history, n_history, rng)

    def sample_with_logprobs(self, logits: Logits, session: Any, rng: Rng, n: int) -> Sampled:
        """As `sample`, with the log-probability of the token and of the `n` most likely ones."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise SamplerError(f"logprobs: expected a count >= 0, found {n!r}")
        token = self.sample(logits, session, rng)
        n = min(n, logits.size)
        native = self._native(self._split()[1], logits.size)
        if native is not None:
            logits = np.ascontiguousarray(logits)
            ids: npt.NDArray[Any]
            ids, total = native.top(address(logits), logits.size, n)
        else:
            total = log_sum(logits)
            ids = np.flatnonzero(TopK(n)(logits, session) > -np.inf)[:n]
        ids = ids[np.argsort(-logits[ids], kind="stable")]
        top = [(int(i), float(logits[i]) - total) for i in ids]
        return Sampled(token, float(logits[token]) - total, top)

    def compile(self, n_vocab: int, ends: Collection[int] = ()) -> NativeChain | None:
        """This chain for the native sampler; None when a step is the user's own.

        For loops that hand over addresses of arrays. What draws several tokens in one go stops
        after one of `ends`. BackendError without the compiled library.
        """
        head, tail = self._split()
        return None if head else NativeChain(tail, n_vocab, ends)

    def _split(self) -> tuple[tuple[Sampler, ...], tuple[BuiltIn, ...]]:
        """The steps up to the last one of the user's own, and the built-in ones after it."""
        tail: list[BuiltIn] = []
        for step in reversed(self.steps):
            if not isinstance(step, BuiltIn):
                break
            tail.insert(0, step)
        return self.steps[: len(self.steps) - len(tail)], tuple(tail)

    def _native(self, tail: tuple[BuiltIn, ...], n_vocab: int) -> NativeChain | None:
        """The compiled end of the chain, one for each thread; None without a compiled library."""
        if not hasattr(_PER_THREAD, "chains"):
            _PER_THREAD.chains = WeakKeyDictionary()
        chains: WeakKeyDictionary[Chain, NativeChain] = _PER_THREAD.chains
        native = chains.get(self)
        if native is None or native.n_vocab != n_vocab:
            if not available():
                return None
            native = chains[self] = NativeChain(tail, n_vocab)
        return native

    def _apply(self, steps: tuple[Sampler, ...], logits: Logits, session: Any) -> Logits:
        if steps:
            peak(logits)
        for step in steps:
            logits = (
                step(logits, session)
                if isinstance(step, BuiltIn)
                else _own_step(step, logits, session)
            )
        return logits


def _checked(logits: Logits) -> Logits:
    if (
        not isinstance(logits, np.ndarray)
        or logits.dtype != np.float32
        or logits.ndim != 1
        or not 1 <= logits.size <= MAX_VOCAB
    ):
        raise SamplerError(
            f"logits: expected 1 to {MAX_VOCAB} float32 numbers, found {_described(logits)}"
        )
    return logits


def _described(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return f"an object of type {type(value).__name__}"


def _own_step(step: Sampler, logits: Logits, session: Any) -> Logits:
    """What a step of the user's returns for a copy (which it may change in place), checked."""
    result = step(logits.copy(), session)
    name = getattr(step, "__qualname__", type(step).__qualname__)
    if (
        not isinstance(result, np.ndarray)
        or result.dtype != np.float32
        or result.shape != logits.shape
    ):
        raise SamplerError(
            f"sampler {name}: expected float32 of shape {logits.shape}, found {_described(result)}"
        )
    try:
        peak(result)
    except SamplerError as error:
        raise SamplerError(f"sampler {name} returned {error}") from None
    return result


def chain(*steps: Sampler | Callable[[Logits, Any], Logits]) -> Chain:
    """Steps in the order given: `chain(top_k(8), my_function, temperature(0.7))`.

    `chain()` draws from the model's own probabilities. SamplerError when a step cannot be called.
    """
    flat: list[Sampler] = []
    for index, step in enumerate(steps):
        if isinstance(step, type):
            name = step.__name__
            raise SamplerError(f"step {index}: expected a sampler, found the class {name}: call it")
        if not callable(step):
            raise SamplerError(f"step {index}: expected a sampler, found {step!r}")
        flat += step.steps if isinstance(step, Chain) else (step,)
    return Chain(tuple(flat))


def default_chain(
    *,
    temperature: float = 0.8,
    top_k: int = 40,
    top_p: float = 0.95,
    min_p: float = 0.05,
    repeat_penalty: float = 1.0,
    frequency_penalty: float = 0.0,
    presence_penalty: float = 0.0,
    logit_bias: Mapping[int, float] | None = None,
    last_n: int = 64,
) -> Chain:
    """The usual chain: penalties, logit bias, top-k, top-p, min-p, temperature, and the draw.

    Steps at their neutral value are left out; at temperature 0 so are the truncating ones, which
    could not change the result. The penalties look at the last `last_n` tokens (-1: all).
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
        (not cold and heat.value != 1.0, heat),
    ]
    return Chain(tuple(step for wanted, step in choices if wanted))
