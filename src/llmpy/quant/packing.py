"""Integers and scales into the blocks of each type: the inverse of what the readers do.

`q` are the integers of whole blocks as bytes [B, n] (of negative ones the two's complement), `d`
and `m` [B] what halves hold, `scales` and `minima` [B, groups].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmpy.quant.block32 import LAYOUTS
from llmpy.quant.kquants import Q2_K, Q3_K, Q4_K, Q5_K, Q6_K
from llmpy.quant.tables import IQ4_NL, IQ4_XS, NONLINEAR

__all__ = ["block32", "iq4_nl", "iq4_xs", "joined", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Shorts = NDArray[np.int16]


def joined(q: Bytes, width: int) -> Bytes:
    """The inverse of `fields`: [..., 8 // width, n] -> [..., n], the first in the lowest bits."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    whole: Bytes = np.bitwise_or.reduce(q << shifts, axis=-2)
    return whole


def _bytes(block: NDArray[np.void]) -> Bytes:
    return block.view(np.uint8).reshape(len(block), -1)


def block32(name: str, offset: int, q: Bytes, d: Floats, m: Floats | None = None) -> Bytes:
    """Q4_0, Q4_1, Q5_0, Q5_1, whose integers are stored `offset` larger."""
    layout = LAYOUTS[name]
    block = np.zeros(len(q), layout)
    q = q + np.uint8(offset)
    block["d"] = d
    if m is not None:
        block["m"] = m
    block["low"] = joined((q & np.uint8(15)).reshape(-1, 2, 16), 4)
    if "high" in (layout.names or ()):
        block["high"] = np.packbits(q >> np.uint8(4), axis=1, bitorder="little")
    return _bytes(block)


def q2_k(q: Bytes, d: Floats, m: Floats, scales: Bytes, minima: Bytes) -> Bytes:
    """Four bits for a scale, four for a minimum."""
    block = np.zeros(len(q), Q2_K)
    block["d"], block["dmin"] = d, m
    block["scales"] = scales | (minima << 4)
    block["q"] = joined(q.reshape(-1, 2, 4, 32), 2)
    return _bytes(block)


def q3_k(q: Bytes, d: Floats, scales: Shorts) -> Bytes:
    """Integers are stored 4 larger, their third bit apart; scales 32 larger, in 6 bits."""
    block = np.zeros(len(q), Q3_K)
    block["d"] = d
    q = (q + np.uint8(4)).reshape(-1, 8, 32)
    block["q"] = joined((q & np.uint8(3)).reshape(-1, 2, 4, 32), 2)
    block["high"] = joined(q >> np.uint8(2), 1)
    k = (scales + 32).astype(np.uint8)
    block["scales"][:, :8] = joined((k & np.uint8(15)).reshape(-1, 2, 8), 4)
    block["scales"][:, 8:] = joined((k >> np.uint8(4)).reshape(-1, 4, 4), 2)
    return _bytes(block)


def _six_bits(scales: Bytes, minima: Bytes) -> Bytes:
    """8 scales and 8 minima of 6 bits in 12 bytes; see kquants.py."""
    first = scales[:, :4] | (scales[:, 4:] >> 4 << 6)
    second = minima[:, :4] | (minima[:, 4:] >> 4 << 6)
    third = (scales[:, 4:] & 15) | (minima[:, 4:] << 4)
    return np.concatenate([first, second, third], axis=1)


def q4_k(q: Bytes, d: Floats, m: Floats, scales: Bytes, minima: Bytes) -> Bytes:
    """Two groups of 32 share 32 bytes."""
    block = np.zeros(len(q), Q4_K)
    block["d"], block["dmin"] = d, m
    block["scales"] = _six_bits(scales, minima)
    block["q"] = joined(q.reshape(-1, 4, 2, 32), 4)
    return _bytes(block)


def q5_k(q: Bytes, d: Floats, m: Floats, scales: Bytes, minima: Bytes) -> Bytes:
    """As Q4_K, with the fifth bits of all groups in 32 bytes more."""
    block = np.zeros(len(q), Q5_K)
    block["d"], block["dmin"] = d, m
    block["scales"] = _six_bits(scales, minima)
    block["q"] = joined((q & np.uint8(15)).reshape(-1, 4, 2, 32), 4)
    block["high"] = joined(q.reshape(-1, 8, 32) >> np.uint8(4), 1)
    return _bytes(block)


def q6_k(q: Bytes, d: Floats, scales: Shorts) -> Bytes:
    """Integers are stored 32 larger: four bits, and two apart."""
    block = np.zeros(len(q), Q6_K)
    block["d"], block["scales"] = d, scales.astype(np.int8)
    q = q + np.uint8(32)
    block["low"] = joined((q & np.uint8(15)).reshape(-1, 2, 2, 64), 4)
    block["high"] = joined((q >> np.uint8(4)).reshape(-1, 2, 4, 32), 2)
    return _bytes(block)


def _numbers(codes: Bytes) -> Bytes:
    """The numbers of the table's values."""
    return np.searchsorted(NONLINEAR, codes.view(np.int8)).astype(np.uint8)


def iq4_nl(codes: Bytes, d: Floats) -> Bytes:
    """Numbers of the table, as Q4_0 has its integers."""
    block = np.zeros(len(codes), IQ4_NL)
    block["d"] = d
    block["q"] = joined(_numbers(codes).reshape(-1, 2, 16), 4)
    return _bytes(block)


def iq4_xs(codes: Bytes, d: Floats, scales: Shorts) -> Bytes:
    """As IQ4_NL in groups of 32; scales are stored 32 larger, in 4 and 2 bits."""
    block = np.zeros(len(codes), IQ4_XS)
    block["d"] = d
    k = (scales + 32).astype(np.uint16)
    block["low"] = joined((k & 15).astype(np.uint8).reshape(-1, 4, 2, 1), 4)[..., 0]
    block["high"] = np.bitwise_or.reduce(k >> 4 << np.arange(0, 16, 2, dtype=np.uint16), axis=1)
    block["q"] = joined(_numbers(codes).reshape(-1, 8, 2, 16), 4)
    return _bytes(block)
