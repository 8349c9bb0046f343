"""The prefix cache: what was computed for one sequence, found again for another with its tokens.

A page of 64 tokens has a key: a hash of its tokens and of the key of the page before it, and so of
all tokens from the first one on. Keys and values of the page, and the state of recurrent layers
behind it, are kept under that key when the sequence goes on, is rewound, or ends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence as Ids
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS
from llmpy.engine.cache import Page, PagePool
from llmpy.engine.sequence import Sequence

__all__ = ["PrefixCache", "PrefixStats"]

LEAST_BYTES = 512  # that a page takes here, even if it has none itself


class PrefixStats(NamedTuple):
    """The size and the hit counts of a prefix cache.

    It holds `n_bytes` of at most `max_bytes`: `n_pages` pages of 64 tokens, and `n_states`
    recurrent states. Of `n_asked` prompt tokens that fill pages, `n_found` were not computed again.
    """

    n_bytes: int
    max_bytes: int
    n_pages: int
    n_states: int
    n_asked: int
    n_found: int

    @property
    def hit_rate(self) -> float:
        """Hit rate: `n_found` / `n_asked`, from 0 to 1."""
        return self.n_found / self.n_asked if self.n_asked else 0.0


class PrefixCache:
    """Pages and recurrent states of `pool`, by the tokens before their end.

    It holds at most `max_bytes`, of two kinds half each; what was used least recently goes first. A
    page is used with all before it, and counts as used before those, so that none outlives them.
    `root` stands for the model and the layout of its pages. All calls belong under the engine's
    lock.
    """

    def __init__(self, pool: PagePool, root: str, max_bytes: int) -> None:
        kinds = (pool.whole_bytes > 0) + (pool.windowed_bytes > 0) + pool.is_recurrent
        most = max_bytes // max(1, kinds)
        self._pool = pool
        self._root = blake2b(root.encode(), digest_size=16).digest()
        self._pages: OrderedDict[bytes, Page] = OrderedDict()  # the least recently used first
        self._near: OrderedDict[bytes, Page] = OrderedDict()  # those with their part for windows
        self._states: OrderedDict[bytes, Page] = OrderedDict()
        self._max_bytes = max_bytes
        self._max_pages = most // max(pool.whole_bytes, LEAST_BYTES) if pool.has_pages else 0
        self._max_near = most // pool.windowed_bytes if pool.window else 0
        self._max_states = most // pool.kv.states.n_bytes if pool.is_recurrent else 0
        self._n_asked = self._n_found = 0

    def find(self, sequence: Sequence, most: int) -> int:
        """Share with a sequence what is known of its first `most` tokens, beyond what it has.

        Returns how many tokens that were; they are counted as asked for.
        """
        n_before = sequence.n_cached
        first = min(len(sequence.keys), n_before // PAGE_TOKENS)
        keys = self._known(sequence, first, sequence.tokens.part(0, most))
        self._n_asked += max(0, most // PAGE_TOKENS * PAGE_TOKENS - n_before)
        if len(keys) * PAGE_TOKENS <= n_before:
            return 0
        pages = [self._pages[key] for key in keys[first:]] if self._pool.has_pages else []
        state = self._states[keys[-1]] if self._pool.is_recurrent else None
        sequence.take(first, pages, state, keys)
        self._use(keys)
        if self._max_near:
            for key in keys[max(first, self._pool.n_passed(sequence.n_cached)) :]:
                self._use_near(key)
        n = sequence.n_cached - n_before
        self._n_found += n
        return n

    def n_known(self, sequence: Sequence, ids: Ids[int]) -> int:
        """Return with how many of `ids`, which come after a sequence, the last known page ends."""
        n = len(sequence)
        first = min(len(sequence.keys), n // PAGE_TOKENS)
        tokens = np.concatenate([sequence.tokens.part(0, n), np.array(ids, np.int32)])
        return max(0, len(self._known(sequence, first, tokens)) * PAGE_TOKENS - n)

    def _known(self, sequence: Sequence, n: int, tokens: NDArray[np.int32]) -> list[bytes]:
        """The keys of the pages that `tokens` begin with, to the last that can be gone on from.

        The sequence has the first `n` of them.
        """
        pool, keys = self._pool, sequence.keys[:n]
        near = min(sequence.open_cache.n_far, n)  # from here on pages have their part for windows
        for i in range(n, len(tokens) // PAGE_TOKENS):
            key = self._key(keys, tokens, i)
            if pool.has_pages and key not in self._pages:
                break
            keys.append(key)
            if pool.window and not self._pages[key].windowed:
                near = i + 1
            is_whole = not pool.window or near <= pool.n_passed((i + 1) * PAGE_TOKENS)
            if is_whole and (not pool.is_recurrent or key in self._states):
                n = i + 1
        return keys[:n]

    def add(self, sequence: Sequence) -> None:
        """Keep the pages that a sequence has filled, and its recurrent state at the end of one."""
        cache, keys = sequence.open_cache, sequence.keys
        n = sequence.n_cached // PAGE_TOKENS
        while len(keys) < n:
            i = len(keys)
            key = self._key(keys, sequence.tokens.part(0, sequence.n_cached), i)
            keys.append(key)
            if not self._max_pages:
                continue
            known = self._pages.get(key)
            if known is not None and self._pool.window and not known.windowed:
                self._drop(key)  # this one has more
                known = None
            if known is None:
                self._pages[key] = self._pool.keep(cache.pages[i])
            elif known is not cache.pages[i]:  # two have computed the same
                cache.replace(i, known)
            if self._max_near:
                self._use_near(key)
        state, at_end = cache.recurrent, sequence.n_cached == n * PAGE_TOKENS
        if self._max_states and state is not None and at_end and keys[-1] not in self._states:
            self._states[keys[-1]] = self._pool.share(state)
        self._use(keys)
        self._shrink(self._max_pages, self._max_near, self._max_states)

    def clear(self) -> None:
        """Let go of everything."""
        self._shrink(0, 0, 0)

    def stats(self) -> PrefixStats:
        """Return the present numbers."""
        pool, n_pages, n_states = self._pool, len(self._pages), len(self._states)
        n_bytes = n_pages * pool.whole_bytes + n_states * pool.kv.states.n_bytes
        n_bytes += len(self._near) * pool.windowed_bytes
        asked, found = self._n_asked, self._n_found
        return PrefixStats(n_bytes, self._max_bytes, n_pages, n_states, asked, found)

    def _key(self, before: list[bytes], tokens: NDArray[np.int32], i: int) -> bytes:
        """The key of page `i`, from those of the pages before it."""
        page = tokens[i * PAGE_TOKENS : (i + 1) * PAGE_TOKENS]
        return blake2b(
            (before[-1] if before else self._root) + page.tobytes(), digest_size=16
        ).digest()

    def _use(self, keys: list[bytes]) -> None:
        for key in reversed(keys):
            if key in self._pages:
                self._pages.move_to_end(key)
        if keys and keys[-1] in self._states:
            self._states.move_to_end(keys[-1])

    def _use_near(self, key: bytes) -> None:
        """Hold a page's part for windows, and count it as used."""
        if key not in self._near:
            self._near[key] = self._pool.near(self._pages[key])
        self._near.move_to_end(key)

    def _drop(self, key: bytes) -> None:
        page = self._pages.pop(key)
        if self._near.pop(key, None) is not None:
            self._pool.pass_by(page)
        self._pool.drop(page)

    def _shrink(self, max_pages: int, max_near: int, max_states: int) -> None:
        while len(self._pages) > max_pages:
            self._drop(next(iter(self._pages)))
        while len(self._near) > max_near:
            self._pool.pass_by(self._near.popitem(last=False)[1])
        while len(self._states) > max_states:
            self._pool.give_recurrent(self._states.popitem(last=False)[1])
