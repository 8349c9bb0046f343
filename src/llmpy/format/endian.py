"""Tensor bytes of big-endian files: which bytes of a block are a number wider than one byte.

Only those are swapped; nibbles and single bytes are the same in either order. Types whose blocks
are read at several widths (IQ1_M, IQ2_XXS, IQ3_XXS) have no agreed big-endian form and are refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import UnsupportedModelError
from llmpy.format.container import TensorInfo
from llmpy.format.cursor import quoted

__all__ = ["check_swappable", "to_little_endian"]

# Type -> (position in the block, width in bytes, how many) of each run of wider numbers.
_WIDE: dict[str, list[tuple[int, int, int]]] = {
    "F32": [(0, 4, 1)],
    "F16": [(0, 2, 1)],
    "BF16": [(0, 2, 1)],
    "F64": [(0, 8, 1)],
    "I8": [],
    "I16": [(0, 2, 1)],
    "I32": [(0, 4, 1)],
    "I64": [(0, 8, 1)],
    "Q4_0": [(0, 2, 1)],
    "Q4_1": [(0, 2, 2)],
    "Q5_0": [(0, 2, 1)],
    "Q5_1": [(0, 2, 2)],
    "Q8_0": [(0, 2, 1)],
    "Q8_1": [(0, 2, 2)],
    "Q2_K": [(80, 2, 2)],
    "Q3_K": [(108, 2, 1)],
    "Q4_K": [(0, 2, 2)],
    "Q5_K": [(0, 2, 2)],
    "Q6_K": [(208, 2, 1)],
    "Q8_K": [(0, 4, 1), (260, 2, 16)],
    "IQ2_XS": [(0, 2, 33)],
    "IQ2_S": [(0, 2, 1)],
    "IQ3_S": [(0, 2, 1)],
    "IQ1_S": [(0, 2, 1), (34, 2, 8)],
    "IQ4_NL": [(0, 2, 1)],
    "IQ4_XS": [(0, 2, 2)],
    "TQ1_0": [(52, 2, 1)],
    "TQ2_0": [(64, 2, 1)],
    "MXFP4": [],
    "NVFP4": [],
    "Q1_0": [(0, 2, 1)],
    "Q2_0": [(0, 2, 1)],
}


def check_swappable(path: Path, info: TensorInfo) -> None:
    """Refuse a tensor of a big-endian file whose type has no agreed big-endian form."""
    if info.dtype.name not in _WIDE:
        raise UnsupportedModelError(
            path,
            f"tensor {quoted(info.name)} type",
            "one with a known big-endian form",
            info.dtype.name,
            hint="Get the little-endian file of this model.",
        )


def to_little_endian(info: TensorInfo, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A read-only copy of a tensor's bytes with the order of its wider numbers reversed.

    The same function turns little-endian bytes into big-endian ones.
    """
    blocks = data.reshape(len(data) // info.dtype.size, info.dtype.size).copy()
    for position, width, count in _WIDE[info.dtype.name]:
        end = position + width * count
        run = blocks[:, position:end].reshape(len(blocks), count, width)
        blocks[:, position:end] = run[:, :, ::-1].reshape(len(blocks), width * count)
    blocks.flags.writeable = False
    result = blocks.reshape(-1)
    result.flags.writeable = False
    return result
