"""A chain of built-in steps for the native sampler: one foreign call a token, no Python in between.

Steps become an array of C structures once; the workspace is allocated once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.ffi import address, library, view
from llmpy.ffi.abi import Chain, SampleError, SampleKind, SampleStep
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
)
from llmpy.sampling.weights import MAX_VOCAB, Logits, draw

__all__ = ["NativeChain"]


def _record(step: BuiltIn, keep: list[Any]) -> SampleStep | None:
    """The C structure of one step, None for one that is off; arrays it points to go to `keep`."""
    match step:
        case Greedy() | Temperature(is_greedy=True):
            return SampleStep(SampleKind.GREEDY)
        case Temperature():
            return SampleStep(SampleKind.TEMPERATURE, 0, step.value)
        case TopK():
            return SampleStep(SampleKind.TOP_K, step.k) if step.k else None
        case TopP():
            return SampleStep(SampleKind.TOP_P, 0, step.p)
        case MinP():
            return SampleStep(SampleKind.MIN_P, 0, step.log_ratio) if step.p > 0.0 else None
        case Repetition():
            return SampleStep(SampleKind.REPETITION, step.last_n, step.penalty)
        case Frequency():
            return SampleStep(SampleKind.FREQUENCY, step.last_n, step.penalty)
        case Presence():
            return SampleStep(SampleKind.PRESENCE, step.last_n, step.penalty)
        case LogitBias():
            ids = np.array([token for token, _ in step.entries], dtype=np.int32)
            biases = np.array([bias for _, bias in step.entries], dtype=np.float32)
            keep += [ids, biases]
            return SampleStep(SampleKind.LOGIT_BIAS, len(ids), 0.0, address(ids), address(biases))
    raise TypeError(f"no native form of {step!r}")


class NativeChain:
    """Built-in steps and the draw, compiled for `n_vocab` logits; about 32 bytes of memory each.

    For one thread at a time: every session has its own. `n_history` says how many of the latest ids
    the steps look at: 0 none, -1 all of them. `address` is that of an `llmpy_chain`, for native
    code that draws several tokens, until one of `ends`. BackendError when there is no compiled
    library.
    """

    def __init__(self, steps: Sequence[BuiltIn], n_vocab: int, ends: Collection[int] = ()) -> None:
        if not 1 <= n_vocab <= MAX_VOCAB:
            raise SamplerError(f"n_vocab: expected 1 to {MAX_VOCAB}, found {n_vocab}")
        native = library()
        self._sample, self._top = native.llmpy_sample, native.llmpy_sample_top
        self.steps = tuple(steps)
        self.n_vocab = n_vocab
        windows = [s.last_n for s in steps if isinstance(s, (Repetition, Frequency, Presence))]
        self.n_history = -1 if -1 in windows else max(windows, default=0)
        self._kept: list[Any] = []
        records = [r for step in steps if (r := _record(step, self._kept)) is not None]
        self._n_records = len(records)
        self._records = (SampleStep * max(len(records), 1))(*records)
        self._workspace = np.zeros(-(-native.llmpy_sample_workspace(n_vocab) // 8), np.int64)
        self._records_address = address(self._records)
        self._workspace_address = address(self._workspace)
        self._ends = np.array(sorted(ends), np.int32)
        self._record = Chain(
            self._records_address,
            self._workspace_address,
            self._workspace.nbytes,
            self.n_history,
            address(self._ends),
            self._n_records,
            n_vocab,
            len(ends),
        )
        self.address = address(self._record)

    def sample(
        self, logits_address: int, n_vocab: int, history_address: int, n_history: int, rng: Rng
    ) -> int:
        """The next token from float32 [n_vocab] and int32 [n_history]; takes one number of `rng`.

        The addresses must be those of arrays of that size which live during the call (0 for an
        empty history). SamplerError when the logits or the history cannot be used.
        """
        if n_vocab != self.n_vocab:
            raise SamplerError(f"logits: expected {self.n_vocab}, found {n_vocab}")
        chosen: int = self._sample(
            self._records_address,
            self._n_records,
            logits_address,
            n_vocab,
            history_address,
            n_history,
            rng.seed,
            rng.counter,
            self._workspace_address,
            self._workspace.nbytes,
        )
        if chosen < 0:
            self.explain(chosen, logits_address, history_address, n_history)
        rng.advance()
        return chosen

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
            self._workspace_address,
            self._workspace.nbytes,
        )
        if count < 0:
            self.explain(count, logits_address, 0, 0)
        return ids[:count], log_sum.item()

    def explain(
        self, status: int, logits_address: int, history_address: int, n_history: int
    ) -> None:
        """Raise what the definition raises: it names the place, where the status cannot."""
        logits: Logits = view(logits_address, self.n_vocab, np.float32)
        tokens = view(history_address, n_history, np.int32) if n_history else np.empty(0, np.int32)
        for step in self.steps:
            logits = step(logits, SimpleNamespace(tokens=tokens))
        draw(logits, 0.0)
        raise SamplerError(f"native sampler: expected a token, found {SampleError(status).name}")
