"""Softmax as integers, and the draw from it: the definition that the native sampler equals.

A token's weight is exp(logit - largest logit), rounded to 40 bits after the point. Integers add up
to the same sum in any order and on any machine, so what is kept and what is drawn never depends on
either. A token below 2**-41 of the most likely one has weight 0.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError

__all__ = ["MAX_VOCAB", "Logits", "draw", "log_sum", "peak", "weights"]

Logits = npt.NDArray[np.float32]

MAX_VOCAB = 2**22  # keeps the sum of all weights below 2**62
_FRACTION_BITS = 40
_VANISHING = -29.0  # exp of it rounds to a weight of 0
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # so short that k * _LN2_HIGH is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_LOG2_E = float.fromhex("0x1.71547652b82fep+0")
_SERIES = [1.0 / math.factorial(n) for n in range(11, -1, -1)]


def peak(logits: Logits) -> np.float32:
    """The largest of `logits` [n]. SamplerError when one is NaN or +inf, or when all are -inf."""
    top: np.float32 = logits.max()
    if np.isfinite(top):
        return top
    if top == -np.inf:
        raise SamplerError("logits: expected at least one finite number, found only -inf")
    where = int(np.flatnonzero(~(logits < np.inf))[0])
    raise SamplerError(f"logits: expected finite numbers or -inf, found {logits[where]} at {where}")


def _exponential(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """2**40 * exp(x) for -29 <= x <= 0, by single IEEE operations: C gets the same bits."""
    k = np.rint(x * _LOG2_E)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = np.full_like(r, _SERIES[0])
    for coefficient in _SERIES[1:]:
        p = p * r + coefficient
    return np.ldexp(p, k.astype(np.int32) + _FRACTION_BITS)


def weights(logits: Logits) -> npt.NDArray[np.int64]:
    """What each of `logits` [n] weighs in the draw: [n], that of the largest is 2**40."""
    distance = logits.astype(np.float64) - float(peak(logits))
    near = distance > _VANISHING
    out = np.zeros(logits.size, dtype=np.int64)
    out[near] = np.rint(_exponential(distance[near]))
    return out


def draw(logits: Logits, u: float) -> int:
    """The id at which the sum of the weights, in id order, passes the share `u` of the total."""
    sums = weights(logits).cumsum()
    total = int(sums[-1])
    rest = min(int(u * float(total)), total - 1)
    return int(np.searchsorted(sums, rest, side="right"))


def log_sum(logits: Logits) -> float:
    """log(sum of exp(logits)): a logit minus this is its log-probability, to 1e-6 and better."""
    return float(peak(logits)) + math.log(int(weights(logits).sum()) * 2.0**-_FRACTION_BITS)
