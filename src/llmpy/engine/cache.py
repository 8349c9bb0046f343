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

from llmpy.backends.base import PAGE_TOKENS, KvPool, MemoryPool, SlottedPool, WindowedPool

__all__ = ["Page", "PagePool", "PagedState"]

KEPT_BYTES = 64 << 20  # of free pages; more goes back to the backend at once


class Page:
    """A page, or a recurrent state: the `id` that the backend gave it, and how many hold it.

    `windowed` is the id of its part for layers with a window, which `n_near` of the holders need;
    0 once nobody does. `kept`: the prefix cache is one of the holders.
    """

    __slots__ = ("id", "kept", "n_near", "refs", "windowed")

    def __init__(self, id: int, windowed: int = 0) -> None:
        self.id = id
        self.windowed = windowed
        self.refs = self.n_near = 1
        self.kept = False


class PagePool:
    """Pages and recurrent states of `kv`, counted. Its lock guards the counts.

    `window`: the tokens that a query sees in layers with a window, 0 if nothing of them is freed.
    """

    def __init__(self, kv: KvPool) -> None:
        self.kv = kv
        self.windowed: MemoryPool | None = None
        self.window, self.windowed_caches = 0, frozenset[int]()
        if isinstance(kv, WindowedPool) and kv.window:
            self.windowed, self.window = kv.windowed, kv.window
            self.windowed_caches = kv.windowed_caches
        self.whole_bytes = kv.pages.n_bytes
        self.windowed_bytes = self.windowed.n_bytes if self.windowed else 0
        self.page_bytes = self.whole_bytes + self.windowed_bytes
        self._free: list[Page] = []
        self._kept = max(1, KEPT_BYTES // max(1, self.page_bytes))
        self.has_pages = self.page_bytes > 0
        self.is_recurrent = kv.states.n_bytes > 0
        self.lock = threading.RLock()  # a session may be collected inside
        self._held: set[Page] = set()
        self._n_idle = 0  # of these: pages that only the prefix cache holds
        self._states: set[Page] = set()

    @property
    def in_use(self) -> int:
        """The number of pages that sequences hold."""
        return len(self._held) - self._n_idle

    def n_passed(self, n_tokens: int) -> int:
        """Return how many of the first pages no window shows to those behind `n_tokens` tokens."""
        return max(0, n_tokens + 1 - self.window) // PAGE_TOKENS if self.window else 0

    def take(self, near: bool = True) -> Page:
        """A page that nobody else holds; its old contents are never read.

        It has a part for windows if it is `near`.
        """
        with self.lock:
            page = self._free.pop() if self._free else Page(0)
            try:
                if not page.id and self.whole_bytes:
                    page.id = self.kv.pages.allocate()
                if near and self.windowed and not page.windowed:
                    page.windowed = self.windowed.allocate()
            except BaseException:
                self._release(page)
                raise
            if not near:
                self._release_windowed(page)
            page.refs, page.n_near = 1, int(near)
            self._held.add(page)
        return page

    def own(self, page: Page, near: bool = True) -> Page:
        """`page` if only the caller holds it, else a copy, for writing."""
        if page.refs == 1:
            return page
        copy = self.take(near)
        if self.whole_bytes:
            self.kv.pages.copy(page.id, copy.id)
        if near and self.windowed:
            self.windowed.copy(page.windowed, copy.windowed)
        self.give(page, near)
        return copy

    def share(self, page: Page, near: bool = True) -> Page:
        """One more holder."""
        with self.lock:
            page.refs += 1
            page.n_near += near
            self._n_idle -= page.kept and page.refs == 2
        return page

    def keep(self, page: Page) -> Page:
        """The prefix cache is one more holder of a page, without its part for windows."""
        self.share(page, near=False).kept = True
        return page

    def drop(self, page: Page) -> None:
        """The prefix cache holds a page no longer."""
        with self.lock:
            self._n_idle -= page.refs == 1
            page.kept = False
            self.give(page, near=False)

    def give(self, page: Page, near: bool = True) -> None:
        """One holder less; the last one returns it to the pool."""
        with self.lock:
            page.refs -= 1
            page.n_near -= near
            self._n_idle += page.kept and page.refs == 1
            if page.refs == 0:
                self._held.discard(page)
                if len(self._free) < self._kept:
                    self._free.append(page)
                else:
                    self._release(page)
            elif page.n_near == 0:
                self._release_windowed(page)

    def near(self, page: Page) -> Page:
        """One more holder of a page's part for windows, which must be there."""
        with self.lock:
            page.n_near += 1
        return page

    def pass_by(self, page: Page) -> None:
        """One holder less of that part; the last one frees it."""
        with self.lock:
            page.n_near -= 1
            if page.n_near == 0:
                self._release_windowed(page)

    def read(self, page: Page, near: bool) -> bytes:
        """Return the bytes of a page, with its part for windows or without."""
        data = self.kv.pages.read(page.id) if self.whole_bytes else b""
        return data + self.windowed.read(page.windowed) if near and self.windowed else data

    def write(self, page: Page, near: bool, data: bytes) -> None:
        """Set the bytes of a page."""
        if self.whole_bytes:
            self.kv.pages.write(page.id, data[: self.whole_bytes])
        if near and self.windowed:
            self.windowed.write(page.windowed, data[self.whole_bytes :])

    def slots(self) -> NDArray[np.uint8] | None:
        """Return which token each byte of a page belongs to; None where the backend does not tell.

        Those of the part for windows come last.
        """
        pools = [self.kv.pages] if self.whole_bytes else []
        pools += [self.windowed] if self.windowed else []
        told = [pool.slots() for pool in pools if isinstance(pool, SlottedPool)]
        return np.concatenate(told) if told and len(told) == len(pools) else None

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
                _free_piece(self.kv.states, state)

    def clear(self) -> None:
        """Free all memory at once, also that of sequences, which must not be read again."""
        with self.lock:
            self._kept = 0
            for page in (*self._free, *self._held):
                self._release(page)
            for state in self._states:
                _free_piece(self.kv.states, state)
            self._free.clear()

    def _release(self, page: Page) -> None:
        self._release_windowed(page)
        _free_piece(self.kv.pages, page)

    def _release_windowed(self, page: Page) -> None:
        piece, page.windowed = page.windowed, 0
        if piece and self.windowed:
            self.windowed.free(piece)


def _free_piece(pool: MemoryPool, page: Page) -> None:
    """Free what a page stands for, once."""
    piece, page.id = page.id, 0
    if piece:
        pool.free(piece)


class PagedState:
    """The `KvCache` of one sequence: its pages in order, and their ids in one array for plans.

    A recurrent state belongs to one number of tokens read: it goes on from there, or starts again.
    Of its first `n_far` pages it does not hold the part for windows, which nothing behind them
    sees.
    """

    def __init__(self, pool: PagePool, n_ctx: int) -> None:
        self._pool = pool
        self.pages: list[Page] = []
        self.n_pages = 0
        self.n_far = 0
        self.page_table: NDArray[np.uint64] = np.zeros(-(-n_ctx // PAGE_TOKENS), np.uint64)
        self.window_table = np.zeros_like(self.page_table)
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
            assert self._n_read == start, "the recurrent state cannot go on from here"
            self.recurrent = self._pool.own_recurrent(self.recurrent)
            self.state = self.recurrent.id
            self._n_read = -1

    def is_writable(self, position: int) -> bool:
        """Whether `prepare` has nothing to do for it."""
        at, pages = position // PAGE_TOKENS, self.pages
        return at < len(pages) and pages[at].refs == 1 and not self._pool.is_recurrent

    def done(self, end: int) -> None:
        """The step that `prepare` was called for has run, and all before `end` is read."""
        self._n_read = end

    def pass_by(self, n_tokens: int) -> None:
        """Let go of what no window shows to the tokens behind `n_tokens`, but for a page.

        With that page, the last PAGE_TOKENS tokens can be taken back.
        """
        n_far = self._pool.n_passed(n_tokens - PAGE_TOKENS)
        for i in range(self.n_far, n_far):
            self._pool.pass_by(self.pages[i])
            self.window_table[i] = 0
            self.n_far = i + 1

    @property
    def is_recurrent(self) -> bool:
        """Whether it belongs to one number of tokens read."""
        return self._pool.is_recurrent

    def keep(self, n_tokens: int) -> int:
        """Let go of all memory behind the first `n_tokens`.

        Returns how many of them need not be read again: all, or none where the recurrent state has
        read more, a step failed, or a window shows what was freed.
        """
        if self._pool.is_recurrent and self._n_read != n_tokens:
            self._n_read, n_tokens = 0, 0
            recurrent, self.recurrent, self.state = self.recurrent, None, 0
            if recurrent is not None:
                self._pool.give_recurrent(recurrent)
        if self.n_far > self._pool.n_passed(n_tokens):
            n_tokens = 0
        self._cut(-(-n_tokens // PAGE_TOKENS))
        return n_tokens

    def _cut(self, n_pages: int) -> None:
        """Hold the first pages only."""
        while len(self.pages) > n_pages:
            self._pool.give(self.pages.pop(), near=len(self.pages) >= self.n_far)
            self.n_pages = len(self.pages)
            self.page_table[self.n_pages] = self.window_table[self.n_pages] = 0
        self.n_far = min(self.n_far, n_pages)

    def replace(self, i: int, page: Page) -> None:
        """Hold another page that has the same contents in place of page `i`."""
        near = i >= self.n_far
        self._pool.share(page, near)
        self._pool.give(self.pages[i], near)
        self._hold(i, page)

    def take(self, first: int, pages: Sequence[Page], state: Page | None, n_read: int) -> None:
        """Share `pages`, from number `first` on, and the state behind `n_read` tokens.

        What windows show of them must be there.
        """
        self._cut(first)
        n_far = self._pool.n_passed(n_read)
        if n_far > self.n_far:  # the page before is there to go back, see pass_by
            last = self.pages[n_far - 1] if n_far <= first else pages[n_far - 1 - first]
            n_far -= last.windowed > 0
        for i in range(self.n_far, min(n_far, first)):
            self._pool.pass_by(self.pages[i])
            self.window_table[i] = 0
        self.n_far = max(self.n_far, n_far)
        for i, page in enumerate(pages, first):
            self.pages.append(self._pool.share(page, near=i >= self.n_far))
            self._hold(i, page)
        self.n_pages = len(self.pages)
        if state is not None:
            if self.recurrent is not None:
                self._pool.give_recurrent(self.recurrent)
            self.recurrent, self.state = self._pool.share(state), state.id
        self._n_read = n_read

    def own_from(self, first: int) -> None:
        """Make the pages from number `first` on writable."""
        for i in range(first, len(self.pages)):
            self._hold(i, self._pool.own(self.pages[i], near=i >= self.n_far))

    def n_far_without(self, first: int, n: int, mixed: bool) -> int:
        """Return the value of `n_far` once `n` pages from number `first` on are left out.

        `mixed`: the page that comes to `first` keeps tokens of the one that was there.
        """
        if self.n_far <= first:
            return self.n_far
        return max(self.n_far - n, first + mixed)

    def leave_out(self, first: int, n: int, mixed: bool) -> None:
        """Let go of `n` pages from number `first` on; those behind move there."""
        n_far = self.n_far_without(first, n, mixed)
        for i, page in enumerate(self.pages[first : first + n], first):
            self._pool.give(page, near=i >= self.n_far)
        if mixed and self.n_far <= first + n < len(self.pages) and n_far > first:
            self._pool.pass_by(self.pages[first + n])
        del self.pages[first : first + n]
        self.n_far, self.n_pages = n_far, len(self.pages)
        self.page_table[:] = self.window_table[:] = 0
        for i, page in enumerate(self.pages):
            self._hold(i, page)

    def fork(self) -> PagedState:
        """The same past for another sequence: memory is shared until one of them writes."""
        other = PagedState(self._pool, len(self.page_table) * PAGE_TOKENS)
        other.pages = [self._pool.share(p, i >= self.n_far) for i, p in enumerate(self.pages)]
        other.n_pages, other.n_far = self.n_pages, self.n_far
        other.page_table[:] = self.page_table
        other.window_table[:] = self.window_table
        if self.recurrent is not None:
            other.recurrent, other.state = self._pool.share(self.recurrent), self.state
        other.done(self._n_read)
        return other

    def saved_state(self, n_tokens: int) -> Page | None:
        """The recurrent state after the first `n_tokens` tokens; None where it is another one's."""
        return self.recurrent if self._n_read == n_tokens else None

    def restore(
        self, pages: Iterable[bytes], states: Iterator[bytes] | None, n_tokens: int, n_far: int
    ) -> None:
        """Hold what another cache of the same layout held of the first `n_tokens` tokens.

        It must be empty. The first `n_far` pages come without their part for windows. A recurrent
        state is asked for after the pages. Raises OutOfMemory, and holds a part then.
        """
        for i, data in enumerate(pages):
            page = self._pool.take(near=i >= n_far)
            self.pages.append(page)
            self.n_far, self.n_pages = min(n_far, i + 1), i + 1
            self._hold(i, page)
            self._pool.write(page, i >= n_far, data)
        if states is not None:
            self.recurrent = self._pool.own_recurrent(None)
            self.state = self.recurrent.id
            self._pool.kv.states.write(self.state, next(states))
        self.done(n_tokens)

    def piece(self, i: int, cache: int) -> int:
        """Return the id of what page `i` holds of a cache of the graph; 0: it was freed."""
        table = self.window_table if cache in self._pool.windowed_caches else self.page_table
        return int(table[i])

    def n_shared(self, start: int) -> int:
        """Return how many pages must be copied before positions from `start` on can be written."""
        if start % PAGE_TOKENS == 0 or not self.pages:
            return 0
        return int(self.pages[start // PAGE_TOKENS].refs > 1)

    def _hold(self, i: int, page: Page) -> None:
        """Have `page` as page `i`, for plans too."""
        self.pages[i] = page
        self.page_table[i] = page.id
        if self._pool.window:
            self.window_table[i] = page.windowed if i >= self.n_far else 0

    def _prepare_pages(self, start: int, end: int) -> None:
        pages = self.pages
        for i in range(start // PAGE_TOKENS, -(-end // PAGE_TOKENS)):
            if i == len(pages):
                pages.append(self._pool.take())
                self.n_pages = i + 1
            elif pages[i].refs == 1:
                continue
            self._hold(i, self._pool.own(pages[i]))
