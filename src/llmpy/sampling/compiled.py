"""A chain of built-in steps for the native sampler: one foreign call a token, no Python in between.

Steps become an array of C structures once; the workspace is allocated once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.ffi import address, library, view
from llmpy.ffi.abi import Chain, SampleError, SampleKind, SampleStep
from llmpy.sampling.adaptive import AdaptiveP, Mirostat1, Mirostat2
from llmpy.sampling.definition import sampled
from llmpy.sampling.penalties import Frequency, IgnoreEos, LogitBias, Presence, Repetition
from llmpy.sampling.repeats import Dry, SequenceRepetition
from llmpy.sampling.rng import Rng
from llmpy.sampling.state import ChainState
from llmpy.sampling.step import BuiltIn
from llmpy.sampling.temperatures import DynamicTemperature, Greedy, Temperature
from llmpy.sampling.texts import BannedStrings
from llmpy.sampling.truncation import (
    LocallyTypical,
    MinP,
    TailFree,
    TopA,
    TopK,
    TopNSigma,
    TopP,
    Xtc,
)
from llmpy.sampling.weights import MAX_VOCAB, Logits

__all__ = ["NativeChain"]

WINDOWED = Repetition, Frequency, Presence, SequenceRepetition, Dry


class NativeChain:
    """Built-in steps and the draw, compiled for `n_vocab` logits; about 32 bytes of memory each.

    `sample` runs all of it on one row of logits, `apply` the steps without the draw. For one thread
    at a time: every session has its own. `n_history` says how many of the latest ids the steps
    look at: 0 none, -1 all of them; `has_state`, whether the last step remembers what was drawn.
    `address` is that of an `llmpy_chain`, for native code that draws several tokens, until one of
    `ends`. BackendError when there is no compiled library.
    """

    def __init__(self, steps: Sequence[BuiltIn], n_vocab: int, ends: Collection[int] = ()) -> None:
        if not 1 <= n_vocab <= MAX_VOCAB:
            raise SamplerError(f"n_vocab: expected 1 to {MAX_VOCAB}, found {n_vocab}")
        native = library()
        self._sample, self._apply = native.llmpy_sample, native.llmpy_sample_apply
        self._top = native.llmpy_sample_top
        self.steps = tuple(steps)
        self.n_vocab = n_vocab
        windows = [step.last_n for step in steps if isinstance(step, WINDOWED)]
        self.n_history = -1 if -1 in windows else max(windows, default=0)
        self._kept: list[Any] = []
        records = [r for step in steps if (r := _record(step, self._kept)) is not None]
        self._records = (SampleStep * max(len(records), 1))(*records)
        self._workspace = np.zeros(-(-native.llmpy_sample_workspace(n_vocab) // 8), np.int64)
        self._ends = np.array(sorted(ends), np.int32)
        self._state = np.array(steps[-1].initial_state() if steps else (), np.float64)
        self.has_state = self._state.size > 0
        self._record = Chain(
            address(self._records),
            address(self._workspace),
            self._workspace.nbytes,
            self.n_history,
            address(self._ends),
            address(self._state) if self.has_state else None,
            len(records),
            n_vocab,
            len(ends),
        )
        self.address = address(self._record)

    def load(self, state: ChainState) -> None:
        """Take over what a sequence's chain remembers, before native code draws with it."""
        self._state[:] = state.values

    def store(self, state: ChainState) -> None:
        """Give it back after native code has drawn a token."""
        state.values = tuple(self._state.tolist())

    def sample(
        self,
        logits_address: int,
        n_vocab: int,
        history_address: int,
        n_history: int,
        rng: Rng,
        state: ChainState | None = None,
    ) -> int:
        """Return the next token from float32 [n_vocab] and int32 [n_history].

        It takes one number of `rng`. The addresses must be those of arrays of that size which live
        during the call (0 for an empty history). `state`: what the last step remembers, brought up
        to date; None for that of a new text. To mask tokens, for a grammar for example, set their
        logits to -inf before the call. SamplerError when the logits or the history cannot be used;
        then `rng` and `state` are as they were.
        """
        self._check(n_vocab)
        if self.has_state:
            self._state[:] = state.values if state else self.steps[-1].initial_state()
        chosen: int = self._sample(
            self.address, logits_address, history_address, n_history, rng.seed, rng.counter
        )
        if chosen < 0:
            self.explain(chosen, logits_address, history_address, n_history, rng, state)
        rng.advance()
        if self.has_state and state is not None:
            self.store(state)
        return chosen

    def apply(
        self,
        logits_address: int,
        n_vocab: int,
        history_address: int,
        n_history: int,
        rng: Rng,
        state: ChainState | None,
        out: Logits,
    ) -> None:
        """Write the logits after all steps to `out`, float32 [n_vocab]; -inf is what they removed.

        The arguments are those of `sample`; no random number is used up.
        """
        self._check(n_vocab)
        if self.has_state:
            self._state[:] = state.values if state else self.steps[-1].initial_state()
        status = self._apply(
            self.address, logits_address, history_address, n_history, rng.seed, rng.counter,
            address(out),
        )  # fmt: skip
        if status < 0:
            self.explain(status, logits_address, history_address, n_history, rng, state)

    def top(self, logits_address: int, n_vocab: int, n: int) -> tuple[npt.NDArray[np.int32], float]:
        """The ids of the `n` largest logits, in id order and without those of -inf; and `log_sum`.

        For log-probabilities: no step of the chain is applied. SamplerError as of `sample`.
        """
        if n_vocab != self.n_vocab or not 0 <= n <= n_vocab:
            raise SamplerError(
                f"top: expected at most {self.n_vocab} of {self.n_vocab} logits, "
                f"found {n} of {n_vocab}"
            )
        ids = np.empty(n, dtype=np.int32)
        log_sum = np.empty(1)
        count = self._top(
            logits_address,
            n_vocab,
            n,
            address(ids),
            address(log_sum),
            address(self._workspace),
            self._workspace.nbytes,
        )
        if count < 0:
            sampled((), view(logits_address, self.n_vocab, np.float32), _Tokens(0, 0), Rng(0))
            raise SamplerError(f"native sampler: expected logits, found {SampleError(count).name}")
        return ids[:count], log_sum.item()

    def explain(
        self,
        status: int,
        logits_address: int,
        history_address: int,
        n_history: int,
        rng: Rng | None = None,
        state: ChainState | None = None,
    ) -> None:
        """Raise what the definition raises: it names the place, where the status cannot."""
        logits: Logits = view(logits_address, self.n_vocab, np.float32)
        session, values = _Tokens(history_address, n_history), state.values if state else None
        sampled(self.steps, logits, session, rng or Rng(0), values)
        raise SamplerError(f"native sampler: expected a token, found {SampleError(status).name}")

    def _check(self, n_vocab: int) -> None:
        if n_vocab != self.n_vocab:
            raise SamplerError(f"logits: expected {self.n_vocab}, found {n_vocab}")


