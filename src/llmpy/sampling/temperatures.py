"""Steps that make a distribution sharper or flatter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmpy.sampling.step import FINITE, TINY, BuiltIn, number
from llmpy.sampling.weights import Logits, exponential, ln, max_logit, total_and_mean

__all__ = [
    "DynamicTemperature",
    "Greedy",
    "Temperature",
    "dynamic_temperature",
    "greedy",
    "temperature",
]

COLDEST = 1e-6  # a temperature below this leaves only the most likely token


@dataclass(frozen=True)
class Greedy(BuiltIn):
    """Keep only the most likely token (of equal ones, that with the lowest id)."""

    name = "greedy"

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """Return the logits with every other token removed."""
        best = max_logit(logits)
        out = np.full_like(logits, -np.inf)
        out[logits.argmax()] = best
        return out


@dataclass(frozen=True)
class Temperature(BuiltIn):
    """Divide the logits by `temperature`: below 1 the likely become likelier, above 1 less so.

    0, or anything below a millionth, is greedy: only the most likely token stays.
    """

    name = "temperature"
    temperature: float

    def __post_init__(self) -> None:
        value = number("temperature", self.temperature, "a number >= 0 (0 is greedy)", 0.0, FINITE)
        object.__setattr__(self, "temperature", value)

    @property
    def is_greedy(self) -> bool:
        """True if only the most likely token is kept."""
        return self.temperature < COLDEST

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the logits divided, or all but the largest removed."""
        if self.is_greedy:
            return Greedy()(logits, session)
        with np.errstate(over="ignore"):
            return logits / np.float32(self.temperature)


@dataclass(frozen=True)
class DynamicTemperature(BuiltIn):
    """Divide the logits by a temperature from `low` to `high` that rises with the entropy.

    temperature = low + (high - low) * (entropy / largest possible entropy) ** exponent: sure
    predictions are made surer, open ones more varied. Source: Entropy-based dynamic temperature
    (Zhang et al. 2024) in the form of llama.cpp's `temp_ext`.
    """

    name = "dynamic-temperature"
    low: float
    high: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        expected = "a number > 0"
        low = number("dynamic_temperature low", self.low, expected, TINY, FINITE)
        expected = f"a number >= low, which is {low:g}"
        high = number("dynamic_temperature high", self.high, expected, low, FINITE)
        expected = "a number >= 0"
        power = number("dynamic_temperature exponent", self.exponent, expected, 0.0, 1000.0)
        for field, value in (("low", low), ("high", high), ("exponent", power)):
            object.__setattr__(self, field, value)

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """Return the logits divided by the temperature that their entropy gives."""
        n = int(np.count_nonzero(logits > -np.inf))
        total, mean = total_and_mean(logits)
        if n < 2:
            return logits
        entropy = ln(total) - mean
        share = min(max(entropy / ln(float(n)), 0.0), 1.0)
        part = 0.0 if share == 0.0 else exponential(self.exponent * ln(share))
        part = 1.0 if self.exponent == 0.0 else part
        with np.errstate(over="ignore"):
            return logits / np.float32(self.low + (self.high - self.low) * part)


# A chain is written with the words of the field: chain(top_k(8), temperature(0.7)).
dynamic_temperature = DynamicTemperature
greedy = Greedy
temperature = Temperature
