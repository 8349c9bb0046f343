"""Memory of sequences as arrays, for backends that manage no memory of their own."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, KvCache, KvPool
from llmpy.backends.space import Array, Space
from llmpy.backends.windows import windows_of
from llmpy.errors import BackendError, OutOfMemory
from llmpy.graph import Graph

__all__ = ["ArrayKvPool", "ArrayPool", "Logits", "Piece"]


class Piece(NamedTuple):
    """The shape of one of the arrays in a block of a pool, and its initial value."""

    shape: tuple[int, ...]
    dtype: str
    fill: float = 0.0


class ArrayPool:
    """A `MemoryPool` whose pieces are lists of arrays, one for each of `parts`, in `space`."""

    def __init__(self, parts: Sequence[Piece], space: Space | None = None) -> None:
        self._parts = parts
        self._space = space or Space()
        self._sizes = [prod(part.shape) * np.dtype(part.dtype).itemsize for part in parts]
        self.n_bytes = sum(self._sizes)
        self._pieces: dict[int, list[Array]] = {}
        self._ids = itertools.count(1)

    def allocate(self) -> int:
        """Return the id of a new piece."""
        try:
            arrays = [self._space.full(part.shape, part.fill, part.dtype) for part in self._parts]
        except (MemoryError, RuntimeError) as error:  # the latter of torch and JAX
            raise OutOfMemory(f"cannot allocate {self.n_bytes} bytes for a KV cache") from error
        piece = next(self._ids)
        self._pieces[piece] = arrays
        return piece

    def free(self, piece: int) -> None:
        """Free a block."""
        self._pieces.pop(piece, None)

    def arrays(self, piece: int) -> list[Array]:
        """Return the arrays of a piece, to be read and replaced; ValueError for other ids."""
        try:
            return self._pieces[piece]
        except KeyError:
            raise ValueError(f"kv pool: {piece} is not the id of a piece of memory") from None

    def copy(self, source: int, target: int) -> None:
        """Copy all arrays."""
        self._fill(target, self.arrays(source))

    def slots(self) -> NDArray[np.uint8]:
        """Return which token each byte of a page belongs to: the first dimension of each array."""
        found = [
            np.repeat(np.arange(part.shape[0], dtype=np.uint8), size // part.shape[0])
            for part, size in zip(self._parts, self._sizes, strict=True)
        ]
        return np.concatenate(found) if found else np.zeros(0, np.uint8)

    def read(self, piece: int) -> bytes:
        """Return all bytes, array after array."""
        return b"".join(self._space.numpy(array).tobytes() for array in self.arrays(piece))

    def write(self, piece: int, data: bytes) -> None:
        """Set all bytes."""
        if len(data) != self.n_bytes:
            raise ValueError(f"kv pool: expected {self.n_bytes} bytes, found {len(data)}")
        found, start = [], 0
        for part, size in zip(self._parts, self._sizes, strict=True):
            values = np.frombuffer(data[start : start + size], part.dtype).reshape(part.shape)
            found.append(self._space.array(values))
            start += size
        self._fill(piece, found)

    def _fill(self, piece: int, values: Sequence[Array]) -> None:
        arrays = self.arrays(piece)
        for i, value in enumerate(values):
            arrays[i] = self._space.put(arrays[i], ..., value)


class ArrayKvPool:
    """A `WindowedPool` of arrays; `pages` has that of each cache, recurrent states are float32.

    The name of its layout is `kind` and a digest of the shapes of all caches and states.
    """

    def __init__(
        self, kind: str, graph: Graph, pages: Sequence[Piece], space: Space | None = None
    ) -> None:
        states = [Piece(part.shape, "float32", part.fill) for part in graph.recurrences]
        self._space = space or Space()
        self._float = self._space.full((1,), 0.0)
        self.layout = f"{kind}/{_digest(graph)}"
        self.windowed_caches, self.window = windows_of(graph)
        apart = [i in self.windowed_caches for i in range(len(pages))]
        self.pages = ArrayPool([p for p, a in zip(pages, apart, strict=True) if not a], space)
        self.windowed = ArrayPool([p for p, a in zip(pages, apart, strict=True) if a], space)
        self.states = ArrayPool(states, space)
        self._parts = pages
        self._place = [apart[:i].count(a) for i, a in enumerate(apart)]  # in its piece

    def stored(self, rows: Array, page: Array) -> Array:
        """Convert keys or values [T, *shape] to rows of an array of a page."""
        return self._space.cast(rows, page)

    def loaded(self, rows: Array, cache: int) -> Array:  # noqa: ARG002
        """Convert rows of a page back to keys or values, float32 [T, *shape]."""
        return self._space.cast(rows, self._float)

    def store(self, cache: int, of: KvCache, positions: NDArray[np.int64], rows: Array) -> None:
        """Write keys or values of a sequence at consecutive positions."""
        for page in range(int(positions[0]) // PAGE_TOKENS, int(positions[-1]) // PAGE_TOKENS + 1):
            here = np.flatnonzero(positions // PAGE_TOKENS == page)
            slots = positions[here] - page * PAGE_TOKENS
            arrays, at = self._arrays(int(self._table(of, cache)[page]), cache), self._place[cache]
            values = self.stored(rows[int(here[0]) : int(here[-1]) + 1], arrays[at])
            where = slice(int(slots[0]), int(slots[-1]) + 1)
            arrays[at] = self._space.put(arrays[at], where, values)

    def load(self, cache: int, of: KvCache, first: int, end: int) -> Array:
        """Return keys or values of a sequence at positions `first` to `end`.

        Those that no window can show any more are 0.
        """
        ids = self._table(of, cache)[first // PAGE_TOKENS : -(-end // PAGE_TOKENS)].tolist()
        shape, kind, _ = self._parts[cache]
        pages = [
            self._arrays(page, cache)[self._place[cache]]
            if page
            else self._space.full(shape, 0.0, kind)
            for page in ids
        ]
        start = first % PAGE_TOKENS
        rows = self._space.xp.concat(pages, axis=0)[start : start + end - first]
        return self.loaded(rows, cache)

    has_keys = True

    def keys(self, page: int, cache: int) -> NDArray[np.float32]:
        """Return the keys of a cache in a page: [PAGE_TOKENS, heads, d]."""
        rows = self.loaded(self._arrays(page, cache)[self._place[cache]], cache)
        return np.array(self._space.numpy(rows), np.float32)

    def set_keys(self, page: int, cache: int, keys: NDArray[np.float32], first: int) -> None:
        """Store keys of the page's tokens from number `first` on."""
        arrays, at = self._arrays(page, cache), self._place[cache]
        values = self.stored(self._space.array(keys[first:]), arrays[at])
        where = slice(first, PAGE_TOKENS)
        arrays[at] = self._space.put(arrays[at], where, values)

    def _arrays(self, page: int, cache: int) -> list[Array]:
        pool = self.windowed if cache in self.windowed_caches else self.pages
        return pool.arrays(page)

    def _table(self, of: KvCache, cache: int) -> NDArray[np.uint64]:
        return of.window_table if cache in self.windowed_caches else of.page_table

    @classmethod
    def checked(cls, pool: KvPool, graph: Graph) -> Self:
        """Return the pool if it has this class and the graph's layout; else raise BackendError."""
        if not isinstance(pool, cls) or not pool.layout.endswith(_digest(graph)):
            raise BackendError(f"kv pool: the layout {pool.layout!r} is not that of this graph")
        return pool


class Logits:
    """The result of a step; `fetch` converts the rows to a NumPy array."""

    def __init__(self, rows: Array, fetch: Callable[[Array], NDArray[Any]] = np.asarray) -> None:
        self._rows, self._fetch = rows, fetch

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the output rows."""
        if not isinstance(self._rows, np.ndarray):
            self._rows = self._fetch(self._rows)
        return np.ascontiguousarray(self._rows)


def _digest(graph: Graph) -> str:
    shapes = [cache.shape for cache in graph.caches], [part.shape for part in graph.recurrences]
    apart = sorted(windows_of(graph).caches)
    return f"{zlib.crc32(repr((shapes, apart)).encode()):08x}"
