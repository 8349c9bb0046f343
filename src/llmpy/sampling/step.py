"""The common part of built-in steps: checked parameters, and their view of a session."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.sampling.rng import Rng
from llmpy.sampling.weights import Logits, max_logit

__all__ = [
    "FINITE",
    "TINY",
    "BuiltIn",
    "View",
    "Vocabulary",
    "integer",
    "largest",
    "number",
    "recent",
    "removed",
    "texts",
]

FINITE = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).tiny)


class Vocabulary(Protocol):
    """The methods of a tokenizer that steps with texts use."""

    n_embedded: int
    end_ids: frozenset[int]

    def encode(self, text: str, *, bos: bool | None = ..., start: bool = ...) -> list[int]:
        """Return the ids of a text."""

    def piece(self, token: Any) -> bytes:
        """Return the bytes of a token."""


class View:
    """The view of a session that a built-in step gets beside the logits.

    `session` has the `tokens` so far; `rng` the random numbers of the next token; `state` is what
    the step remembers from token to token.
    """

    __slots__ = ("rng", "session", "state")

    def __init__(self, session: Any, rng: Rng | None, state: tuple[float, ...]) -> None:
        self.session = session
        self.rng = rng
        self.state = state


@dataclass(frozen=True)
class BuiltIn:
    """A step that the native sampler knows too.

    `name` is what sampler strings call it. A step that `draws` remembers something of the tokens
    that were drawn, and must be the last of its chain. A step that `truncates` removes unlikely
    tokens.
    """

    name: ClassVar[str]
    draws: ClassVar[bool] = False
    truncates: ClassVar[bool] = False

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the changed logits [n_vocab] float32; `logits` itself stays as it is."""
        raise NotImplementedError

    def bound(self, vocabulary: Vocabulary) -> BuiltIn | None:  # noqa: ARG002
        """Return the step for the tokens of a vocabulary; None where nothing is left to do."""
        return self

    def initial_state(self) -> tuple[float, ...]:
        """Return the state of the step before the first token."""
        return ()

    def next_state(
        self, before: Logits, after: Logits, token: int, state: tuple[float, ...]
    ) -> tuple[float, ...]:
        """Return the state of the step after `token` was sampled from its own logits `after`."""
        raise NotImplementedError


def number(name: str, value: Any, expected: str, low: float, high: float) -> float:
    """Return `value` as a float with low <= value <= high, or raise SamplerError."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, (str, bytes, bool)) or not low <= found <= high:
        raise SamplerError(f"{name}: expected {expected}, found {value!r}")
    return found


def integer(name: str, value: Any, expected: str, low: int, high: int = 2**31 - 1) -> int:
    """Return `value` as an integer with low <= value <= high, or raise SamplerError."""
    try:
        found = operator.index(value)
    except TypeError:
        found = low - 1
    if isinstance(value, bool) or not low <= found <= high:
        raise SamplerError(f"{name}: expected {expected}, found {value!r}")
    return found


def texts(name: str, values: Any) -> tuple[str, ...]:
    """Return non-empty strings as a tuple, or raise SamplerError."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise SamplerError(f"{name}: expected strings, found {values!r}")
    found = tuple(values)
    for text in found:
        if not isinstance(text, str) or not text:
            raise SamplerError(f"{name}: expected non-empty strings, found {text!r}")
    return found


def recent(session: Any, last_n: int, n_vocab: int) -> npt.NDArray[np.int32]:
    """Return the last `last_n` ids of a session (-1: all), each checked to be below `n_vocab`."""
    if isinstance(session, View):
        session = session.session
    last_tokens = getattr(session, "last_tokens", None)  # a view, where `tokens` is a copy
    if last_tokens is not None:
        ids: npt.NDArray[np.int32] = last_tokens(last_n)
    else:
        tokens = session.tokens
        window = tokens if last_n < 0 else tokens[max(len(tokens) - last_n, 0) :]
        try:
            ids = np.asarray(window, dtype=np.int32)
        except (OverflowError, TypeError, ValueError) as error:
            raise SamplerError(f"session.tokens: expected token ids, found {error}") from error
    outside = ids[(ids < 0) | (ids >= n_vocab)]
    if outside.size:
        raise SamplerError(
            f"session.tokens: expected ids from 0 to {n_vocab - 1}, found {outside[0]}"
        )
    return ids


def removed(logits: Logits, keep: npt.NDArray[np.bool_]) -> Logits:
    """Return the logits with -inf in place of what is not kept."""
    return np.where(keep, logits, np.float32(-np.inf))


def largest(logits: Logits, k: int) -> npt.NDArray[np.bool_]:
    """Return which of `logits` [n] are the k largest; of equal ones those with the lower ids."""
    n = logits.size
    if not 0 < k < n:
        return np.full(n, k > 0)
    max_logit(logits)
    bound = np.partition(logits, n - k)[n - k]
    keep: npt.NDArray[np.bool_] = logits > bound
    keep[np.flatnonzero(logits == bound)[: k - np.count_nonzero(keep)]] = True
    return keep
