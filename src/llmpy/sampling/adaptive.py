"""Steps that look at what was drawn, and steer the next draws by it.

What they remember is kept with the tokens of a sequence, so that it follows forks and rewinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmpy.sampling.step import BuiltIn, View, integer, largest, number, removed
from llmpy.sampling.weights import (
    LN2,
    Logits,
    exponential,
    ln,
    max_logit,
    total_and_mean,
    weights,
)

__all__ = ["AdaptiveP", "Mirostat1", "Mirostat2", "adaptive_p", "mirostat1", "mirostat2"]

WIDTH = 0.3  # of the distribution around the target, as a probability
HEIGHT = 5.0  # logit of a token whose probability is the target
SHARPNESS = 10.0


@dataclass(frozen=True)
class _Mirostat(BuiltIn):
    """The common part of both versions: the bound `mu` follows the surprise of the tokens drawn."""

    draws = True
    tau: float = 5.0
    eta: float = 0.1
    mu: float | None = None

    def __post_init__(self) -> None:
        for field in ("tau", "eta"):
            value = number(f"{self.name} {field}", getattr(self, field), "a number >= 0", 0.0, 1e6)
            object.__setattr__(self, field, value)
        if self.mu is not None:
            value = number(f"{self.name} mu", self.mu, "a number", -1e6, 1e6)
            object.__setattr__(self, "mu", value)

    def initial_state(self) -> tuple[float, ...]:
        """Return mu before the first token: 2 * tau, unless it was given."""
        return (2.0 * self.tau if self.mu is None else self.mu,)

    def _mu(self, session: Any) -> float:
        state = session.state if isinstance(session, View) else self.initial_state()
        return float(state[0])

    def next_state(
        self, before: Logits, after: Logits, token: int, state: tuple[float, ...]
    ) -> tuple[float, ...]:
        """Return mu - eta * (surprise of the token in bits - tau)."""
        del before
        distance = float(after[token]) - float(max_logit(after))
        surprise = (ln(total_and_mean(after)[0]) - distance) / LN2
        return (state[0] - self.eta * (surprise - self.tau),)


@dataclass(frozen=True)
class Mirostat1(_Mirostat):
    """Keep as many tokens as give an expected surprise of `tau` bits, by Zipf's law.

    The exponent of that law is estimated from the `m` most likely tokens. `eta` is the rate at
    which the bound `mu` follows. Source: Basu et al. 2020, "Mirostat". It must be the last step,
    and replaces those that truncate.
    """

    name = "mirostat1"
    m: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = "an integer from 2 to 10000"
        object.__setattr__(self, "m", integer("mirostat1 m", self.m, expected, 2, 10000))

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the logits with all but the k largest removed."""
        left = int(np.count_nonzero(logits > -np.inf))
        order = np.flatnonzero(largest(logits, self.m) & (logits > -np.inf))
        top = np.sort(logits[order])[::-1].astype(np.float64)
        k = self._count(top, logits.size, left, self._mu(session))
        return removed(logits, largest(logits, k) & (logits > -np.inf))

    @staticmethod
    def _count(top: Any, n_vocab: int, left: int, mu: float) -> int:
        """Return how many tokens of `left` stay; `top`: the largest logits, in order."""
        max_logit(top)
        products = squares = 0.0
        for i in range(len(top) - 1):
            t = ln((i + 2.0) / (i + 1.0))
            products += t * float(top[i] - top[i + 1])
            squares += t * t
        if products <= 0.0:
            return left
        exponent = products / squares
        epsilon = exponent - 1.0
        log_n = ln(float(n_vocab))
        rest = 1.0 - exponential(-epsilon * log_n)
        ratio = epsilon / rest if rest != 0.0 else 1.0 / log_n
        if not ratio > 0.0:
            return 1
        k = exponential((mu * LN2 + ln(ratio)) / exponent)
        return max(1, int(min(k, float(left))))


@dataclass(frozen=True)
class Mirostat2(_Mirostat):
    """Keep the tokens whose surprise is at most `mu` bits, which follows a target of `tau` bits.

    `eta` is the rate at which it follows. Source: Basu et al. 2020, "Mirostat", algorithm 2. It
    must be the last step, and replaces those that truncate.
    """

    name = "mirostat2"

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the logits with those of surprising tokens removed; the most likely one stays."""
        below = ln(total_and_mean(logits)[0]) - self._mu(session) * LN2
        return removed(logits, logits >= np.float32(float(max_logit(logits)) + min(below, 0.0)))


@dataclass(frozen=True)
class AdaptiveP(BuiltIn):
    """Prefer tokens whose probability is near a target, which is met on average over a window.

    The target of a token is `2 * target` minus the mean probability of the tokens drawn before;
    they count by `decay` to the power of their age, a window of about 1 / (1 - decay) tokens.
    Improbable tokens may have a large probability in sum, so put min-p before it; it must be the
    last step. Source: llama.cpp's `adaptive-p` (MrJackSpade and others, 2025).
    """

    name = "adaptive-p"
    draws = True
    target: float
    decay: float = 0.9

    def __post_init__(self) -> None:
        expected = "a number with 0 <= target <= 1"
        target = number("adaptive_p target", self.target, expected, 0.0, 1.0)
        object.__setattr__(self, "target", target)
        expected = "a number with 0 <= decay <= 0.99"
        object.__setattr__(
            self, "decay", number("adaptive_p decay", self.decay, expected, 0.0, 0.99)
        )

    def initial_state(self) -> tuple[float, ...]:
        """Return the weighted sum of probabilities, and the sum of the weights: a full window."""
        rest = 1.0 - self.decay
        return self.target / rest, 1.0 / rest

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the logits that the nearness to the target gives."""
        state = session.state if isinstance(session, View) else self.initial_state()
        target = min(max(2.0 * self.target - state[0] / state[1], 0.0), 1.0)
        weight = weights(logits)
        probability = weight.astype(np.float64) / float(int(weight.sum()))
        off = np.abs(probability - target) / WIDTH
        near = (HEIGHT - SHARPNESS * off * off / (1.0 + off)).astype(np.float32)
        return np.where(logits > -np.inf, near, np.float32(-np.inf))

    def next_state(
        self, before: Logits, after: Logits, token: int, state: tuple[float, ...]
    ) -> tuple[float, ...]:
        """Return the sums with the token's probability in `before`, the older ones decayed."""
        del after
        weight = weights(before)
        probability = float(int(weight[token])) / float(int(weight.sum()))
        return probability + self.decay * state[0], 1.0 + self.decay * state[1]


# A chain is written with the words of the field: chain(top_k(8), temperature(0.7)).
adaptive_p = AdaptiveP
mirostat1 = Mirostat1
mirostat2 = Mirostat2
