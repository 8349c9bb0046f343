"""Rotary position embedding: which frequency turns which pair of values.

Su et al. 2021 (RoFormer); linear interpolation: Chen et al. 2023; YaRN: Peng et al. 2023. The
result is one fixed frequency a pair and one factor, so that backends know no names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import GraphError

__all__ = ["Rope", "alibi_slopes"]


@dataclass(frozen=True)
class Rope:
    """The rotation of the first `n_dims` values of each head.

    Pair i turns by position * frequencies()[i]. `neox` pairs value i with i + n_dims/2, otherwise
    neighbours 2i and 2i+1 are a pair. `scaling` is "none", "linear" or "yarn", stretching the
    context by `factor`; YaRN needs the `original_context` it stretches. The turned values are
    multiplied by `attention_factor` and YaRN's `temperature`, by default 1 + 0.1 ln(factor).
    `growth`: and by 1 + growth ln(1 + floor(position / growth_every)) (Llama 4, Ministral 3).
    `truncate`: the pairs between which YaRN stretches more and more are whole numbers.
    """

    n_dims: int
    base: float = 10_000.0
    neox: bool = False
    scaling: str = "none"
    factor: float = 1.0
    original_context: int = 0
    attention_factor: float = 1.0
    temperature: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    growth: float = 0.0
    growth_every: int = 0

    def __post_init__(self) -> None:
        if self.scaling not in ("none", "linear", "yarn"):
            raise GraphError(f"rope scaling: expected none, linear or yarn, found {self.scaling!r}")
        if not (self.base > 0 and self.factor > 0):
            raise GraphError(
                f"rope: expected a positive base and factor, found {self.base} and {self.factor}"
            )
        if self.growth and not self.growth_every > 0:
            raise GraphError(
                f"rope: growth needs a positive number of tokens, found {self.growth_every}"
            )
        if self.scaling == "yarn" and not (self.original_context > 0 and self.base > 1):
            raise GraphError(
                "rope: YaRN needs a positive original context length and a base above 1, found "
                f"{self.original_context} and {self.base}"
            )

    def frequencies(self) -> NDArray[np.float64]:
        """Radians a position for each pair: float64 [n_dims / 2]."""
        i = np.arange(self.n_dims // 2, dtype=np.float64)
        plain = self.base ** (-2.0 * i / self.n_dims)
        if self.scaling == "none":
            return plain
        stretched = plain / self.factor
        if self.scaling == "linear":
            return stretched
        low, high = (self._pair_that_turns(beta) for beta in (self.beta_fast, self.beta_slow))
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, self.n_dims - 1)
        ramp = 1.0 - np.clip((i - low) / max(0.001, high - low), 0.0, 1.0)
        return stretched * (1.0 - ramp) + plain * ramp

    def magnitude(self) -> float:
        """Factor on the turned values: `attention_factor` times YaRN's temperature."""
        if self.scaling != "yarn":
            return self.attention_factor
        usual = 1.0 + 0.1 * math.log(max(self.factor, 1.0))
        return self.attention_factor * (usual if self.temperature is None else self.temperature)

    def rotation(
        self, positions: NDArray[np.int64], factors: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Cosines and sines [..., n_dims / 2] of positions [...], times all that is multiplied.

        `factors` [n_dims / 2] divide the frequencies.
        """
        at = positions[..., None]
        angle = at * (self.frequencies() / (1.0 if factors is None else factors))
        steps = at // self.growth_every if self.growth else 0
        magnitude = self.magnitude() * (1 + self.growth * np.log1p(steps))
        turned = np.cos(angle) * magnitude, np.sin(angle) * magnitude
        return turned[0].astype(np.float32), turned[1].astype(np.float32)

    def _pair_that_turns(self, rotations: float) -> float:
        """The (fractional) pair that makes so many full turns within the original context."""
        turns = self.original_context / (rotations * 2.0 * math.pi)
        return self.n_dims * math.log(turns) / (2.0 * math.log(self.base))


def alibi_slopes(n_head: int, largest: float) -> NDArray[np.float64]:
    """Return what a head's scores lose a token of distance (Press et al. 2022): float64 [n_head].

    Powers of 2 from -largest / n to -largest for n heads, the power of two below or at `n_head`;
    the heads beyond that take the odd ones of the finer series.
    """
    n = 1 << (n_head.bit_length() - 1)
    exponents = [-largest * (i + 1) / n for i in range(n)]
    exponents += [-largest * (2 * i + 1) / (2 * n) for i in range(n_head - n)]
    return np.exp2(np.array(exponents, np.float64))
