"""The memory of sequences whose layers lie on several backends: a piece has one in each pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import KeyedPool, KvCache, KvPool, MemoryPool, SlottedPool, WindowedPool
from llmpy.graph import Part

__all__ = ["Pieces", "SplitKvPool"]


class Pieces:
    """A `MemoryPool` of pieces that consist of one of each pool of `pools` that has bytes.

    `ids` [pools, pieces + 1] has their ids there, 0 where there is none.
    """

    def __init__(self, pools: Sequence[MemoryPool | None]) -> None:
        self.pools = [pool if pool is not None and pool.n_bytes else None for pool in pools]
        self.n_bytes = sum(pool.n_bytes for pool in self.pools if pool is not None)
        self.ids: NDArray[np.uint64] = np.zeros((len(pools), 1), np.uint64)
        self._used: set[int] = set()
        self._free: list[int] = []

    def allocate(self) -> int:
        """Return the id of a piece."""
        found: list[int] = []
        try:
            for pool in self.pools:
                found.append(0 if pool is None else pool.allocate())
        except BaseException:
            self._give_back(found)
            raise
        if not self._free:
            n = self.ids.shape[1]
            self.ids = np.concatenate([self.ids, np.zeros_like(self.ids)], axis=1)
            self._free.extend(range(2 * n - 1, n - 1, -1))
        piece = self._free.pop()
        self.ids[:, piece] = found
        self._used.add(piece)
        return piece

    def free(self, piece: int) -> None:
        """Free a piece."""
        if piece in self._used:
            self._used.discard(piece)
            self._give_back(self.ids[:, piece].tolist())
            self._free.append(piece)

    def copy(self, source: int, target: int) -> None:
        """Copy all parts."""
        for (pool, a), (_, b) in zip(self._parts(source), self._parts(target), strict=True):
            pool.copy(a, b)

    def read(self, piece: int) -> bytes:
        """Return the parts one after another."""
        return b"".join(pool.read(part) for pool, part in self._parts(piece))

    def write(self, piece: int, data: bytes) -> None:
        """Set all parts."""
        parts = self._parts(piece)
        if len(data) != self.n_bytes:
            raise ValueError(f"kv pool: expected {self.n_bytes} bytes, found {len(data)}")
        start = 0
        for pool, part in parts:
            pool.write(part, data[start : start + pool.n_bytes])
            start += pool.n_bytes

    def part(self, i: int, piece: int) -> int:
        """Return the id of a piece in pool number `i`."""
        self._parts(piece)
        return int(self.ids[i, piece])

    def _parts(self, piece: int) -> list[tuple[MemoryPool, int]]:
        if piece not in self._used:
            raise ValueError(f"kv pool: {piece} is not the id of a piece of memory")
        ids = self.ids[:, piece].tolist()
        return [(pool, i) for pool, i in zip(self.pools, ids, strict=True) if pool is not None]

    def _give_back(self, ids: Sequence[int]) -> None:
        for pool, i in zip(self.pools, ids, strict=False):
            if pool is not None:
                pool.free(i)


class SlottedPieces(Pieces):
    """Pieces of pools that all know which byte belongs to which token."""

    def slots(self) -> NDArray[np.uint8]:
        """Return which token each byte of a page belongs to."""
        pools: list[Any] = [pool for pool in self.pools if pool is not None]
        found = [pool.slots() for pool in pools]
        return np.concatenate(found) if found else np.zeros(0, np.uint8)


class SplitKvPool:
    """A `WindowedPool` and a `KeyedPool` over the pools of all parts of a graph."""

    def __init__(self, pools: Sequence[KvPool], parts: Sequence[Part]) -> None:
        self.pools = pools
        self._parts = parts
        windowed = [pool if isinstance(pool, WindowedPool) else None for pool in pools]
        self.pages = _pieces([pool.pages for pool in pools])
        self.states = Pieces([pool.states for pool in pools])
        self.windowed = _pieces([None if pool is None else pool.windowed for pool in windowed])
        self.window = max(0 if pool is None else pool.window for pool in windowed)
        self.windowed_caches = frozenset(
            part.caches[cache]
            for pool, part in zip(windowed, parts, strict=True)
            if pool is not None
            for cache in pool.windowed_caches
        )
        self.layout = f"split({', '.join(pool.layout for pool in pools)})"

    @property
    def has_keys(self) -> bool:
        """Whether all pools can change keys."""
        return all(isinstance(pool, KeyedPool) and pool.has_keys for pool in self.pools)

    def keys(self, page: int, cache: int) -> NDArray[np.float32]:
        """Return the keys of a cache of the whole graph in a page: [PAGE_TOKENS, heads, d]."""
        pool, piece, own = self._of(page, cache)
        found: NDArray[np.float32] = pool.keys(piece, own)
        return found

    def set_keys(self, page: int, cache: int, keys: NDArray[np.float32], first: int) -> None:
        """Store keys of the page's tokens from number `first` on."""
        pool, piece, own = self._of(page, cache)
        pool.set_keys(piece, own, keys, first)

    def cache(self, i: int, of: KvCache) -> PartCache:
        """Return the cache of a sequence as part number `i` sees it."""
        return PartCache(self, i, of)

    def _of(self, page: int, cache: int) -> tuple[Any, int, int]:
        """The pool of a cache, the id of its piece there, and its number there."""
        i = next(i for i, part in enumerate(self._parts) if cache in part.caches)
        pieces = self.windowed if cache in self.windowed_caches else self.pages
        return self.pools[i], pieces.part(i, page), self._parts[i].caches.index(cache)


class PartCache:
    """The `KvCache` of a sequence with the ids of one part's pool."""

    __slots__ = ("n_pages", "page_table", "state", "window_table")

    def __init__(self, pool: SplitKvPool, i: int, of: KvCache) -> None:
        self.n_pages = of.n_pages
        self.page_table = pool.pages.ids[i][of.page_table[: of.n_pages].astype(np.int64)]
        self.window_table = pool.windowed.ids[i][of.window_table[: of.n_pages].astype(np.int64)]
        self.state = int(pool.states.ids[i][of.state])


def _pieces(pools: Sequence[MemoryPool | None]) -> Pieces:
    slotted = all(pool is None or isinstance(pool, SlottedPool) for pool in pools)
    return SlottedPieces(pools) if slotted else Pieces(pools)
