"""Memory of sequences as arrays of NumPy, for backends that manage no memory of their own."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import OutOfMemory
from llmpy.graph import Graph

__all__ = ["HostPool", "Logits", "Piece", "shapes_digest"]


class Piece(NamedTuple):
    """One of the arrays that a piece of memory consists of, and what is in it at first."""

    shape: tuple[int, ...]
    dtype: type[np.generic]
    fill: float = 0.0


class HostPool:
    """A `MemoryPool` whose pieces are lists of arrays, one for each of `parts`."""

    def __init__(self, parts: Sequence[Piece]) -> None:
        self._parts = parts
        self._sizes = [prod(p.shape) * np.dtype(p.dtype).itemsize for p in parts]
        self.n_bytes = sum(self._sizes)
        self._pieces: dict[int, list[NDArray[Any]]] = {}
        self._ids = itertools.count(1)

    def allocate(self) -> int:
        """Return the id of a new piece."""
        try:
            arrays = [np.full(shape, fill, dtype) for shape, dtype, fill in self._parts]
        except MemoryError as error:
            raise OutOfMemory(f"cannot allocate {self.n_bytes} bytes for a KV cache") from error
        piece = next(self._ids)
        self._pieces[piece] = arrays
        return piece

    def free(self, piece: int) -> None:
        """Take a piece back."""
        self._pieces.pop(piece, None)

    def arrays(self, piece: int) -> list[NDArray[Any]]:
        """Return the arrays of a piece, to be read and written; ValueError for other ids."""
        try:
            return self._pieces[piece]
        except KeyError:
            raise ValueError(f"kv pool: {piece} is not the id of a piece of memory") from None

    def copy(self, source: int, target: int) -> None:
        """Copy all arrays."""
        for a, b in zip(self.arrays(source), self.arrays(target), strict=True):
            b[...] = a

    def slots(self) -> NDArray[np.uint8]:
        """Return which token each byte of a page belongs to: the first dimension of each array."""
        sizes = [size // p.shape[0] for size, p in zip(self._sizes, self._parts, strict=True)]
        tokens = [np.arange(p.shape[0], dtype=np.uint8) for p in self._parts]
        found = [np.repeat(t, size) for t, size in zip(tokens, sizes, strict=True)]
        return np.concatenate(found) if found else np.zeros(0, np.uint8)

    def read(self, piece: int) -> bytes:
        """Return all bytes, array after array."""
        return b"".join(array.tobytes() for array in self.arrays(piece))

    def write(self, piece: int, data: bytes) -> None:
        """Set all bytes."""
        if len(data) != self.n_bytes:
            raise ValueError(f"kv pool: expected {self.n_bytes} bytes, found {len(data)}")
        start = 0
        for array, size in zip(self.arrays(piece), self._sizes, strict=True):
            part = np.frombuffer(data, array.dtype, array.size, start)
            array[...] = part.reshape(array.shape)
            start += size


class Logits:
    """The result of a step that is done."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._rows = rows

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the wanted rows."""
        return self._rows


def shapes_digest(graph: Graph) -> str:
    """Eight digits of the shapes of all that sequences keep, for the name of a layout."""
    shapes = [cache.shape for cache in graph.caches], [part.shape for part in graph.recurrences]
    return f"{zlib.crc32(repr(shapes).encode()):08x}"
