"""Softmax as integers, and the draw from it: the definition that the native sampler equals.

A token's weight is exp(logit - largest logit), rounded to 40 bits after the point. Integers add up
to the same sum in any order and on any machine, so what is kept and what is drawn never depends on
either. A token below 2**-41 of the most likely one has weight 0. Logarithms and exponentials are
made of single IEEE operations, for the same reason.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError

__all__ = [
    "LN2",
    "MAX_VOCAB",
    "ONE",
    "Logits",
    "distances",
    "draw",
    "exponential",
    "ln",
    "log_sum",
    "max_logit",
    "total_and_mean",
    "weights",
]

Logits = npt.NDArray[np.float32]

MAX_VOCAB = 2**22  # keeps the sum of all weights below 2**62
LN2 = math.log(2.0)
_FRACTION_BITS = 40
ONE = 2.0**_FRACTION_BITS  # the weight of the most likely token
_VANISHING = -29.0  # exp of it rounds to a weight of 0
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # so short that k * _LN2_HIGH is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_LOG2_E = float.fromhex("0x1.71547652b82fep+0")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
_SERIES = [1.0 / math.factorial(n) for n in range(11, -1, -1)]
_ODD = [1.0 / n for n in range(21, 0, -2)]


def max_logit(logits: Logits) -> np.float32:
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


def exponential(x: float) -> float:
    """exp(x), 0 below -700 and that of 700 above it, by single IEEE operations."""
    if not x >= -700.0:
        return 0.0
    x = min(x, 700.0)
    k = round(x * _LOG2_E)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = _SERIES[0]
    for coefficient in _SERIES[1:]:
        p = p * r + coefficient
    return math.ldexp(p, k)


def ln(x: float) -> float:
    """The natural logarithm of x > 0, by single IEEE operations."""
    m, e = math.frexp(x)
    if m < _SQRT_HALF:
        m, e = m * 2.0, e - 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = _ODD[0]
    for coefficient in _ODD[1:]:
        p = p * z + coefficient
    return e * _LN2_HIGH + ((s + s) * p + e * _LN2_LOW)


def distances(logits: Logits) -> npt.NDArray[np.float64]:
    """Return the distance of each of `logits` [n] to the largest: <= 0."""
    return logits.astype(np.float64) - float(max_logit(logits))


def weights(logits: Logits) -> npt.NDArray[np.int64]:
    """Return the weight of each of `logits` [n] in the draw: [n], that of the largest is 2**40."""
    distance = distances(logits)
    near = distance > _VANISHING
    out = np.zeros(logits.size, dtype=np.int64)
    out[near] = np.rint(_exponential(distance[near]))
    return out


def total_and_mean(logits: Logits) -> tuple[float, float]:
    """Return sum(exp(d)) and sum(p * d) for the distances d, p their softmax.

    ln(sum) is the surprise of the most likely token, and ln(sum) - mean the entropy, in nats. Each
    product is rounded to an integer, so that the order of summation does not matter.
    """
    weight = weights(logits)
    distance = distances(logits)
    heavy = weight > 0
    total = float(int(weight.sum()))
    products = np.rint(weight[heavy].astype(np.float64) * distance[heavy]).astype(np.int64)
    return total / ONE, float(int(products.sum())) / total


def draw(logits: Logits, u: float) -> int:
    """The id at which the sum of the weights, in id order, passes the share `u` of the total."""
    sums = weights(logits).cumsum()
    total = int(sums[-1])
    rest = min(int(u * float(total)), total - 1)
    return int(np.searchsorted(sums, rest, side="right"))


def log_sum(logits: Logits) -> float:
    """log(sum of exp(logits)): a logit minus this is its log-probability, to 1e-6 and better."""
    return float(max_logit(logits)) + math.log(int(weights(logits).sum()) * 2.0**-_FRACTION_BITS)