class _Tokens:
    """A session that has nothing but its latest tokens."""

    def __init__(self, history_address: int, n_history: int) -> None:
        self.tokens = (
            view(history_address, n_history, np.int32) if n_history else np.empty(0, np.int32)
        )


def _record(step: BuiltIn, keep: list[Any]) -> SampleStep | None:
    """The C structure of one step, None for one that is off; arrays it points to go to `keep`."""
    match step:
        case Greedy() | Temperature(is_greedy=True):
            return _step(SampleKind.GREEDY)
        case Temperature():
            return _step(SampleKind.TEMPERATURE, value=(step.temperature,))
        case DynamicTemperature():
            values = (step.low, step.high, step.exponent)
            return _step(SampleKind.DYNAMIC_TEMPERATURE, value=values)
        case Mirostat1():
            return _step(SampleKind.MIROSTAT1, (step.m,), (step.tau, step.eta))
        case Mirostat2():
            return _step(SampleKind.MIROSTAT2, value=(step.tau, step.eta))
        case AdaptiveP():
            return _step(SampleKind.ADAPTIVE_P, value=(step.target, step.decay))
        case IgnoreEos():
            step(np.zeros(1, np.float32), None)  # which says that it wants a vocabulary
        case BannedStrings():
            return None
    if step.truncates or isinstance(step, Xtc):
        return _truncation(step)
    return _penalty(step, keep)


def _truncation(step: BuiltIn) -> SampleStep | None:
    match step:
        case TopK():
            return _step(SampleKind.TOP_K, (step.count,)) if step.count else None
        case TopP():
            return _step(SampleKind.TOP_P, value=(step.p,), min_keep=step.min_keep)
        case MinP():
            if step.p == 0.0:
                return None
            return _step(SampleKind.MIN_P, value=(step.log_ratio,), min_keep=step.min_keep)
        case TopA():
            if step.a1 == 0.0 or step.a2 == 0.0:
                return None
            values = (math.log(step.a1), step.a2)
            return _step(SampleKind.TOP_A, value=values, min_keep=step.min_keep)
        case TopNSigma():
            if step.n == 0.0:
                return None
            return _step(SampleKind.TOP_N_SIGMA, value=(step.n,), min_keep=step.min_keep)
        case TailFree():
            if step.z == 1.0:
                return None
            return _step(SampleKind.TAIL_FREE, value=(step.z,), min_keep=step.min_keep)
        case LocallyTypical():
            if step.p == 1.0:
                return None
            return _step(SampleKind.LOCALLY_TYPICAL, value=(step.p,), min_keep=step.min_keep)
        case Xtc():
            return _step(SampleKind.XTC, value=(step.probability, step.threshold))
    raise TypeError(f"no native form of {step!r}")


def _penalty(step: BuiltIn, keep: list[Any]) -> SampleStep | None:
    match step:
        case Repetition():
            return _step(SampleKind.REPETITION, (step.last_n,), (step.penalty,))
        case Frequency():
            return _step(SampleKind.FREQUENCY, (step.last_n,), (step.penalty,))
        case Presence():
            return _step(SampleKind.PRESENCE, (step.last_n,), (step.penalty,))
        case SequenceRepetition():
            if (step.flat_penalty == 0.0 and step.stacking_penalty == 0.0) or step.last_n == 0:
                return None
            counts = (step.last_n, step.min_length, step.tolerance, step.max_merge)
            penalties = (step.flat_penalty, step.stacking_penalty)
            return _step(SampleKind.SEQUENCE_REPETITION, counts, penalties)
        case Dry():
            ids = np.array(sorted(step.breaker_ids), np.int32)
            if step.multiplier == 0.0 or step.last_n == 0:
                return None
            keep.append(ids)
            counts = (step.allowed_length, step.last_n, len(ids), 0)
            return _step(SampleKind.DRY, counts, (step.multiplier, step.base), ids=address(ids))
        case LogitBias():
            ids, biases = step.arrays()
            keep += [ids, biases]
            entries = address(ids), address(biases)
            return _step(SampleKind.LOGIT_BIAS, (len(ids),), ids=entries[0], biases=entries[1])
    raise TypeError(f"no native form of {step!r}")


def _step(
    kind: SampleKind,
    count: tuple[int, ...] = (),
    value: tuple[float, ...] = (),
    min_keep: int = 1,
    ids: int | None = None,
    biases: int | None = None,
) -> SampleStep:
    record = SampleStep(kind, min_keep, ids=ids, biases=biases)
    record.count[: len(count)] = count
    record.value[: len(value)] = value
    return record
