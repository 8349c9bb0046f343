"""The memory of a sequence: pages of the KV cache, and the state of recurrent layers.

Sequences with a common past share both: a page is copied only when it is written while another
sequence holds it too. Pages given back are kept for the next sequence. What a page is and where it
lies, only the backend knows (`KvPool`); here pages are ids with a count of holders.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, KvPool, MemoryPool

__all__ = ["Page", "PagePool", "PagedState"]

KEPT_BYTES = 64 << 20  # of free pages; more goes back to the backend at once


class Page:
    """A page, or a recurrent state: the `id` that the backend gave it, and how many hold it.

    `kept`: the prefix cache is one of them.
    """

    __slots__ = ("id", "kept", "refs")

    def __init__(self, id: int) -> None:
        self.id = id
        self.refs = 1
        self.kept = False


class PagePool:
    """Pages and recurrent states of `kv`, counted. Its lock guards the counts."""

    def __init__(self, kv: KvPool) -> None:
        self.kv = kv
        self._free: list[Page] = []
        self._kept = max(1, KEPT_BYTES // max(1, kv.pages.n_bytes))
        self.has_pages = kv.pages.n_bytes > 0
        self.is_recurrent = kv.states.n_bytes > 0
        self.lock = threading.RLock()  # a session may be collected inside
        self._held: set[Page] = set()
        self._n_idle = 0  # of these: pages that only the prefix cache holds
        self._states: set[Page] = set()

    @property
    def in_use(self) -> int:
        """The number of pages that sequences hold."""
        return len(self._held) - self._n_idle

    def take(self) -> Page:
        """A page that nobody else holds; its old contents are never read."""
        with self.lock:
            page = self._free.pop() if self._free else Page(self.kv.pages.allocate())
            page.refs = 1
            self._held.add(page)
        return page

    def own(self, page: Page) -> Page:
        """`page` if only the caller holds it, else a copy, for writing."""
        if page.refs == 1:
            return page
        copy = self.take()
        self.kv.pages.copy(page.id, copy.id)
        self.give(page)
        return copy

    def share(self, page: Page) -> Page:
        """One more holder."""
        with self.lock:
            page.refs += 1
            self._n_idle -= page.kept and page.refs == 2
        return page

    def keep(self, page: Page) -> Page:
        """The prefix cache is one more holder of a page."""
        self.share(page).kept = True
        return page

    def drop(self, page: Page) -> None:
        """The prefix cache holds a page no longer."""
        with self.lock:
            self._n_idle -= page.refs == 1
            page.kept = False
            self.give(page)

    def give(self, page: Page) -> None:
        """One holder less; the last one returns it to the pool."""
        with self.lock:
            page.refs -= 1
            self._n_idle += page.kept and page.refs == 1
            if page.refs == 0:
                self._held.discard(page)
                if len(self._free) < self._kept:
                    self._free.append(page)
                else:
                    _release(self.kv.pages, page)

    def own_recurrent(self, state: Page | None) -> Page:
        """`state` if only the caller holds it, a copy if others do, a new one in place of None."""
        if state is not None and state.refs == 1:
            return state
        with self.lock:
            own = Page(self.kv.states.allocate())
            self._states.add(own)
        if state is not None:
            self.kv.states.copy(state.id, own.id)
            self.give_recurrent(state)
        return own

    def give_recurrent(self, state: Page) -> None:
        """One holder less."""
        with self.lock:
            state.refs -= 1
            if state.refs == 0:
                self._states.discard(state)
                _release(self.kv.states, state)

    def clear(self) -> None:
        """Free all memory at once, also that of sequences, which must not be read again."""
        with self.lock:
            self._kept = 0
            for page in (*self._free, *self._held):
                _release(self.kv.pages, page)
            for state in self._states:
                _release(self.kv.states, state)
            self._free.clear()


def _release(pool: MemoryPool, page: Page) -> None:
    """Free what a page stands for, once."""
    piece, page.id = page.id, 0
    if piece:
        pool.free(piece)


class PagedState:
    """The `KvCache` of one sequence: its pages in order, and their ids in one array for plans.

    A recurrent state belongs to one number of tokens read: it goes on from there, or starts again.
    """

    def __init__(self, pool: PagePool, n_ctx: int) -> None:
        self._pool = pool
        self.pages: list[Page] = []
        self.n_pages = 0
        self.page_table: NDArray[np.uint64] = np.zeros(-(-n_ctx // PAGE_TOKENS), np.uint64)
        self.recurrent: Page | None = None
        self.state = 0
        self._n_read = 0  # by the recurrent state; -1 while a step changes it

    def prepare(self, start: int, end: int) -> None:
        """Make positions `start` to `end` (exclusive) writable: own memory, and enough of it.

        Once the step is done, `done(end)` must follow.
        """
        if self._pool.has_pages:
            self._prepare_pages(start, end)
        if self._pool.is_recurrent:
            assert self._n_read == start, "recurrent memory cannot go on from here"
            self.recurrent = self._pool.own_recurrent(self.recurrent)
            self.state = self.recurrent.id
            self._n_read = -1

    def done(self, end: int) -> None:
        """The step that `prepare` was called for has run, and all before `end` is read."""
        self._n_read = end

    @property
    def is_recurrent(self) -> bool:
        """Whether it belongs to one number of tokens read."""
        return self._pool.is_recurrent

    def keep(self, n_tokens: int) -> int:
        """Let go of all memory behind the first `n_tokens`.

        Returns how many of them need not be read again: all, or none where the recurrent state has
        read more, or a step failed.
        """
        if self._pool.is_recurrent and self._n_read != n_tokens:
            self._n_read, n_tokens = 0, 0
            recurrent, self.recurrent, self.state = self.recurrent, None, 0
            if recurrent is not None:
                self._pool.give_recurrent(recurrent)
        n = -(-n_tokens // PAGE_TOKENS)
        while len(self.pages) > n:
            self._pool.give(self.pages.pop())
            self.n_pages = len(self.pages)
            self.page_table[self.n_pages] = 0
        return n_tokens

    def replace(self, i: int, page: Page) -> None:
        """Hold another page that has the same contents in place of page `i`."""
        self._pool.give(self.pages[i])
        self.pages[i] = self._pool.share(page)
        self.page_table[i] = page.id

    def take(self, first: int, pages: Sequence[Page], state: Page | None, n_read: int) -> None:
        """Share `pages`, from number `first` on, and the state behind `n_read` tokens."""
        while len(self.pages) > first:
            self._pool.give(self.pages.pop())
        self.pages += [self._pool.share(page) for page in pages]
        self.n_pages = len(self.pages)
        self.page_table[first:] = 0
        self.page_table[first : self.n_pages] = [page.id for page in pages]
        if state is not None:
            if self.recurrent is not None:
                self._pool.give_recurrent(self.recurrent)
            self.recurrent, self.state = self._pool.share(state), state.id
        self._n_read = n_read

    def own_from(self, first: int) -> None:
        """Make the pages from number `first` on writable."""
        for i in range(first, len(self.pages)):
            self.pages[i] = self._pool.own(self.pages[i])
            self.page_table[i] = self.pages[i].id

    def leave_out(self, first: int, n: int) -> None:
        """Let go of `n` pages from number `first` on; those behind move there."""
        for page in self.pages[first : first + n]:
            self._pool.give(page)
        del self.pages[first : first + n]
        self.n_pages = len(self.pages)
        self.page_table[:] = 0
        self.page_table[: self.n_pages] = [page.id for page in self.pages]

    def fork(self) -> PagedState:
        """The same past for another sequence: memory is shared until one of them writes."""
        other = PagedState(self._pool, len(self.page_table) * PAGE_TOKENS)
        other.pages = [self._pool.share(page) for page in self.pages]
        other.n_pages = self.n_pages
        other.page_table[:] = self.page_table
        if self.recurrent is not None:
            other.recurrent, other.state = self._pool.share(self.recurrent), self.state
        other.done(self._n_read)
        return other

    def saved_state(self, n_tokens: int) -> Page | None:
        """The recurrent state after the first `n_tokens` tokens; None where it is another one's."""
        return self.recurrent if self._n_read == n_tokens else None

    def restore(
        self, pages: Iterable[bytes], states: Iterator[bytes] | None, n_tokens: int
    ) -> None:
        """Hold what another cache of the same layout held of the first `n_tokens` tokens.

        It must be empty. A recurrent state is asked for after the pages. Raises OutOfMemory, and
        holds a part then.
        """
        kv = self._pool.kv
        for data in pages:
            page = self._pool.take()
            self.pages.append(page)
            self.page_table[self.n_pages] = page.id
            self.n_pages += 1
            kv.pages.write(page.id, data)
        if states is not None:
            self.recurrent = self._pool.own_recurrent(None)
            self.state = self.recurrent.id
            kv.states.write(self.state, next(states))
        self.done(n_tokens)

    def n_shared(self, start: int) -> int:
        """Return how many pages must be copied before positions from `start` on can be written."""
        if start % PAGE_TOKENS == 0 or not self.pages:
            return 0
        return int(self.pages[start // PAGE_TOKENS].refs > 1)

    def _prepare_pages(self, start: int, end: int) -> None:
        pages, table = self.pages, self.page_table
        for i in range(start // PAGE_TOKENS, -(-end // PAGE_TOKENS)):
            if i == len(pages):
                pages.append(self._pool.take())
                self.n_pages = i + 1
            elif pages[i].refs == 1:
                continue
            else:
                pages[i] = self._pool.own(pages[i])
            table[i] = pages[i].id
