"""Tensors on a device: matrices in tiles of 32 rows, whatever their type, and float32 values.

A tile has word after word of its 32 rows, [words][32] of 32 bits, so that 32 invocations next to
each other, a row each, read next to each other. The words of a row are the file's bytes: nothing is
converted, and memory is the file's size but for the last tile and the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.gpu.device import Buffer, Device, Step
from llmpy.dtypes import BY_NAME, DType
from llmpy.errors import BackendError

__all__ = [
    "ROWS_OF_TILE",
    "TYPES",
    "Kept",
    "Part",
    "Tensor",
    "Uploader",
    "kept_bytes",
    "planned",
    "staging_bytes",
]

ROWS_OF_TILE = 32
STAGING = 64 << 20  # bytes of a file that are on their way at once
_LARGEST_F16 = 65504.0
TYPES = (
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
    "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
)  # fmt: skip
"""The storage types that kernels read; others become F16."""
_EMBEDDED = {"embed", "embed_position", "embed_row"}
_PRODUCTS = {2: {"linear"}, 3: {"linear_heads", "moe"}}


@dataclass
class Kept:
    """A buffer that stays."""

    buffer: Buffer


@dataclass
class Part:
    """A piece of a tensor that a kernel can be bound to: rows of a matrix, or some matrices.

    It begins at tile number `base` of its buffer.
    """

    buffer: Buffer
    tiles: int  # of a matrix
    first_row: int
    n_rows: int
    first_matrix: int = 0
    n_matrices: int = 1
    base: int = 0


@dataclass
class Tensor:
    """A tensor on the device; `shape` ends with the length of a row.

    `parts`: tiles of rows of `words`, for matmuls and embeddings. `values`: float32, for all else.
    `host`: the same in host memory, for what the host computes. `fixed`: plans know where it is.
    """

    dtype: DType
    shape: tuple[int, ...]
    words: int = 0
    parts: list[Part] = field(default_factory=list)
    values: Kept | None = None
    host: NDArray[np.float32] | None = None
    fixed: bool = False


def row_words(dtype: DType, n: int) -> int:
    """Return the 32-bit words of a row of `n` values; plain numbers are filled up to 16."""
    return -(-dtype.row_bytes(-(-n // 16) * 16 if dtype.is_float else n) // 4)


def _is_tiled(shape: tuple[int, ...], uses: frozenset[str]) -> bool:
    return bool(
        uses & (_PRODUCTS.get(len(shape), set()) | (_EMBEDDED if len(shape) == 2 else set()))
    )


def _has_values(shape: tuple[int, ...], uses: frozenset[str]) -> bool:
    return bool(uses - _EMBEDDED - _PRODUCTS.get(len(shape), set()))


def kept_bytes(dtype: DType, shape: tuple[int, ...], uses: frozenset[str]) -> int:
    """Return the bytes that a tensor takes on the device."""
    total = 0
    if _is_tiled(shape, uses):
        kind = dtype if dtype.name in TYPES else BY_NAME["F16"]
        rows = -(-shape[-2] // ROWS_OF_TILE) * ROWS_OF_TILE
        total += prod(shape[:-2]) * rows * 4 * row_words(kind, shape[-1])
    if _has_values(shape, uses):
        total += 4 * prod(shape)
    return total


def staging_bytes(n: int) -> int:
    """Return the bytes of staging through which a tensor of `n` bytes passes."""
    return min(STAGING, 1 << max(0, n - 1).bit_length())


def planned(dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor without memory, to see what a graph needs."""
    return Tensor(dtype, shape)


