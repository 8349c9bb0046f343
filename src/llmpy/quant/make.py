"""Quantizers of the 32-element types: each block to its own scale, bit for bit as in GGML."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmpy.quant.block32 import LAYOUTS

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


def _fill(name: str, q: Bytes, d: Floats, m: Floats | None = None) -> Bytes:
    """Return blocks of type `name` with the unsigned integers q [blocks, 32]."""
    layout = LAYOUTS[name]
    block = np.zeros(len(q), layout)
    block["d"] = d[:, 0]
    if m is not None:
        block["m"] = m[:, 0]
    low = q & np.uint8(15)
    block["low"] = low[:, :16] | (low[:, 16:] << np.uint8(4))
    if "high" in (layout.names or ()):
        block["high"] = np.packbits(q >> np.uint8(4), axis=1, bitorder="little")
    return block.view(np.uint8).reshape(len(q), layout.itemsize)


def _symmetric(name: str, bits: int) -> Callable[[Floats], Bytes]:
    """The value of largest size becomes the lowest integer, so that all `2^bits` are used."""
    half = 1 << (bits - 1)

    def write(x: Floats) -> Bytes:
        where = np.abs(x).argmax(axis=1, keepdims=True)
        d = np.take_along_axis(x, where, axis=1) / np.float32(-half)
        q = _floor_to_byte(x * _reciprocal(d) + np.float32(half + 0.5), 2 * half - 1)
        return _fill(name, q, d)

    return write


def _ranged(name: str, bits: int) -> Callable[[Floats], Bytes]:
    """The smallest value becomes 0, the largest 2^bits - 1."""
    largest = (1 << bits) - 1

    def write(x: Floats) -> Bytes:
        low = x.min(axis=1, keepdims=True)
        d = (x.max(axis=1, keepdims=True) - low) / np.float32(largest)
        q = _floor_to_byte((x - low) * _reciprocal(d) + np.float32(0.5), largest)
        return _fill(name, q, d, low)

    return write


def _q8_0(x: Floats) -> Bytes:
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    block = np.zeros(len(x), LAYOUTS["Q8_0"])
    block["d"] = d[:, 0]
    block["q"] = _round_half_away(x * _reciprocal(d)).astype(np.int8)
    return block.view(np.uint8).reshape(len(x), -1)


WRITERS: dict[str, Callable[[Floats], Bytes]] = {
    "Q4_0": _symmetric("Q4_0", 4),
    "Q4_1": _ranged("Q4_1", 4),
    "Q5_0": _symmetric("Q5_0", 5),
    "Q5_1": _ranged("Q5_1", 5),
    "Q8_0": _q8_0,
}
