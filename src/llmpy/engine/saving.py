"""Computed sequences as bytes: out of the pool of an engine, and back into one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS

if TYPE_CHECKING:
    from llmpy.engine.cache import PagedState, PagePool
    from llmpy.engine.engine import Engine
    from llmpy.engine.sequence import Sequence

__all__ = ["CacheSize", "FrozenCache", "cache_size", "restore"]


@dataclass(frozen=True, slots=True)
class CacheSize:
    """The sizes of the first `n_tokens` tokens: bytes of a whole page, of the last one, of a state.

    `n_pages` are whole; the last `n_windowed` of them have `windowed` bytes more, of layers with a
    window. 0 for what is not there.
    """

    n_tokens: int
    n_pages: int
    page: int
    tail: int
    state: int
    n_windowed: int = 0
    windowed: int = 0

    @property
    def total(self) -> int:
        """All bytes together."""
        pages = self.n_pages * self.page + self.n_windowed * self.windowed
        return pages + self.tail + self.state

    @property
    def pages(self) -> list[int]:
        """The bytes of each whole page."""
        n = self.n_pages - self.n_windowed
        return [self.page] * n + [self.page + self.windowed] * self.n_windowed


def cache_size(pool: PagePool, n_tokens: int) -> CacheSize:
    """Return the size of what is saved of the first `n_tokens` tokens of a sequence."""
    whole, rest = divmod(n_tokens, PAGE_TOKENS)
    n_pages = whole if pool.has_pages else 0
    return CacheSize(
        n_tokens,
        n_pages,
        pool.whole_bytes,
        _tail_bytes(pool, rest),
        pool.kv.states.n_bytes if n_tokens else 0,
        n_pages - pool.n_passed(n_tokens) if pool.window else 0,
        pool.windowed_bytes,
    )


class FrozenCache:
    """The cache of a sequence as it is now, while the sequence goes on; to be closed.

    Whole pages are saved, and of the last one what belongs to its tokens, where the pool tells;
    else the tokens of that page are computed again. A byte of a page that was never written, or
    was taken back, may be another sequence's: none of them is saved.
    """

    def __init__(self, engine: Engine, sequence: Sequence) -> None:
        self._engine = engine
        with engine.lock:
            engine.check_open()
            cache = sequence.open_cache
            self.tokens: NDArray[np.int32] = sequence.tokens.part(0, len(sequence)).copy()
            self._cache: PagedState | None = cache.fork()
            self.size = self._measured(sequence.n_cached)

    def _measured(self, n: int) -> CacheSize:
        pool, cache = self._engine.pool, self._cache
        assert cache is not None
        self._slots = pool.slots() if n % PAGE_TOKENS else None
        if pool.is_recurrent and cache.saved_state(n) is None:
            n = 0
        if pool.has_pages and n % PAGE_TOKENS and self._slots is None:
            n = 0 if pool.is_recurrent else n // PAGE_TOKENS * PAGE_TOKENS
        return cache_size(pool, n)

    def pieces(self) -> Iterator[bytes]:
        """Yield the whole pages, the used bytes of the last one, and the recurrent state."""
        size, kv = self.size, self._engine.pool.kv
        for i in range(size.n_pages):
            yield self._read(i)
        if size.tail:
            assert self._slots is not None
            last = np.frombuffer(self._read(size.n_pages), np.uint8)
            yield last[self._slots < size.n_tokens % PAGE_TOKENS].tobytes()
        if size.state:
            with self._engine.lock:
                self._engine.check_open()
                assert self._cache is not None
                state = kv.states.read(self._cache.state)
            yield state

    def _read(self, i: int) -> bytes:
        with self._engine.lock:
            self._engine.check_open()
            assert self._cache is not None
            near = i >= self.size.n_pages - self.size.n_windowed
            return self._engine.pool.read(self._cache.pages[i], near)

    def close(self) -> None:
        """Let go of the memory."""
        with self._engine.lock:
            cache, self._cache = self._cache, None
            if cache is not None:
                cache.keep(0)


def restore(engine: Engine, sequence: Sequence, size: CacheSize, pieces: Iterator[bytes]) -> bool:
    """Give an empty sequence with its tokens what `pieces` gave; False where there is no room.

    The sequence then computes its tokens again when they are needed.
    """
    slots = engine.pool.slots() if size.tail else None
    with engine.lock:
        engine.check_open()
        if not engine.has_room(size.n_pages + bool(size.tail)):
            return False
        try:
            states = pieces if size.state else None
            n_far = size.n_pages - size.n_windowed if engine.pool.window else 0
            sequence.restore(_pages(size, slots, pieces), states, size.n_tokens, n_far)
        except BaseException:
            sequence.evict()
            raise
    return True


def _pages(
    size: CacheSize, slots: NDArray[np.uint8] | None, pieces: Iterator[bytes]
) -> Iterator[bytes]:
    for _ in range(size.n_pages):
        yield next(pieces)
    if size.tail:
        assert slots is not None
        last = np.zeros(len(slots), np.uint8)
        last[slots < size.n_tokens % PAGE_TOKENS] = np.frombuffer(next(pieces), np.uint8)
        yield last.tobytes()


def _tail_bytes(pool: PagePool, n_tokens: int) -> int:
    """Return how many bytes of a page its first `n_tokens` tokens take."""
    slots = pool.slots() if n_tokens and pool.has_pages else None
    return 0 if slots is None else int((slots < n_tokens).sum())
