"""Quantizers that leave no choice: each block of 32 to its own scale, bit for bit as in GGML."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmpy.quant.block32 import LAYOUTS
from llmpy.quant.packing import block32, joined
from llmpy.quant.tables import E2M1_TWICE, HALF_E8M0, MXFP4

__all__ = ["WRITERS"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def _reciprocal(d: Floats) -> Floats:
    reciprocal: Floats = np.where(d == 0, np.float32(0), np.float32(1) / d)
    return reciprocal


def _round_half_away(x: Floats) -> Floats:
    size = np.abs(x)
    whole = np.floor(size)
    rounded: Floats = np.sign(x) * (whole + np.floor(np.float32(2) * (size - whole)))
    return rounded


def _floor_to_byte(x: Floats, largest: int) -> Bytes:
    return np.trunc(x).astype(np.uint8).clip(0, largest)


def _symmetric(name: str, bits: int) -> Callable[[Floats], Bytes]:
    """The value of largest size becomes the lowest integer, so that all `2^bits` are used."""
    half = 1 << (bits - 1)

    def write(x: Floats) -> Bytes:
        where = np.abs(x).argmax(axis=1, keepdims=True)
        largest = np.take_along_axis(x, where, axis=1) + np.float32(0)  # never -0
        d = largest / np.float32(-half)
        q = _floor_to_byte(x * _reciprocal(d) + np.float32(half + 0.5), 2 * half - 1)
        return block32(name, 0, q, d[:, 0])

    return write


def _ranged(name: str, bits: int) -> Callable[[Floats], Bytes]:
    """The smallest value becomes 0, the largest 2^bits - 1."""
    largest = (1 << bits) - 1

    def write(x: Floats) -> Bytes:
        low = np.take_along_axis(x, x.argmin(axis=1, keepdims=True), axis=1)
        d = (x.max(axis=1, keepdims=True) - low) / np.float32(largest)
        q = _floor_to_byte((x - low) * _reciprocal(d) + np.float32(0.5), largest)
        return block32(name, 0, q, d[:, 0], low[:, 0])

    return write


def _q8_0(x: Floats) -> Bytes:
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    block = np.zeros(len(x), LAYOUTS["Q8_0"])
    block["d"] = d[:, 0]
    block["q"] = _round_half_away(x * _reciprocal(d)).astype(np.int8)
    return block.view(np.uint8).reshape(len(x), -1)


def _mxfp4(x: Floats) -> Bytes:
    """A power of two, so that the largest value is 4 to 8 of it; half-way goes towards 0."""
    size = np.abs(x)
    exponent = np.floor(np.log2(size.max(axis=1), dtype=np.float64).astype(np.float32))
    code = np.maximum(exponent + 125, 0).astype(np.uint8)
    levels = E2M1_TWICE[:8]
    middles = (levels[1:] + levels[:-1]) / np.float32(2) * HALF_E8M0[code][:, None]
    number = (middles[:, None, :] < size[:, :, None]).sum(axis=2).astype(np.uint8)
    number |= np.where((x < 0) & (number > 0), np.uint8(8), np.uint8(0))
    block = np.zeros(len(x), MXFP4)
    block["exponent"] = code
    block["q"] = joined(number.reshape(-1, 2, 16), 4)
    return block.view(np.uint8).reshape(len(x), -1)


WRITERS: dict[str, Callable[[Floats], Bytes]] = {
    "Q4_0": _symmetric("Q4_0", 4),
    "Q4_1": _ranged("Q4_1", 4),
    "Q5_0": _symmetric("Q5_0", 5),
    "Q5_1": _ranged("Q5_1", 5),
    "Q8_0": _q8_0,
    "MXFP4": _mxfp4,
}
