"""The built-in steps of a chain: each takes the logits and returns the changed ones.

These few lines of NumPy are the definition; the native sampler gives the same bits. A removed
token has the logit -inf. Among equal logits the lower id comes first. Each step works on what the
earlier ones left.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.sampling.weights import MAX_VOCAB, Logits, peak, weights

__all__ = [
    "BuiltIn",
    "Frequency",
    "Greedy",
    "LogitBias",
    "MinP",
    "Presence",
    "Repetition",
    "Temperature",
    "TopK",
    "TopP",
    "frequency",
    "greedy",
    "logit_bias",
    "min_p",
    "presence",
    "recent",
    "repetition",
    "temperature",
    "top_k",
    "top_p",
]

COLDEST = 1e-6  # a temperature below this leaves only the most likely token


def _number(name: str, value: Any, expected: str, low: float, high: float) -> float:
    """`value` as a float with low <= value <= high, or SamplerError."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, (str, bytes, bool)) or not low <= number <= high:
        raise SamplerError(f"{name}: expected {expected}, found {value!r}")
    return number


def _integer(name: str, value: Any, expected: str, low: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number < 2**31:
        raise SamplerError(f"{name}: expected {expected}, found {value!r}")
    return number


_FINITE = float(np.finfo(np.float32).max)
_TINY = float(np.finfo(np.float32).tiny)


def recent(session: Any, last_n: int, n_vocab: int) -> npt.NDArray[np.int32]:
    """The last `last_n` ids of `session.tokens` (-1: all), each checked to be below `n_vocab`."""
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


def _removed(logits: Logits, keep: npt.NDArray[np.bool_]) -> Logits:
    return np.where(keep, logits, np.float32(-np.inf))


@dataclass(frozen=True)
class BuiltIn:
    """What all built-in steps share: being known to the native sampler."""

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """The changed logits [n_vocab] float32; `logits` itself stays as it is."""
        raise NotImplementedError


@dataclass(frozen=True)
class Greedy(BuiltIn):
    """Keep only the most likely token (of equal ones, that with the lowest id)."""

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """The logits with every other token removed."""
        best = peak(logits)
        out = np.full_like(logits, -np.inf)
        out[logits.argmax()] = best
        return out


@dataclass(frozen=True)
class Temperature(BuiltIn):
    """Divide the logits by `value`: below 1 the likely become likelier, above 1 less so.

    0, or anything below a millionth, is greedy: only the most likely token stays.
    """

    value: float

    def __post_init__(self) -> None:
        number = _number("temperature", self.value, "a number >= 0 (0 is greedy)", 0.0, _FINITE)
        object.__setattr__(self, "value", number)

    @property
    def is_greedy(self) -> bool:
        """Whether it leaves only the most likely token."""
        return self.value < COLDEST

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """The logits divided, or all but the largest removed."""
        if self.is_greedy:
            return Greedy()(logits, session)
        with np.errstate(over="ignore"):
            return logits / np.float32(self.value)


@dataclass(frozen=True)
class TopK(BuiltIn):
    """Keep the `k` most likely tokens, exactly k even among equals (Fan et al. 2018); 0 keeps all.

    As in llama.cpp; transformers keeps more than k when the last of them has equals.
    """

    k: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", _integer("top_k", self.k, "an integer >= 0 (0 is off)", 0))

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """The logits with all but the k largest removed."""
        n = logits.size
        if self.k == 0 or self.k >= n:
            return logits
        peak(logits)
        bound = np.partition(logits, n - self.k)[n - self.k]
        keep = logits > bound
        keep[np.flatnonzero(logits == bound)[: self.k - np.count_nonzero(keep)]] = True
        return _removed(logits, keep)


@dataclass(frozen=True)
class TopP(BuiltIn):
    """Keep the fewest most likely tokens whose probabilities sum to at least `p` (the nucleus).

    At least one stays; 1 keeps all. The probabilities are those of the tokens that are left.
    Source: Holtzman et al. 2020. The token that crosses `p` stays, as in llama.cpp and
    transformers.
    """

    p: float

    def __post_init__(self) -> None:
        expected = "a number with 0 < top_p <= 1 (1 is off)"
        object.__setattr__(self, "p", _number("top_p", self.p, expected, math.ulp(0.0), 1.0))

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """The logits with all outside the nucleus removed."""
        if self.p == 1.0:
            return logits
        weight = weights(logits)
        order = np.argsort(-logits, kind="stable")
        sums = weight[order].cumsum()
        total = int(sums[-1])
        target = min(math.ceil(self.p * float(total)), total)
        keep = np.zeros(logits.size, dtype=np.bool_)
        keep[order[: np.searchsorted(sums, target) + 1]] = True
        return _removed(logits, keep)


@dataclass(frozen=True)
class MinP(BuiltIn):
    """Keep the tokens at least `p` times as likely as the most likely one; 0 keeps all.

    Source: Nguyen et al. 2024. Compared as logits, without computing a probability:
    logit >= largest + log(p), the right side rounded to float32.
    """

    p: float

    def __post_init__(self) -> None:
        expected = "a number with 0 <= min_p <= 1 (0 is off)"
        object.__setattr__(self, "p", _number("min_p", self.p, expected, 0.0, 1.0))

    @property
    def log_ratio(self) -> float:
        """The natural logarithm of `p`."""
        return math.log(self.p) if self.p > 0.0 else -math.inf

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """The logits with all that fall below the bound removed."""
        if self.p == 0.0:
            return logits
        bound = np.float32(float(peak(logits)) + self.log_ratio)
        return _removed(logits, logits >= bound)


@dataclass(frozen=True)
class _Penalty(BuiltIn):
    """A penalty on the last `last_n` ids of `session.tokens` (0: none of them, -1: all)."""

    penalty: float
    last_n: int = 64

    def __post_init__(self) -> None:
        name = type(self).__name__.lower()
        positive = isinstance(self, Repetition)
        expected = "a number > 0 (1 is off)" if positive else "a finite number (0 is off)"
        low = _TINY if positive else -_FINITE
        object.__setattr__(
            self, "penalty", _number(f"{name} penalty", self.penalty, expected, low, _FINITE)
        )
        window = _integer(f"{name} last_n", self.last_n, "an integer >= -1 (-1 is all)", -1)
        object.__setattr__(self, "last_n", window)

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """The logits with those of recent tokens lowered."""
        ids, counts = np.unique(
            recent(session, self.last_n, logits.size) if self.last_n else [], return_counts=True
        )
        out = logits.copy()
        ids = ids.astype(np.intp)
        with np.errstate(over="ignore"):
            out[ids] = self._lowered(out[ids], counts.astype(np.float32))
        return out

    def _lowered(self, logits: Logits, counts: npt.NDArray[np.float32]) -> Logits:
        raise NotImplementedError


@dataclass(frozen=True)
class Repetition(_Penalty):
    """Divide the positive and multiply the negative logits of recent tokens by `penalty`.

    Once for each token, however often it came. Source: CTRL (Keskar et al. 2019), with negative
    logits as in transformers and llama.cpp.
    """

    def _lowered(self, logits: Logits, counts: npt.NDArray[np.float32]) -> Logits:  # noqa: ARG002
        penalty = np.float32(self.penalty)
        return np.where(logits > 0, logits / penalty, logits * penalty)


@dataclass(frozen=True)
class Frequency(_Penalty):
    """Subtract `penalty` from a recent token's logit for each time it came, as OpenAI does."""

    def _lowered(self, logits: Logits, counts: npt.NDArray[np.float32]) -> Logits:
        return logits - counts * np.float32(self.penalty)


@dataclass(frozen=True)
class Presence(_Penalty):
    """Subtract `penalty` once from each recent token's logit, as OpenAI does."""

    def _lowered(self, logits: Logits, counts: npt.NDArray[np.float32]) -> Logits:  # noqa: ARG002
        return logits - np.float32(self.penalty)


@dataclass(frozen=True, init=False)
class LogitBias(BuiltIn):
    """Add to the logits of given tokens: `{id: bias}`; -inf forbids a token."""

    entries: tuple[tuple[int, float], ...]

    def __init__(self, bias: Mapping[int, float]) -> None:
        if not isinstance(bias, Mapping):
            raise SamplerError(f"logit_bias: expected a mapping of ids to numbers, found {bias!r}")
        entries = []
        for key, value in bias.items():
            token = _integer("logit_bias", key, "token ids >= 0", 0)
            if token >= MAX_VOCAB:
                raise SamplerError(f"logit_bias: expected ids below {MAX_VOCAB}, found {token}")
            expected = "a finite number or -inf"
            if value != -math.inf:
                _number(f"logit_bias of token {token}", value, expected, -_FINITE, _FINITE)
            entries.append((token, float(value)))
        object.__setattr__(self, "entries", tuple(sorted(entries)))

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """The logits with the biases added. SamplerError when an id is not in the vocabulary."""
        for token, _ in self.entries[-1:]:
            if token >= logits.size:
                raise SamplerError(
                    f"logit_bias: expected ids below n_vocab = {logits.size}, found {token}"
                )
        out = logits.copy()
        ids = np.array([token for token, _ in self.entries], dtype=np.intp)
        with np.errstate(over="ignore", invalid="ignore"):
            out[ids] += np.array([bias for _, bias in self.entries], dtype=np.float32)
        return out


# A chain is written with the words of the field: chain(top_k(8), temperature(0.7)).
frequency = Frequency
greedy = Greedy
logit_bias = LogitBias
min_p = MinP
presence = Presence
repetition = Repetition
temperature = Temperature
top_k = TopK
top_p = TopP
