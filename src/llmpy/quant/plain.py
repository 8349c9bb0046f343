"""F32, F16, BF16, F64: one number after another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["READERS", "WRITERS"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def _read(stored: str) -> Callable[[Bytes], Floats]:
    def read(blocks: Bytes) -> Floats:
        return blocks.view(stored).astype(np.float32)

    return read


def _read_bf16(blocks: Bytes) -> Floats:
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _write(stored: str) -> Callable[[Floats], Bytes]:
    def write(values: Floats) -> Bytes:
        return values.astype(stored).view(np.uint8)

    return write


def _write_bf16(values: Floats) -> Bytes:
    bits = values.view(np.uint32)
    nearest = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16  # ties to even
    quiet = (bits >> 16) | 0x40  # rounding must not turn a NaN into infinity
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(is_nan, quiet, nearest).astype("<u2").view(np.uint8)


READERS: dict[str, Callable[[Bytes], Floats]] = {
    "F32": _read("<f4"),
    "F16": _read("<f2"),
    "F64": _read("<f8"),
    "BF16": _read_bf16,
}
WRITERS: dict[str, Callable[[Floats], Bytes]] = {
    "F32": _write("<f4"),
    "F16": _write("<f2"),
    "BF16": _write_bf16,
}
