"""Quantizing a tensor with the native kernels: the bytes of `quantize`, on all processors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import DType
from llmpy.ffi import address, library
from llmpy.ffi.abi import QUANTIZE_CHUNK

__all__ = ["quantize_tensor", "weights_of"]

_LEAST = np.float32(1e-5)  # of the mean importance: no column is wholly without a say


def weights_of(importance: NDArray[np.floating], columns: int) -> NDArray[np.float32]:
    """Return the weight of the squared error in each column, 1 on average."""
    weights = np.ascontiguousarray(importance, np.float32)
    if weights.shape != (columns,):
        raise ValueError(f"importance: expected {columns} numbers, found shape {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        bad = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
        raise ValueError(
            "importance: expected finite numbers of 0 or more, found "
            f"{weights[bad]} in column {bad}"
        )
    mean = np.mean(weights, dtype=np.float64)
    if mean <= 0:
        return np.ones(columns, np.float32)
    return np.maximum((weights / mean).astype(np.float32), _LEAST)


def quantize_tensor(
    target: DType,
    source: DType,
    data: NDArray[np.uint8],
    columns: int,
    importance: NDArray[np.floating] | None = None,
    *,
    n_threads: int = 1,
    level: int = -1,
) -> tuple[NDArray[np.uint8], float, float]:
    """Rows of `columns` values, stored in `data` as F32, F16 or BF16, as the bytes of `target`.

    Also returns the sums of the squared differences between them and of the squared values. `level`
    chooses the kernels of an instruction set. Raises ValueError for types or sizes that cannot be,
    BackendError where there is no compiled library.
    """
    if source.name not in ("F32", "F16", "BF16"):
        raise ValueError(f"source: expected F32, F16 or BF16, found {source}")
    block = 32 if target.block == 1 else target.block
    n_values = data.size // source.size
    if columns < 1 or columns % block or n_values % columns or data.size % source.size:
        raise ValueError(
            f"{target}: expected rows of a multiple of {block} values, found {n_values} values "
            f"in rows of {columns}"
        )
    data = np.ascontiguousarray(data)
    weights = None if importance is None else weights_of(importance, columns)
    out = np.empty(n_values // target.block * target.size, np.uint8)
    sums = np.zeros((max(1, -(-n_values // QUANTIZE_CHUNK)), 2), np.float64)
    status = library().llmpy_quantize(
        level, source.id, target.id, address(data), n_values, columns,
        None if weights is None else address(weights), address(out), address(sums), n_threads,
    )  # fmt: skip
    if status:
        raise ValueError(f"{target} is not among the types that native code writes")
    return out, math.fsum(sums[:, 0]), math.fsum(sums[:, 1])
