"""Finding scales: which scale, and which offset, makes the rounding of a group cost least.

Least squares, weighted if asked: for each of some candidate scales the values are rounded, and the
best scale for those integers follows in closed form. All arrays are float32 with one column for
each group; sums run over the first axis in order, so that native code gets the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_codes", "fit_ranged", "fit_scale", "half", "over", "rounded", "total"]

Floats = NDArray[np.float32]

ROUNDS = 3
TINY = np.float32(1e-15)  # a group with no value above it becomes zeros
FLAT = np.float32(1e-5)  # a variance below this part of the mean square is rounding of float32
MARGIN = np.float32(1 + 4 * 2**-23)  # what is better by less is not: sums were rounded


def total(terms: Floats) -> Floats:
    """The sum over the first axis, one after another: [n, ...] -> [...]."""
    sums = np.zeros(terms.shape[1:], np.float32)
    for term in terms:
        sums = sums + term
    return sums


def rounded(x: Floats, low: int, high: int) -> Floats:
    """To the nearest integer (ties to even) from `low` to `high`."""
    clipped = np.minimum(np.maximum(x, np.float32(low)), np.float32(high))
    integers: Floats = np.rint(clipped)
    return integers


def over(x: Floats, d: Floats) -> Floats:
    """x / d, or 0 where d is 0, as a product with one reciprocal."""
    zero = d == 0
    reciprocal = np.float32(1) / np.where(zero, np.float32(1), d)
    quotient: Floats = x * np.where(zero, np.float32(0), reciprocal)
    return quotient


def half(d: Floats) -> Floats:
    """d as a half can hold it."""
    return d.astype(np.float16).astype(np.float32)


def _extreme(x: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The value of largest size of each group (1 where that is 0), and whether it is 0."""
    most, least = x.max(axis=0), x.min(axis=0)
    largest = np.where(most > -least, most, least)
    empty = np.abs(largest) <= TINY
    return np.where(empty, np.float32(1), largest), empty


def fit_codes(
    x: Floats,
    w: Floats | None,
    ends: Sequence[float],
    code: Callable[[Floats], Floats],
    as_half: bool = False,
) -> tuple[Floats, Floats]:
    """The scales d for which d * code(x / d) is nearest to x, and the sums of w * code^2.

    `x` and `w` are [n, groups]. A candidate brings the value of largest size to one of `ends`;
    `as_half`: scales are rounded to halves before they are compared.
    """
    divisor, empty = _extreme(x)
    wx = x if w is None else w * x
    zero: Floats = np.zeros_like(x[0])
    best = [zero, zero, zero]  # score, d, sum of w q q
    for number, end in enumerate(ends):
        inverse: Floats = np.divide(np.float32(end), divisor, dtype=np.float32)
        q = code(x * inverse)
        xq, qq = total(wx * q), total((q if w is None else w * q) * q)
        d: Floats = np.divide(xq, np.maximum(qq, TINY), dtype=np.float32)
        d = half(d) if as_half else d
        score: Floats = d * (xq + xq - d * qq)
        better = (score > best[0] * MARGIN) | (number == 0)
        for i, new in enumerate([score, d, qq]):
            best[i] = np.where(better, new, best[i])
    return np.where(empty, zero, best[1]), np.where(empty, zero, best[2])


def fit_scale(
    x: Floats, w: Floats, ends: Sequence[float], code: Callable[[Floats], Floats]
) -> Floats:
    """The scales d, as halves hold them, for which d * code(x / d) is nearest to x.

    The candidates are those of `fit_codes`, rounded to halves and x to integers once more; they are
    few values, and what is left of each is worth its sum.
    """
    divisor, empty = _extreme(x)
    wx = w * x
    best, least = np.zeros_like(x[0]), np.zeros_like(x[0])
    for number, end in enumerate(ends):
        q = code(x * np.divide(np.float32(end), divisor, dtype=np.float32))
        xq, qq = total(wx * q), total((w * q) * q)
        d = half(np.divide(xq, np.maximum(qq, TINY), dtype=np.float32))
        left = d * code(over(x, d)) - x
        lost = total((w * left) * left)
        better = (lost < least) | (number == 0)
        best, least = np.where(better, d, best), np.where(better, lost, least)
    return np.where(empty, np.float32(0), best)


def fit_ranged(
    x: Floats, w: Floats | None, high: int, steps: Sequence[float], signed: bool
) -> tuple[Floats, Floats, Floats, Floats]:
    """d and m for which d * q + m with q from 0 to `high` is nearest to x; sums of w q^2 and of w.

    Unless `signed`, m is 0 or below. A candidate divides the range of x into `high` + step parts.
    """
    zero, one = np.float32(0), np.float32(1)
    low = x.min(axis=0) if signed else np.minimum(x.min(axis=0), zero)
    width = x.max(axis=0) - low
    empty = width <= TINY
    divisor = np.where(empty, one, width)
    y = x - low
    wy = y if w is None else w * y
    sy = total(wy)
    sw = np.full_like(low, len(x)) if w is None else total(w)
    best = [np.zeros_like(low) for _ in range(4)]  # score, d, m less low, sum of w q q

    def consider(q: Floats, first: bool) -> None:
        wq = q if w is None else w * q
        sq, qq, yq = total(wq), total(wq * q), total(wy * q)
        spread, square = sw * qq - sq * sq, sw * qq
        flat = spread <= FLAT * square  # one integer for all: any offset fits as well
        divided = np.where(flat, one, spread)
        if signed:
            d = np.where(flat, divisor / np.float32(high), (sw * yq - sy * sq) / divided)
            m = np.where(flat, (sy - d * sq) / sw, (qq * sy - sq * yq) / divided)
        else:  # where m would be above 0, or may be anything: it is 0, and d the best without it
            m = (qq * sy - sq * yq) / divided
            none = flat | (m > -low)
            d = (sw * yq - sy * sq) / divided
            d = np.where(none, (yq + low * sq) / np.maximum(qq, TINY), d)
            m = np.where(none, -low, m)
        score = d * (yq + yq - d * qq) + m * (sy + sy - m * sw) - (d + d) * m * sq
        better = first | (score > best[0] * MARGIN)
        for i, new in enumerate((score, d, m, qq)):
            best[i] = np.where(better, new, best[i])

    for number, step in enumerate(steps):
        inverse = np.float32(high + step) / divisor
        consider(rounded(y * inverse, 0, high), number == 0)
        if signed:  # cut off at the lower end, and at both
            cut = np.float32(high + step) - np.float32(high)
            consider(rounded(y * inverse - cut, 0, high), False)
            consider(rounded(y * inverse - cut / np.float32(2), 0, high), False)
    for _ in range(ROUNDS):  # from the best on: round to it, and fit again
        _, d, m, _ = best
        consider(rounded((y - m) * (one / np.where(d == 0, one, d)), 0, high), False)
    d, m, qq = (np.where(empty, zero, value) for value in best[1:])
    return d, m + low, qq, sw
