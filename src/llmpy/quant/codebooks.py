"""IQ1_S to IQ3_S: groups of values that are rows of a codebook, with signs and small scales.

Blocks of 256. Eight signs are eight bits, or seven whose number of ones gives the eighth. The
products are taken in the order of GGML, so that the last bit agrees.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmpy.quant.bits import fields, one_bit_each
from llmpy.quant.grids import grid

__all__ = ["READERS"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_IQ1_S = np.dtype([("d", "<f2"), ("q", "u1", 32), ("high", "<u2", 8)])
_IQ1_M = np.dtype([("q", "u1", 32), ("high", "u1", 16), ("scales", "<u2", 4)])
_IQ2_XXS = np.dtype([("d", "<f2"), ("q", [("rows", "u1", 4), ("signs", "<u4")], 8)])
_IQ2_XS = np.dtype([("d", "<f2"), ("q", "<u2", 32), ("scales", "u1", 8)])
_IQ2_S = np.dtype(
    [("d", "<f2"), ("q", "u1", 32), ("signs", "u1", 32), ("high", "u1", 8), ("scales", "u1", 8)]
)
_IQ3_XXS = np.dtype([("d", "<f2"), ("q", "u1", 64), ("signs", "<u4", 8)])
_IQ3_S = np.dtype(
    [("d", "<f2"), ("q", "u1", 64), ("high", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)]
)

_SEVEN = np.arange(128, dtype=np.uint8)
_EIGHT_SIGNS = _SEVEN | ((np.bitwise_count(_SEVEN) & np.uint8(1)) << np.uint8(7))
_DELTA = np.float32(0.125)  # IQ1 shifts every level of a group by this, up or down


def _signs(bits: Bytes) -> Floats:
    """1 or -1 for each bit, lowest first: [..., n] -> [..., 8n]."""
    return np.float32(1) - np.float32(2) * one_bit_each(bits).astype(np.float32)


def _four_sevens(words: NDArray[np.uint32]) -> Bytes:
    """The signs of 32 values from the low 28 bits: [..., n] -> [..., n, 4]."""
    index = words[..., None] >> np.array([0, 7, 14, 21], np.uint32) & np.uint32(127)
    signs: Bytes = _EIGHT_SIGNS[index]
    return signs


def _nibble_scales(scales: Bytes) -> Floats:
    """Low half, then high half of each byte: [blocks, n] -> [blocks, 2n]."""
    return fields(scales[..., None], 4).reshape(len(scales), -1).astype(np.float32)


def _d(block: NDArray[np.void]) -> Floats:
    d: Floats = block["d"].astype(np.float32)[:, None]
    return d


def _signed(scales: Floats, values: Floats, signs: Floats) -> Floats:
    """scales [blocks, groups] * values * signs, [blocks, 256]."""
    shape = (*scales.shape, -1)
    result: Floats = scales[..., None] * values.reshape(shape) * signs.reshape(shape)
    return result.reshape(len(scales), 256)


def _iq2_xxs(data: Bytes) -> Floats:
    block = data.view(_IQ2_XXS)[:, 0]
    rows, words = block["q"]["rows"], block["q"]["signs"]
    step = np.float32(0.5) + (words >> np.uint32(28)).astype(np.float32)
    scales = _d(block) * step * np.float32(0.25)
    return _signed(scales, _GRIDS["IQ2_XXS"][rows], _signs(_four_sevens(words)))


def _iq2_xs(data: Bytes) -> Floats:
    block = data.view(_IQ2_XS)[:, 0]
    scales = _d(block) * (np.float32(0.5) + _nibble_scales(block["scales"])) * np.float32(0.25)
    signs = _EIGHT_SIGNS[block["q"] >> np.uint16(9)]
    return _signed(scales, _GRIDS["IQ2_XS"][block["q"] & np.uint16(511)], _signs(signs))


def _iq2_s(data: Bytes) -> Floats:
    block = data.view(_IQ2_S)[:, 0]
    scales = _d(block) * (np.float32(0.5) + _nibble_scales(block["scales"])) * np.float32(0.25)
    high = fields(block["high"][..., None], 2).reshape(-1, 32).astype(np.uint16)
    rows = block["q"] | (high << np.uint16(8))
    return _signed(scales, _GRIDS["IQ2_S"][rows], _signs(block["signs"]))


def _iq3_xxs(data: Bytes) -> Floats:
    block = data.view(_IQ3_XXS)[:, 0]
    step = np.float32(0.5) + (block["signs"] >> np.uint32(28)).astype(np.float32)
    scales = _d(block) * step * np.float32(0.5)
    return _signed(scales, _GRIDS["IQ3_XXS"][block["q"]], _signs(_four_sevens(block["signs"])))


def _iq3_s(data: Bytes) -> Floats:
    block = data.view(_IQ3_S)[:, 0]
    scales = _d(block) * (np.float32(1) + np.float32(2) * _nibble_scales(block["scales"]))
    rows = block["q"] | (one_bit_each(block["high"]).astype(np.uint16) << np.uint16(8))
    return _signed(scales, _GRIDS["IQ3_S"][rows], _signs(block["signs"]))


def _shifted(scales: Floats, rows: NDArray[np.uint16], down: NDArray[np.bool_]) -> Floats:
    """scales * (row of the codebook + delta), or - delta where `down`: all [blocks, groups]."""
    n = scales.shape[1]
    values = _GRIDS["IQ1_S"][rows].reshape(len(rows), n, -1, 8)
    shift = np.where(down, -_DELTA, _DELTA).reshape(len(rows), n, -1, 1)
    result: Floats = scales[..., None, None] * (values + shift)
    return result.reshape(len(rows), 256)


def _iq1_s(data: Bytes) -> Floats:
    block = data.view(_IQ1_S)[:, 0]
    high = block["high"]
    scales = _d(block) * (2 * (high >> np.uint16(12) & np.uint16(7)) + 1).astype(np.float32)
    top = high[..., None] >> np.array([0, 3, 6, 9], np.uint16) & np.uint16(7)
    rows = block["q"] | (top.reshape(-1, 32) << np.uint16(8))
    return _shifted(scales, rows, high >= 0x8000)


def _iq1_m(data: Bytes) -> Floats:
    block = data.view(_IQ1_M)[:, 0]
    words = block["scales"]  # their top four bits are the block's scale, the rest four small ones
    quarters = words >> np.uint16(12) << np.array([0, 4, 8, 12], np.uint16)
    d = np.bitwise_or.reduce(quarters, axis=1, dtype=np.uint16).view(np.float16)
    small = words[..., None] >> np.array([0, 3, 6, 9], np.uint16) & np.uint16(7)
    scales = d.astype(np.float32)[:, None] * (2 * small.reshape(-1, 16) + 1).astype(np.float32)
    high = fields(block["high"][..., None], 4).reshape(-1, 32).astype(np.uint16)
    rows = block["q"] | ((high & np.uint16(7)) << np.uint16(8))
    return _shifted(scales, rows, high >= 8)


_GRIDS = {name: grid(name) for name in ("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")}

READERS: dict[str, Callable[[Bytes], Floats]] = {
    "IQ1_S": _iq1_s,
    "IQ1_M": _iq1_m,
    "IQ2_XXS": _iq2_xxs,
    "IQ2_XS": _iq2_xs,
    "IQ2_S": _iq2_s,
    "IQ3_XXS": _iq3_xxs,
    "IQ3_S": _iq3_s,
}
