"""The memory of a sequence: pages of the KV cache, and the state of recurrent layers.

Sequences with a common past share both: a page is copied only when it is written while another
sequence holds it too. Pages given back are kept by the pool of their plan for the next sequence.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, Page, Plan
from llmpy.ffi import address

__all__ = ["PagePool", "PagedState"]

KEPT_BYTES = 64 << 20  # of free pages; more goes back to the system at once


class PagePool:
    """The pages of one model. Its lock guards the reference counts."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._free: list[Page] = []
        self._kept = max(1, KEPT_BYTES // max(1, plan.page_bytes))
        self.has_pages = plan.page_bytes > 0
        self.is_recurrent = plan.recurrent_bytes > 0
        self.lock = threading.RLock()  # a session may be collected inside
        # Those that sessions hold. Without this a page would be garbage with its session where that
        # is part of a cycle: its memory would be freed although the session gives it back.
        self._held: set[Page] = set()
        self._recurrent: set[Page] = set()  # the same for what recurrent layers remember

    @property
    def in_use(self) -> int:
        """How many pages sessions hold."""
        return len(self._held)

    def take(self) -> Page:
        """A page that nobody else holds; its old contents are never read."""
        with self.lock:
            page = self._free.pop() if self._free else None
        if page is None:
            page = self._plan.new_page()
        page.refs = 1
        with self.lock:
            self._held.add(page)
        return page

    def own(self, page: Page) -> Page:
        """`page` if only the caller holds it, else a copy, for writing."""
        if page.refs == 1:
            return page
        copy = self._plan.copy_page(page)
        with self.lock:
            self._held.add(copy)
        self.give(page)
        return copy

    def share(self, page: Page) -> Page:
        """One more holder."""
        with self.lock:
            page.refs += 1
        return page

    def give(self, page: Page) -> None:
        """One holder less; the last one returns it to the pool."""
        with self.lock:
            page.refs -= 1
            if page.refs == 0:
                self._held.remove(page)
                if len(self._free) < self._kept:
                    self._free.append(page)

    def own_recurrent(self, memory: Page | None) -> Page:
        """`memory` if only the caller holds it, a copy if others do, a new one in place of None."""
        if memory is not None and memory.refs == 1:
            return memory
        own = self._plan.new_recurrent() if memory is None else self._plan.copy_recurrent(memory)
        with self.lock:
            self._recurrent.add(own)
        if memory is not None:
            self.give_recurrent(memory)
        return own

    def give_recurrent(self, memory: Page) -> None:
        """One holder less."""
        with self.lock:
            memory.refs -= 1
            if memory.refs == 0:
                self._recurrent.discard(memory)

    def clear(self) -> None:
        """Free all memory at once, also that of sessions, which must not be read again."""
        with self.lock:
            self._free.clear()
            self._kept = 0
            for page in (*self._held, *self._recurrent):
                page.memory, page.address = None, 0


class PagedState:
    """A session's pages in order, and their addresses in one array for native code.

    Recurrent memory belongs to one number of tokens read: it goes on from there, or starts again.
    """

    def __init__(self, pool: PagePool, n_ctx: int) -> None:
        self._pool = pool
        self.pages: list[Page] = []
        self.addresses: NDArray[np.uint64] = np.zeros(-(-n_ctx // PAGE_TOKENS), np.uint64)
        self.addresses_at: int = address(self.addresses)
        self.recurrent: Page | None = None
        self._n_read = 0  # by the recurrent memory; -1 while a step changes it

    def prepare(self, start: int, end: int) -> None:
        """Make positions `start` to `end` (exclusive) writable: own memory, and enough of it.

        Once the step is done, `done(end)` must follow.
        """
        if self._pool.has_pages:
            self._prepare_pages(start, end)
        if self._pool.is_recurrent:
            assert self._n_read == start, "recurrent memory cannot go on from here"
            self.recurrent = self._pool.own_recurrent(self.recurrent)
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

        Returns how many of them need not be read again: all, or none where recurrent memory has
        read more, or a step failed.
        """
        if self._pool.is_recurrent and self._n_read != n_tokens:
            self._n_read, n_tokens = 0, 0
            memory, self.recurrent = self.recurrent, None
            if memory is not None:
                self._pool.give_recurrent(memory)
        n = -(-n_tokens // PAGE_TOKENS)
        while len(self.pages) > n:
            self._pool.give(self.pages.pop())
            self.addresses[len(self.pages)] = 0
        return n_tokens

    def fork(self) -> PagedState:
        """The same past for another session: memory is shared until one of them writes."""
        other = PagedState(self._pool, len(self.addresses) * PAGE_TOKENS)
        other.pages = [self._pool.share(page) for page in self.pages]
        other.addresses[:] = self.addresses
        other.recurrent = self.recurrent and self._pool.share(self.recurrent)
        other.done(self._n_read)
        return other

    def n_shared(self, start: int) -> int:
        """How many pages must be copied before positions from `start` on can be written."""
        if start % PAGE_TOKENS == 0 or not self.pages:
            return 0
        return int(self.pages[start // PAGE_TOKENS].refs > 1)

    def _prepare_pages(self, start: int, end: int) -> None:
        for i in range(start // PAGE_TOKENS, -(-end // PAGE_TOKENS)):
            if i < len(self.pages):
                page = self.pages[i] = self._pool.own(self.pages[i])
            else:
                page = self._pool.take()
                self.pages.append(page)
            self.addresses[i] = page.address
