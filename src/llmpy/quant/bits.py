"""Taking small integers out of bytes: the steps that several storage types share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fields", "nibbles", "one_bit_each"]

Bytes = NDArray[np.uint8]


def fields(data: Bytes, width: int) -> Bytes:
    """Return the fields of each byte, lowest bits first: [..., n] -> [..., 8 // width, n]."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    return (data[..., None, :] >> shifts) & np.uint8((1 << width) - 1)


def nibbles(data: Bytes) -> Bytes:
    """Return all low halves, then all high halves: [..., n] -> [..., 2n]."""
    return np.concatenate([data & np.uint8(15), data >> np.uint8(4)], axis=-1)


def one_bit_each(data: Bytes) -> Bytes:
    """Return the bits of consecutive bytes, lowest first: [..., n] -> [..., 8n]."""
    return np.unpackbits(data, axis=-1, bitorder="little")
