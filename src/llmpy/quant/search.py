"""Finding scales: which scale, and which offset, makes the rounding of a group cost least.

Least squares, weighted if asked: for each of some candidate scales the values are rounded, and the
best scale for those integers follows in closed form. All arrays are float32 with one column for
each group; sums run over the first axis in order, so that native code gets the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_codes", "fit_ranged", "rounded", "total"]

Floats = NDArray[np.float32]

ROUNDS = 3
TINY = np.float32(1e-15)  # a group with no value above it becomes zeros


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


def fit_codes(
    x: Floats, w: Floats | None, ends: Sequence[float], code: Callable[[Floats], Floats]
) -> tuple[Floats, Floats]:
    """The scales d for which d * code(x / d) is nearest to x, and the sums of w * code^2.

    `x` and `w` are [n, groups]. A candidate brings the value of largest size to one of `ends`.
    """
    most, least = x.max(axis=0), x.min(axis=0)
    largest = np.where(most > -least, most, least)
    empty = np.abs(largest) <= TINY
    divisor = np.where(empty, np.float32(1), largest)
    wx = x if w is None else w * x
    zero: Floats = np.zeros_like(x[0])
    best = [zero, zero, zero]  # score, sum of w x q, sum of w q q
    for number, end in enumerate(ends):
        inverse: Floats = np.divide(np.float32(end), divisor, dtype=np.float32)
        q = code(x * inverse)
        xq, qq = total(wx * q), total((q if w is None else w * q) * q)
        score: Floats = np.divide(xq * xq, np.maximum(qq, TINY), dtype=np.float32)
        better = (score > best[0]) | (number == 0)
        for i, new in enumerate([score, xq, qq]):
            best[i] = np.where(better, new, best[i])
    d = best[1] / np.maximum(best[2], TINY)
    return np.where(empty, zero, d), np.where(empty, zero, best[2])


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
        determinant = np.maximum(sw * qq - sq * sq, TINY)
        d = (sw * yq - sy * sq) / determinant
        m = (qq * sy - sq * yq) / determinant
        if not signed:  # where m would be above 0: it is 0, and d the best without it
            above = m > -low
            d = np.where(above, (yq + low * sq) / np.maximum(qq, TINY), d)
            m = np.where(above, -low, m)
        score = d * (yq + yq - d * qq) + m * (sy + sy - m * sw) - (d + d) * m * sq
        better = first | (score > best[0])
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
