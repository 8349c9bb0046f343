"""IQ4_NL, IQ4_XS, MXFP4, NVFP4, TQ1_0, TQ2_0, Q1_0, Q2_0: codes of a small table or range."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmpy.quant.bits import fields, nibbles, one_bit_each

__all__ = ["E2M1_TWICE", "HALF_E8M0", "IQ4_NL", "IQ4_XS", "MXFP4", "NONLINEAR", "READERS"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

NONLINEAR = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)
# Four-bit floats (sign, two bits of exponent, one of mantissa), doubled to be integers.
E2M1_TWICE = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)

IQ4_NL = np.dtype([("d", "<f2"), ("q", "u1", 16)])
IQ4_XS = np.dtype([("d", "<f2"), ("high", "<u2"), ("low", "u1", 4), ("q", "u1", (8, 16))])
MXFP4 = np.dtype([("exponent", "u1"), ("q", "u1", 16)])
_NVFP4 = np.dtype([("scales", "u1", 4), ("q", "u1", (4, 8))])
_TQ1_0 = np.dtype([("a", "u1", 32), ("b", "u1", 16), ("c", "u1", 4), ("d", "<f2")])
_TQ2_0 = np.dtype([("q", "u1", (2, 32)), ("d", "<f2")])
_Q1_0 = np.dtype([("d", "<f2"), ("q", "u1", 16)])
_Q2_0 = np.dtype([("d", "<f2"), ("q", "u1", 16)])


def _half_ue4m3() -> Floats:
    """Return half of each unsigned 8-bit float: 4 bits of exponent, 3 of mantissa."""
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, (code & 7).astype(np.float64)
    value = np.where(exponent == 0, mantissa / 512, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    value[0x7F] = 0.0
    return (value / 2).astype(np.float32)


_HALF_UE4M3 = _half_ue4m3()
# Half of 2^(code - 127): code 0 would be 2^-128, a denormal number.
HALF_E8M0 = np.ldexp(1.0, np.arange(256) - 128).astype(np.float32)


def _iq4_nl(data: Bytes) -> Floats:
    block = data.view(IQ4_NL)[:, 0]
    values: Floats = block["d"].astype(np.float32)[:, None] * NONLINEAR[nibbles(block["q"])]
    return values


def _iq4_xs(data: Bytes) -> Floats:
    block = data.view(IQ4_XS)[:, 0]
    low = fields(block["low"][..., None], 4).reshape(-1, 8)
    high = (block["high"][:, None] >> np.arange(0, 16, 2, dtype=np.uint16)) & 3
    scales = (low | (high << 4)).astype(np.float32) - np.float32(32)
    scales = block["d"].astype(np.float32)[:, None] * scales
    values: Floats = scales[..., None] * NONLINEAR[nibbles(block["q"])]
    return values.reshape(-1, 256)


def _mxfp4(data: Bytes) -> Floats:
    block = data.view(MXFP4)[:, 0]
    values: Floats = HALF_E8M0[block["exponent"]][:, None] * E2M1_TWICE[nibbles(block["q"])]
    return values


def _nvfp4(data: Bytes) -> Floats:
    block = data.view(_NVFP4)[:, 0]
    scales = _HALF_UE4M3[block["scales"]]
    values: Floats = scales[..., None] * E2M1_TWICE[nibbles(block["q"])]
    return values.reshape(-1, 64)


def _trits(data: Bytes, count: int) -> Floats:
    """Return `count` ternary digits of each byte, [blocks, count * n], all first digits first.

    A byte holds the fraction 0.d1 d2 d3 d4 d5 in base three, in 256ths: each digit falls out at the
    top when the byte is multiplied by three.
    """
    powers = np.array([1, 3, 9, 27, 81][:count], np.uint8)[:, None]
    shifted = (data[:, None, :] * powers).astype(np.uint16)
    digits: Floats = ((shifted * 3) >> 8).astype(np.float32) - np.float32(1)
    return digits.reshape(len(data), -1)


def _tq1_0(data: Bytes) -> Floats:
    block = data.view(_TQ1_0)[:, 0]
    parts = [_trits(block["a"], 5), _trits(block["b"], 5), _trits(block["c"], 4)]
    values: Floats = block["d"].astype(np.float32)[:, None] * np.concatenate(parts, axis=1)
    return values


def _tq2_0(data: Bytes) -> Floats:
    block = data.view(_TQ2_0)[:, 0]
    q = fields(block["q"], 2).astype(np.float32) - np.float32(1)
    values: Floats = block["d"].astype(np.float32)[:, None] * q.reshape(-1, 256)
    return values


def _q1_0(data: Bytes) -> Floats:
    block = data.view(_Q1_0)[:, 0]
    d = block["d"].astype(np.float32)[:, None]
    return np.where(one_bit_each(block["q"]) == 1, d, -d)


def _q2_0(data: Bytes) -> Floats:
    block = data.view(_Q2_0)[:, 0]
    q = fields(block["q"][..., None], 2).reshape(-1, 64).astype(np.float32) - np.float32(1)
    values: Floats = q * block["d"].astype(np.float32)[:, None]
    return values


READERS: dict[str, Callable[[Bytes], Floats]] = {
    "IQ4_NL": _iq4_nl,
    "IQ4_XS": _iq4_xs,
    "MXFP4": _mxfp4,
    "NVFP4": _nvfp4,
    "TQ1_0": _tq1_0,
    "TQ2_0": _tq2_0,
    "Q1_0": _q1_0,
    "Q2_0": _q2_0,
}
