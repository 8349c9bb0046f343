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


def check_swappable(path: Path, info: TensorInfo) -> None:
    """Refuse a tensor of a big-endian file whose type has no agreed big-endian form."""
    if info.dtype.wide is None:
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
    for position, width, count in info.dtype.wide or ():
        end = position + width * count
        run = blocks[:, position:end].reshape(len(blocks), count, width)
        blocks[:, position:end] = run[:, :, ::-1].reshape(len(blocks), width * count)
    blocks.flags.writeable = False
    result = blocks.reshape(-1)
    result.flags.writeable = False
    return result
