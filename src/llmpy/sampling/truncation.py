"""Steps that remove unlikely tokens (and XTC, which removes likely ones)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.sampling.step import FINITE, BuiltIn, View, integer, largest, number, removed
from llmpy.sampling.weights import Logits, distances, ln, max_logit, total_and_mean, weights

__all__ = [
    "LocallyTypical",
    "MinP",
    "TailFree",
    "TopA",
    "TopK",
    "TopNSigma",
    "TopP",
    "Xtc",
    "locally_typical",
    "min_p",
    "tail_free",
    "top_a",
    "top_k",
    "top_n_sigma",
    "top_p",
    "xtc",
]

Mask = npt.NDArray[np.bool_]
SIGMA_STEPS = 2.0**12  # parts of the range of the logits, for their standard deviation


@dataclass(frozen=True)
class TopK(BuiltIn):
    """Keep the `k` most likely tokens, exactly k even among equals (Fan et al. 2018); 0 keeps all.

    `min_keep`, where it is larger, takes the place of k. As in llama.cpp; transformers keeps more
    than k when the last of them has equals.
    """

    name = "top-k"
    truncates = True
    k: int
    min_keep: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", integer("top_k", self.k, "an integer >= 0 (0 is off)", 0))
        least = integer("min_keep", self.min_keep, "an integer >= 1", 1)
        object.__setattr__(self, "min_keep", least)

    @property
    def count(self) -> int:
        """Number of tokens that are kept; 0: all."""
        return max(self.k, self.min_keep) if self.k else 0

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """Return the logits with all but the k largest removed."""
        if self.count == 0 or self.count >= logits.size:
            return logits
        return removed(logits, largest(logits, self.count))


@dataclass(frozen=True)
class _Truncation(BuiltIn):
    """The common part of the steps after top-k: at least the `min_keep` most likely tokens stay."""

    truncates = True

    def _set(self, field: str, expected: str, low: float, high: float) -> None:
        name = f"{self.name.replace('-', '_')} {field}"
        object.__setattr__(self, field, number(name, getattr(self, field), expected, low, high))

    def _set_min_keep(self) -> None:
        value = integer("min_keep", getattr(self, "min_keep"), "an integer >= 1", 1)  # noqa: B009
        object.__setattr__(self, "min_keep", value)

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """Return the logits with all that the step does not keep removed."""
        keep = self._kept(logits)
        if keep is None:
            return logits
        n: int = getattr(self, "min_keep")  # noqa: B009
        return removed(logits, keep if n == 1 else keep | largest(logits, n))

    def _kept(self, logits: Logits) -> Mask | None:
        """Return which tokens stay [n_vocab]; None where the step is off."""
        raise NotImplementedError


@dataclass(frozen=True)
class TopP(_Truncation):
    """Keep the fewest most likely tokens whose probabilities sum to at least `p` (the nucleus).

    At least one stays; 1 keeps all. The probabilities are those of the tokens that are left.
    Source: Holtzman et al. 2020. The token that crosses `p` stays, as in llama.cpp and
    transformers.
    """

    name = "top-p"
    p: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        expected = "a number with 0 < top_p <= 1 (1 is off)"
        object.__setattr__(self, "p", number("top_p", self.p, expected, math.ulp(0.0), 1.0))
        self._set_min_keep()

    def _kept(self, logits: Logits) -> Mask | None:
        if self.p == 1.0:
            return None
        weight = weights(logits)
        order = np.argsort(-logits, kind="stable")
        sums = weight[order].cumsum()
        total = int(sums[-1])
        target = min(math.ceil(self.p * float(total)), total)
        keep = np.zeros(logits.size, dtype=np.bool_)
        keep[order[: np.searchsorted(sums, target) + 1]] = True
        return keep


@dataclass(frozen=True)
class MinP(_Truncation):
    """Keep the tokens at least `p` times as likely as the most likely one; 0 keeps all.

    Source: Nguyen et al. 2024. Compared as logits, without computing a probability:
    logit >= largest + log(p), the right side rounded to float32.
    """

    name = "min-p"
    p: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        expected = "a number with 0 <= min_p <= 1 (0 is off)"
        object.__setattr__(self, "p", number("min_p", self.p, expected, 0.0, 1.0))
        self._set_min_keep()

    @property
    def log_ratio(self) -> float:
        """Natural logarithm of `p`."""
        return math.log(self.p) if self.p > 0.0 else -math.inf

    def _kept(self, logits: Logits) -> Mask | None:
        if self.p == 0.0:
            return None
        keep: Mask = logits >= np.float32(float(max_logit(logits)) + self.log_ratio)
        return keep


@dataclass(frozen=True)
class TopA(_Truncation):
    """Keep the tokens with a probability of at least `a1 * (that of the most likely) ** a2`.

    0 for either keeps all. Source: Bo Peng, RWKV-LM, "The top-a sampling method" (2022).
    Compared as logits, as min-p.
    """

    name = "top-a"
    a1: float = 0.2
    a2: float = 2.0
    min_keep: int = 1

    def __post_init__(self) -> None:
        self._set("a1", "a number >= 0 (0 is off)", 0.0, FINITE)
        self._set("a2", "a number >= 0 (0 is off)", 0.0, FINITE)
        self._set_min_keep()

    def _kept(self, logits: Logits) -> Mask | None:
        if self.a1 == 0.0 or self.a2 == 0.0:
            return None
        below = math.log(self.a1) - (self.a2 - 1.0) * ln(total_and_mean(logits)[0])
        keep: Mask = logits >= np.float32(float(max_logit(logits)) + min(below, 0.0))
        return keep


@dataclass(frozen=True)
class TopNSigma(_Truncation):
    """Keep the tokens whose logit is at most `n` standard deviations below the largest; 0: all.

    Source: Tang et al. 2024, "Top-nsigma: not all logits are you need". The standard deviation is
    that of the logits that are left, each rounded to a 4096th of their range.
    """

    name = "top-n-sigma"
    n: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        self._set("n", "a number >= 0 (0 is off)", 0.0, FINITE)
        self._set_min_keep()

    def _kept(self, logits: Logits) -> Mask | None:
        top = max_logit(logits)
        left = logits[logits > -np.inf]
        with np.errstate(over="ignore"):
            span = top - left.min()
        if self.n == 0.0 or not 1e-30 < span < np.inf:
            return None
        scale = np.float32(SIGMA_STEPS) / span
        steps = np.rint((top - left) * scale).astype(np.int64)
        mean = float(int(steps.sum())) / left.size
        variance = float(int((steps * steps).sum())) / left.size - mean * mean
        sigma = math.sqrt(max(variance, 0.0)) * float(span) / SIGMA_STEPS
        with np.errstate(over="ignore"):
            keep: Mask = logits >= np.float32(float(top) - self.n * sigma)
        return keep


@dataclass(frozen=True)
class TailFree(_Truncation):
    """Remove the tail of the sorted probabilities by their second differences; 1 keeps all.

    The absolute second differences of the sorted probabilities, made to sum to 1, are added from
    the most likely token on, and the tokens before the sum exceeds `z` stay. Source: Phenix and
    Egan 2019, "Tail free sampling".
    """

    name = "tail-free"
    z: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        self._set("z", "a number with 0 <= z <= 1 (1 is off)", 0.0, 1.0)
        self._set_min_keep()

    def _kept(self, logits: Logits) -> Mask | None:
        if self.z == 1.0:
            return None
        weight = weights(logits)
        order = np.argsort(-logits, kind="stable")[: np.count_nonzero(weight)]
        bends = np.abs(np.diff(weight[order], 2))
        sums = bends.cumsum()
        if bends.size == 0 or sums[-1] == 0:
            return weight > 0
        n = int(np.searchsorted(sums, int(self.z * float(sums[-1])), side="right"))
        keep = np.zeros(logits.size, dtype=np.bool_)
        keep[order[: max(n, 1)]] = True
        return keep


@dataclass(frozen=True)
class LocallyTypical(_Truncation):
    """Keep the tokens whose surprise is nearest to the entropy, until they sum to more than `p`.

    1 keeps all. Source: Meister et al. 2022, "Locally typical sampling". A token's surprise minus
    the entropy is the expected logit minus its own; the difference is rounded to float32.
    """

    name = "locally-typical"
    p: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        self._set("p", "a number with 0 < p <= 1 (1 is off)", math.ulp(0.0), 1.0)
        self._set_min_keep()

    def _kept(self, logits: Logits) -> Mask | None:
        if self.p == 1.0:
            return None
        weight = weights(logits)
        _, mean = total_and_mean(logits)
        heavy = np.flatnonzero(weight)
        off = np.abs(distances(logits)[heavy] - mean).astype(np.float32)
        order = heavy[np.argsort(off, kind="stable")]
        sums = weight[order].cumsum()
        total = int(sums[-1])
        target = min(int(self.p * float(total)) + 1, total)
        keep = np.zeros(logits.size, dtype=np.bool_)
        keep[order[: np.searchsorted(sums, target) + 1]] = True
        return keep


@dataclass(frozen=True)
class Xtc(BuiltIn):
    """Remove all tokens at or above `threshold` but the last, with a chance of `probability`.

    This removes the most likely choices and keeps one that is likely enough. Source: p-e-w 2024,
    "Exclude top choices" (text-generation-webui, pull request 6335).
    """

    name = "xtc"
    probability: float = 0.5
    threshold: float = 0.1

    def __post_init__(self) -> None:
        expected = "a number with 0 <= probability <= 1 (0 is off)"
        chance = number("xtc probability", self.probability, expected, 0.0, 1.0)
        object.__setattr__(self, "probability", chance)
        expected = "a number with 0 < threshold <= 1 (above 0.5 is off)"
        bound = number("xtc threshold", self.threshold, expected, math.ulp(0.0), 1.0)
        object.__setattr__(self, "threshold", bound)

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the logits without the top choices, or as they are."""
        rng = session.rng if isinstance(session, View) else None
        if rng is None:
            raise SamplerError("xtc: expected random numbers, found none: use Chain.sample")
        if self.threshold > 0.5 or rng.peek(stream=1) >= self.probability:
            return logits
        weight = weights(logits)
        choices = weight >= max(math.ceil(self.threshold * float(int(weight.sum()))), 1)
        if np.count_nonzero(choices) < 2:
            return logits
        last = np.flatnonzero(choices & (logits == logits[choices].min()))[-1]
        choices[last] = False
        return removed(logits, ~choices)


# A chain is written with the words of the field: chain(top_k(8), temperature(0.7)).
locally_typical = LocallyTypical
min_p = MinP
tail_free = TailFree
top_a = TopA
top_k = TopK
top_n_sigma = TopNSigma
top_p = TopP
xtc = Xtc
