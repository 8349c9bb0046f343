"""Q2_K ... Q6_K, Q8_K: blocks of 256 with small integer scales for every 16 or 32 elements.

A value is (d * scale) * q, less dmin * minimum in Q2_K, Q4_K and Q5_K. The products with the small
scales are exact in float32, so only the last step rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmpy.quant.bits import fields

__all__ = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "READERS"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

Q2_K = np.dtype([("scales", "u1", 16), ("q", "u1", (2, 32)), ("d", "<f2"), ("dmin", "<f2")])
Q3_K = np.dtype([("high", "u1", 32), ("q", "u1", (2, 32)), ("scales", "u1", 12), ("d", "<f2")])
Q4_K = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("q", "u1", (4, 32))])
Q5_K = np.dtype(
    [("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("high", "u1", 32), ("q", "u1", (4, 32))]
)
Q6_K = np.dtype(
    [("low", "u1", (2, 64)), ("high", "u1", (2, 32)), ("scales", "i1", 16), ("d", "<f2")]
)
Q8_K = np.dtype([("d", "<f4"), ("q", "i1", 256), ("sums", "<i2", 16)])


def _f32(half: NDArray[np.float16]) -> Floats:
    """Return one number per block as float32 [blocks, 1]."""
    return half.astype(np.float32).reshape(-1, 1)


def _scaled(scales: Floats, q: Floats, minima: Floats | None = None) -> Floats:
    """Return scales * q - minima, [blocks, 256]; `scales` and `minima` are [blocks, groups]."""
    values = scales[..., None] * q.reshape(*scales.shape, -1)
    if minima is not None:
        values = values - minima[..., None]
    return values.reshape(len(scales), 256)


def _q2_k(data: Bytes) -> Floats:
    block = data.view(Q2_K)[:, 0]
    q = fields(block["q"], 2).astype(np.float32)
    scales = _f32(block["d"]) * (block["scales"] & 15).astype(np.float32)
    minima = _f32(block["dmin"]) * (block["scales"] >> 4).astype(np.float32)
    return _scaled(scales, q, minima)


def _q3_k(data: Bytes) -> Floats:
    block = data.view(Q3_K)[:, 0]
    low = fields(block["q"], 2).reshape(-1, 8, 32)
    high = fields(block["high"], 1)
    q = (low | (high << 2)).astype(np.float32) - np.float32(4)
    packed = block["scales"]
    four_bits = fields(packed[:, :8], 4).reshape(-1, 16)
    two_bits = fields(packed[:, 8:], 2).reshape(-1, 16)
    scales = (four_bits | (two_bits << 4)).astype(np.float32) - np.float32(32)
    return _scaled(_f32(block["d"]) * scales, q)


def _six_bit_pairs(packed: Bytes) -> tuple[Floats, Floats]:
    """Return 8 scales and 8 minima of 6 bits from 12 bytes, as Q4_K and Q5_K pack them.

    Bytes 0-3 hold scales 0-3 and bytes 4-7 minima 0-3 in their low six bits; their top two bits are
    the top of scales and minima 4-7, whose low halves share bytes 8-11.
    """
    first, second, third = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, (third & 15) | ((first >> 6) << 4)], axis=1)
    minima = np.concatenate([second & 63, (third >> 4) | ((second >> 6) << 4)], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _q4_k(data: Bytes) -> Floats:
    block = data.view(Q4_K)[:, 0]
    scales, minima = _six_bit_pairs(block["scales"])
    q = fields(block["q"], 4).astype(np.float32)
    return _scaled(_f32(block["d"]) * scales, q, _f32(block["dmin"]) * minima)


def _q5_k(data: Bytes) -> Floats:
    block = data.view(Q5_K)[:, 0]
    scales, minima = _six_bit_pairs(block["scales"])
    low = fields(block["q"], 4).reshape(-1, 8, 32)
    q = (low | (fields(block["high"], 1) << 4)).astype(np.float32)
    return _scaled(_f32(block["d"]) * scales, q, _f32(block["dmin"]) * minima)


def _q6_k(data: Bytes) -> Floats:
    block = data.view(Q6_K)[:, 0]
    low = fields(block["low"], 4).reshape(-1, 2, 4, 32)
    q = (low | (fields(block["high"], 2) << 4)).astype(np.float32) - np.float32(32)
    return _scaled(_f32(block["d"]) * block["scales"].astype(np.float32), q)


def _q8_k(data: Bytes) -> Floats:
    block = data.view(Q8_K)[:, 0]
    values: Floats = block["d"][:, None] * block["q"].astype(np.float32)
    return values


READERS: dict[str, Callable[[Bytes], Floats]] = {
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "Q8_K": _q8_k,
}
