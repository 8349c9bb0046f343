"""Storage types of weights in NumPy: what each block of bytes means, and how it is made.

These definitions are what every kernel is tested against: `dequantize` gives for each type exactly
the float32 numbers that the bytes stand for, computed in the one order that GGML's formats define.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import BY_NAME, DType
from llmpy.quant import block32, codebooks, kquants, make_k, plain, tables
from llmpy.quant import make as _make
from llmpy.quant.fast import quantize_tensor, weights_of

__all__ = ["dequantize", "quantize", "quantize_tensor", "readable", "weights_of", "writable"]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_READERS: dict[str, Callable[[Bytes], Floats]] = {
    **plain.READERS,
    **block32.READERS,
    **kquants.READERS,
    **tables.READERS,
    **codebooks.READERS,
}
_WRITERS: dict[str, Callable[[Floats], Bytes]] = {**plain.WRITERS, **_make.WRITERS}
_SEARCHES: dict[str, Callable[[Floats, Floats | None], Bytes]] = make_k.WRITERS

readable: frozenset[str] = frozenset(_READERS)
"""Names of the types that `dequantize` reads."""

writable: frozenset[str] = frozenset(_WRITERS) | frozenset(_SEARCHES)
"""Names of the types that `quantize` makes."""

_VALUES_AT_ONCE = 1 << 20  # bounds the temporaries to a few megabytes, and keeps them in the cache


def dequantize(dtype: DType | str, data: NDArray[np.generic], shape: tuple[int, ...]) -> Floats:
    """Return the tensor of `shape` (last dimension: whole blocks) stored in `data` as float32.

    `data` is the tensor's bytes, as an array of any type. Scales that are infinite or NaN give
    infinities and NaN. Raises ValueError if the type is not readable or the sizes disagree.
    """
    dtype = BY_NAME[dtype] if isinstance(dtype, str) else dtype
    reader = _READERS.get(dtype.name)
    if reader is None:
        raise ValueError(f"{dtype} is not readable; readable are {', '.join(sorted(readable))}")
    raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    count = math.prod(shape)
    expected = dtype.row_bytes(count)
    if raw.size != expected:
        raise ValueError(f"{dtype} of shape {shape} takes {expected} bytes, found {raw.size}")
    blocks = raw.reshape(-1, dtype.size)
    out = np.empty((count // dtype.block, dtype.block), np.float32)
    step = max(1, _VALUES_AT_ONCE // dtype.block)
    with np.errstate(all="ignore"):
        for start in range(0, len(blocks), step):
            out[start : start + step] = reader(blocks[start : start + step])
    return out.reshape(shape)


def quantize(
    dtype: DType | str,
    values: NDArray[np.floating],
    importance: NDArray[np.floating] | None = None,
) -> Bytes:
    """Return `values` (last dimension: whole blocks) as `dtype`: uint8 [..., bytes of a row].

    `importance` [length of a row] says what the square of an error costs in each column; types
    without a choice have no use for it. F16 to Q8_0 and MXFP4 have the bytes of GGML's reference
    quantizers; the others, and all with `importance`, have scales that were searched. Raises
    ValueError if the type is not writable, or a row is no whole number of blocks.
    """
    dtype = BY_NAME[dtype] if isinstance(dtype, str) else dtype
    if dtype.name not in writable:
        raise ValueError(f"{dtype} is not writable; writable are {', '.join(sorted(writable))}")
    row_bytes = dtype.row_bytes(values.shape[-1])
    blocks = np.ascontiguousarray(values, np.float32).reshape(-1, dtype.block)
    weights = None
    if importance is not None and dtype.name in _SEARCHES:
        weights = weights_of(importance, values.shape[-1]).reshape(-1, dtype.block)
    out = np.empty((len(blocks), dtype.size), np.uint8)
    step = max(1, _VALUES_AT_ONCE // dtype.block)
    with np.errstate(all="ignore"):
        for start in range(0, len(blocks), step):
            part = blocks[start : start + step]
            if weights is not None:
                rows = np.arange(start, start + len(part)) % len(weights)
                made = _SEARCHES[dtype.name](part, weights[rows])
            elif dtype.name in _WRITERS:
                made = _WRITERS[dtype.name](part)
            else:
                made = _SEARCHES[dtype.name](part, None)
            out[start : start + step] = made
    return out.reshape(*values.shape[:-1], row_bytes)
