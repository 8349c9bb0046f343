"""A chain of built-in steps for the native sampler: one foreign call a token, no Python in between.

Steps become an array of C structures once; the workspace is allocated once. The layout is that of
`llmpy_sample_step` in the native header llmpy/sample.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.native import library
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


class _Step(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("value", ctypes.c_double),
        ("ids", ctypes.c_void_p),
        ("biases", ctypes.c_void_p),
    )


def _record(step: BuiltIn, keep: list[Any]) -> _Step | None:
    """The C structure of one step, None for one that is off; arrays it points to go to `keep`."""
    match step:
        case Greedy():
            return _Step(0)
        case Temperature():
            return _Step(0) if step.is_greedy else _Step(1, 0, step.value)
        case TopK():
            return _Step(2, step.k) if step.k else None
        case TopP():
            return _Step(3, 0, step.p)
        case MinP():
            return _Step(4, 0, step.log_ratio) if step.p > 0.0 else None
        case Repetition():
            return _Step(5, step.last_n, step.penalty)
        case Frequency():
            return _Step(6, step.last_n, step.penalty)
        case Presence():
            return _Step(7, step.last_n, step.penalty)
        case LogitBias():
            ids = np.array([token for token, _ in step.entries], dtype=np.int32)
            biases = np.array([bias for _, bias in step.entries], dtype=np.float32)
            keep += [ids, biases]
            return _Step(8, len(ids), 0.0, ids.ctypes.data, biases.ctypes.data)
    raise TypeError(f"no native form of {step!r}")


def _functions() -> tuple[Any, Any, Any]:
    """The foreign functions, with their types declared."""
    lib = library()
    size, sample, top = lib.llmpy_sample_workspace, lib.llmpy_sample, lib.llmpy_sample_top
    size.argtypes, size.restype = [ctypes.c_int32], ctypes.c_int64
    sample.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_uint64,
        ctypes.c_uint64,
        ctypes.c_void_p,
        ctypes.c_int64,
    ]
    sample.restype = ctypes.c_int32
    top.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_double),
        ctypes.c_void_p,
        ctypes.c_int64,
    ]
    top.restype = ctypes.c_int32
    return size, sample, top


class _Chain(ctypes.Structure):
    """`llmpy_chain` of generate.h."""

    _fields_ = (
        ("steps", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_size", ctypes.c_int64),
        ("n_history", ctypes.c_int64),
        ("ends", ctypes.c_void_p),
        ("n_steps", ctypes.c_int32),
        ("n_vocab", ctypes.c_int32),
        ("n_ends", ctypes.c_int32),
    )


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
        size, self._sample, self._top = _functions()
        self.steps = tuple(steps)
        self.n_vocab = n_vocab
        windows = [s.last_n for s in steps if isinstance(s, (Repetition, Frequency, Presence))]
        self.n_history = -1 if -1 in windows else max(windows, default=0)
        self._kept: list[Any] = []
        records = [r for step in steps if (r := _record(step, self._kept)) is not None]
        self._n_records = len(records)
        self._records = (_Step * max(len(records), 1))(*records)
        self._workspace = np.zeros(-(-size(n_vocab) // 8), dtype=np.int64)
        self._records_address = ctypes.addressof(self._records)
        self._workspace_address = self._workspace.ctypes.data
        self._ends = np.array(sorted(ends), np.int32)
        self._record = _Chain(
            self._records_address,
            self._workspace_address,
            self._workspace.nbytes,
            self.n_history,
            self._ends.ctypes.data,
            self._n_records,
            n_vocab,
            len(ends),
        )
        self.address = ctypes.addressof(self._record)

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
        log_sum = ctypes.c_double()
        count = self._top(
            logits_address,
            n_vocab,
            n,
            ids.ctypes.data,
            ctypes.byref(log_sum),
            self._workspace_address,
            self._workspace.nbytes,
        )
        if count < 0:
            self.explain(count, logits_address, 0, 0)
        return ids[:count], log_sum.value

    def explain(
        self, status: int, logits_address: int, history_address: int, n_history: int
    ) -> None:
        """Raise what the definition raises: it names the place, where the status cannot."""
        floats = (ctypes.c_float * self.n_vocab).from_address(logits_address)
        logits: Logits = np.ctypeslib.as_array(floats)
        tokens = np.empty(0, dtype=np.int32)
        if n_history:
            integers = (ctypes.c_int32 * n_history).from_address(history_address)
            tokens = np.ctypeslib.as_array(integers)
        for step in self.steps:
            logits = step(logits, SimpleNamespace(tokens=tokens))
        draw(logits, 0.0)
        raise SamplerError(f"native sampler: expected a token, found status {status}")
