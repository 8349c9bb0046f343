"""Computed sequences as bytes: out of the pool of an engine, and back into one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, SlottedPool

if TYPE_CHECKING:
    from llmpy.engine.cache import PagedState
    from llmpy.engine.engine import Engine
    from llmpy.engine.sequence import Sequence

__all__ = ["CacheSize", "FrozenCache", "restore", "tail_bytes"]


@dataclass(frozen=True, slots=True)
class CacheSize:
    """The sizes of the first `n_tokens` tokens: bytes of a whole page, of the last one, of a state.

    `n_pages` are whole. 0 for what is not there.
    """

    n_tokens: int
    n_pages: int
    page: int
    tail: int
    state: int

    @property
    def total(self) -> int:
        """All bytes together."""
        return self.n_pages * self.page + self.tail + self.state


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
        page, state = pool.kv.pages.n_bytes, pool.kv.states.n_bytes
        self._slots = _slots(self._engine) if page and n % PAGE_TOKENS else None
        if pool.is_recurrent and cache.saved_state(n) is None:
            n = 0
        if page and n % PAGE_TOKENS and self._slots is None:
            n = 0 if pool.is_recurrent else n // PAGE_TOKENS * PAGE_TOKENS
        whole, rest = divmod(n, PAGE_TOKENS)
        tail = int((self._slots < rest).sum()) if self._slots is not None and rest else 0
        return CacheSize(n, whole if page else 0, page, tail, state if n else 0)

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
            return self._engine.pool.kv.pages.read(self._cache.pages[i].id)

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
    slots = _slots(engine) if size.tail else None
    with engine.lock:
        engine.check_open()
        if not engine.has_room(size.n_pages + bool(size.tail)):
            return False
        try:
            states = pieces if size.state else None
            sequence.restore(_pages(size, slots, pieces), states, size.n_tokens)
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
        last = np.zeros(size.page, np.uint8)
        last[slots < size.n_tokens % PAGE_TOKENS] = np.frombuffer(next(pieces), np.uint8)
        yield last.tobytes()


def tail_bytes(engine: Engine, n_tokens: int) -> int:
    """Return how many bytes of a page its first `n_tokens` tokens take."""
    slots = _slots(engine)
    return 0 if slots is None else int((slots < n_tokens).sum())


def _slots(engine: Engine) -> NDArray[np.uint8] | None:
    pages = engine.pool.kv.pages
    return pages.slots() if isinstance(pages, SlottedPool) else None