class Uploader:
    """Brings tensors to a device through one staging buffer."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._staging: Buffer = None
        self._size = 0
        self._nothing = device.buffer(64), device.buffer(64)  # for the header and the arena

    def upload(
        self, name: str, dtype: DType, shape: tuple[int, ...], data: NDArray[np.uint8],
        uses: frozenset[str],
    ) -> Tensor:  # fmt: skip
        """Return the tensor on the device; BackendError for bytes that are not such a tensor."""
        if dtype.name not in quant.readable:
            raise BackendError(f"tensor {name!r}: llmpy cannot read the type {dtype} yet")
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        expected = dtype.row_bytes(shape[-1]) * prod(shape[:-1])
        if data.size != expected:
            raise BackendError(f"tensor {name!r}: expected {expected} bytes, found {data.size}")
        tensor = Tensor(dtype, shape)
        if _has_values(shape, uses):
            values = quant.dequantize(dtype, data, shape)
            tensor.values = Kept(self.filled(values))
            tensor.host = values if "rope" in uses else None
        if _is_tiled(shape, uses):
            if dtype.name not in TYPES:
                values = quant.dequantize(dtype, data, shape)
                with np.errstate(invalid="ignore"):
                    fits = bool(np.nanmax(np.abs(values), initial=0) <= _LARGEST_F16)
                tensor.dtype = BY_NAME["F16" if fits else "F32"]
                data = values.astype(np.float16 if fits else np.float32).reshape(-1).view(np.uint8)
            self._pack(tensor, data)
        return tensor

    def close(self) -> None:
        """Free the staging buffer."""
        staging, self._staging, self._size = self._staging, None, 0
        if staging is not None:
            self._device.free(staging)

    def filled(self, values: NDArray[np.float32]) -> Buffer:
        """Return a buffer with these values."""
        buffer = self._device.buffer(max(64, values.nbytes))
        self._device.write(buffer, 0, values)
        return buffer

    def _pack(self, tensor: Tensor, data: NDArray[np.uint8]) -> None:
        """Make the parts of a tensor from its rows."""
        *matrices, n_out, n_in = tensor.shape
        n, row_bytes = prod(matrices), tensor.dtype.row_bytes(n_in)
        tensor.words = row_words(tensor.dtype, n_in)
        rows = data.reshape(n, n_out, row_bytes)
        for part in self._parts(tensor, n, n_out):
            size = part.n_matrices * part.tiles * ROWS_OF_TILE * 4 * tensor.words
            part.buffer = self._device.buffer(size)
            tensor.parts.append(part)
            for i in range(part.n_matrices):
                some = rows[part.first_matrix + i, part.first_row : part.first_row + part.n_rows]
                self._tiles(some, part, i * part.tiles, tensor.words)

    def _parts(self, tensor: Tensor, n: int, n_out: int) -> Iterator[Part]:
        """The pieces that a device can bind."""
        tile = ROWS_OF_TILE * 4 * tensor.words
        most = self._device.limit // tile  # tiles
        tiles = -(-n_out // ROWS_OF_TILE)
        if most >= tiles:
            step = most // tiles
            for first in range(0, n, step):
                yield Part(None, tiles, 0, n_out, first, min(step, n - first))
        elif n == 1 and most:
            for first in range(0, n_out, most * ROWS_OF_TILE):
                some = min(most * ROWS_OF_TILE, n_out - first)
                yield Part(None, -(-some // ROWS_OF_TILE), first, some)
        else:
            raise BackendError(
                f"gpu: a matrix {tensor.shape} of {tensor.dtype} is larger than the "
                f"{self._device.limit} bytes that the device binds at once"
            )

    def _tiles(self, rows: NDArray[np.uint8], part: Part, tile: int, words: int) -> None:
        """Pack rows [n, bytes] from that tile of the part on."""
        row_bytes = rows.shape[1]
        at_once = max(1, STAGING // (ROWS_OF_TILE * row_bytes)) * ROWS_OF_TILE
        for first in range(0, len(rows), at_once):
            some = rows[first : first + at_once].reshape(-1)
            tiles = -(-(some.size // row_bytes) // ROWS_OF_TILE)
            size = -(-some.size // 4) * 4
            self._reserve(size)
            whole = some.size // 4 * 4
            if whole:
                self._device.write(self._staging, 0, some[:whole])
            if whole < size:
                self._device.write(self._staging, whole, np.resize(some[whole:], 4))
            values: Mapping[str, Any] = {
                "n_rows": some.size // row_bytes, "row_bytes": row_bytes, "words": words,
                "start": 0,
                "to": (tile + first // ROWS_OF_TILE) * ROWS_OF_TILE * words,
            }  # fmt: skip
            items = tiles * ROWS_OF_TILE * words
            step = Step("pack", "once", items, values, (Kept(self._staging), part))
            self._device.run(self._device.program([step], *self._nothing), {"once": 1})

    def _reserve(self, size: int) -> None:
        if size > self._size:
            self.close()
            self._size = max(size, staging_bytes(size))
            self._staging = self._device.buffer(self._size)
