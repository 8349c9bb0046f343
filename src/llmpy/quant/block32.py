"""Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1: blocks of 32 small integers with one scale.

A value is d * q, or d * q + m in Q4_1 and Q5_1. Nibbles hold elements 0..15 in the low halves and
16..31 in the high ones; the fifth bits lie apart, one bit per element in order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmpy.quant.bits import nibbles, one_bit_each

__all__ = ["LAYOUTS", "READERS"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

LAYOUTS = {
    "Q4_0": np.dtype([("d", "<f2"), ("low", "u1", 16)]),
    "Q4_1": np.dtype([("d", "<f2"), ("m", "<f2"), ("low", "u1", 16)]),
    "Q5_0": np.dtype([("d", "<f2"), ("high", "u1", 4), ("low", "u1", 16)]),
    "Q5_1": np.dtype([("d", "<f2"), ("m", "<f2"), ("high", "u1", 4), ("low", "u1", 16)]),
    "Q8_0": np.dtype([("d", "<f2"), ("q", "i1", 32)]),
    "Q8_1": np.dtype([("d", "<f2"), ("sum", "<f2"), ("q", "i1", 32)]),
}


def _read(name: str, offset: int) -> Callable[[Bytes], Floats]:
    layout = LAYOUTS[name]
    fields = layout.names or ()

    def read(data: Bytes) -> Floats:
        block = data.view(layout)
        if "q" in fields:
            q = block["q"]
        elif "high" in fields:
            q = nibbles(block["low"]) | (one_bit_each(block["high"]) << np.uint8(4))
        else:
            q = nibbles(block["low"])
        q = q.reshape(len(data), 32)
        values: Floats = block["d"].astype(np.float32) * (q.astype(np.float32) - np.float32(offset))
        return values + block["m"].astype(np.float32) if "m" in fields else values

    return read


READERS: dict[str, Callable[[Bytes], Floats]] = {
    "Q4_0": _read("Q4_0", 8),
    "Q4_1": _read("Q4_1", 0),
    "Q5_0": _read("Q5_0", 16),
    "Q5_1": _read("Q5_1", 0),
    "Q8_0": _read("Q8_0", 0),
    "Q8_1": _read("Q8_1", 0),
}
