"""Quantizers whose scales are searched: Q2_K to Q6_K, IQ4_NL, IQ4_XS, and weighted Q4_0 to Q5_1.

Each group gets its best scale by itself, the block the scale that stores those of its groups best;
then every value is rounded to what its group will really have. See search.py and packing.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmpy.quant import packing
from llmpy.quant.search import fit_codes, fit_ranged, fit_scale, half, over, rounded, total
from llmpy.quant.tables import NONLINEAR

__all__ = ["WRITERS"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Code = Callable[[Floats], Floats]

_MIDDLES = (NONLINEAR[1:] + NONLINEAR[:-1]) / np.float32(2)


def nearest_code(x: Floats) -> Floats:
    """The value of the table of IQ4 that is nearest (half-way: the upper one)."""
    codes: Floats = NONLINEAR[np.searchsorted(_MIDDLES, x, side="right")]
    return codes


def _integers(low: int, high: int) -> Code:
    return lambda x: rounded(x, low, high)


def _grouped(x: Floats, groups: int) -> Floats:
    """Blocks [B, n] as [n / groups, groups * B]: a column for each group."""
    return np.ascontiguousarray(x.reshape(len(x), groups, -1).transpose(2, 1, 0)).reshape(
        x.shape[1] // groups, -1
    )


def _back(q: Floats, blocks: int) -> Bytes:
    """Columns [n, groups * B] as integers of blocks [B, groups * n]."""
    whole = q.reshape(len(q), -1, blocks).transpose(2, 1, 0)
    return whole.reshape(blocks, -1).astype(np.int16).astype(np.uint8)


@dataclass(frozen=True)
class _Coded:
    """d * scale * code(x): `groups` of a block with a scale in -half..half-1, if more than one."""

    pack: Callable[..., Bytes]
    groups: int
    half: int
    ends: tuple[float, ...]
    scale_ends: tuple[float, ...]
    code: Code

    def __call__(self, x: Floats, w: Floats | None) -> Bytes:
        blocks = len(x)
        x = _grouped(x, self.groups)
        w = None if w is None else _grouped(w, self.groups)
        if self.groups == 1:
            d, _ = fit_codes(x, w, self.ends, self.code, as_half=True)
            return self.pack(_back(self.code(over(x, d)), blocks), d)
        d, weight = fit_codes(x, w, self.ends, self.code)
        each = d.reshape(self.groups, blocks)
        small = _integers(-self.half, self.half - 1)
        d = fit_scale(each, weight.reshape(each.shape), self.scale_ends, small)
        scales = small(over(each, d))
        q = self.code(over(x, (d * scales).reshape(-1)))
        return self.pack(_back(q, blocks), d, scales.T.astype(np.int16))


@dataclass(frozen=True)
class _Ranged:
    """d * scale * q - dmin * minimum: `groups` of a block with both from 0 to `scale_high`."""

    pack: Callable[..., Bytes]
    groups: int
    scale_high: int
    high: int
    steps: tuple[float, ...]
    scale_ends: tuple[float, ...]

    def __call__(self, x: Floats, w: Floats | None) -> Bytes:
        blocks = len(x)
        x = _grouped(x, self.groups)
        w = None if w is None else _grouped(w, self.groups)
        d, m, dd, mm = fit_ranged(x, w, self.high, self.steps, signed=self.groups == 1)
        if self.groups == 1:
            d = half(d)
            m = half(np.float32(0) - self._best_offset(x, w, d, m, mm))
            return self.pack(_back(rounded(over(x - m, d), 0, self.high), blocks), d, m)
        shape = (self.groups, blocks)
        d, scales = self._stored(d.reshape(shape), dd.reshape(shape))
        step = (d * scales).reshape(-1)
        m = self._best_offset(x, w, step, m, mm)
        dmin, minima = self._stored(m.reshape(shape), mm.reshape(shape))
        q = rounded(over(x + (dmin * minima).reshape(-1), step), 0, self.high)
        k, minima = scales.T.astype(np.uint8), minima.T.astype(np.uint8)
        return self.pack(_back(q, blocks), d, dmin, k, minima)

    def _stored(self, each: Floats, weight: Floats) -> tuple[Floats, Floats]:
        """Round the scales of groups, [groups, B]: return the block's scale and integers."""
        small = _integers(0, self.scale_high)
        d = fit_scale(each, weight, self.scale_ends, small)
        return d, small(over(each, d))

    def _best_offset(
        self, x: Floats, w: Floats | None, step: Floats, m: Floats, sw: Floats
    ) -> Floats:
        """Return the offset to subtract from d * q, with rounded steps; >= 0 in K-quants."""
        least = np.float32(-3e38 if self.groups == 1 else 0)
        wx = total(x if w is None else w * x)
        m = np.float32(0) - m
        for _ in range(2):
            q = rounded(over(x + m, step), 0, self.high)
            m = np.maximum((step * total(q if w is None else w * q) - wx) / sw, least)
        return m


def _around(end: int, first: int, last: int, step: float = 0.1) -> tuple[float, ...]:
    """`end` itself, then `end` plus the multiples of `step` from first to last."""
    return (end, *(round(end + step * k, 3) for k in range(first, last + 1) if k))


def _signed(low: int, n: int) -> tuple[float, ...]:
    """Candidates that bring the largest value near -half, then near half - 1."""
    ends = [-end for end in _around(-low, -n, n)] + list(_around(-low - 1, -n, n))
    return tuple(float(end) for end in ends)


def _plain(name: str, low: int) -> _Coded:
    pack = functools.partial(packing.block32, name, -low)
    return _Coded(pack, 1, 0, _signed(low, 9), (), _integers(low, -low - 1))


def _ranged32(name: str, high: int) -> _Ranged:
    return _Ranged(functools.partial(packing.block32, name, 0), 1, 0, high, _around(0, -9, 9), ())


_TABLE = tuple(float(e) for e in (*_around(-127, -9, 9, 3.0), *_around(113, -9, 9, 3.0)))

WRITERS: dict[str, Callable[[Floats, Floats | None], Bytes]] = {
    "Q2_K": _Ranged(packing.q2_k, 16, 15, 3, _around(0, -9, 9), _around(15, -9, 9)),
    "Q3_K": _Coded(packing.q3_k, 16, 32, _signed(-4, 9), _signed(-32, 9), _integers(-4, 3)),
    "Q4_K": _Ranged(packing.q4_k, 8, 63, 15, _around(0, -9, 9), _around(63, -9, 9)),
    "Q5_K": _Ranged(packing.q5_k, 8, 63, 31, _around(0, -9, 9), _around(63, -9, 9)),
    "Q6_K": _Coded(packing.q6_k, 16, 128, _signed(-32, 9), _signed(-128, 9), _integers(-32, 31)),
    "IQ4_NL": _Coded(packing.iq4_nl, 1, 0, _TABLE, (), nearest_code),
    "IQ4_XS": _Coded(packing.iq4_xs, 8, 32, _TABLE, _signed(-32, 9), nearest_code),
    "Q4_0": _plain("Q4_0", -8),
    "Q4_1": _ranged32("Q4_1", 15),
    "Q5_0": _plain("Q5_0", -16),
    "Q5_1": _ranged32("Q5_1", 31),
}
