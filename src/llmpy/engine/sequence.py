"""A sequence of tokens, how many of them are in the KV cache, and where; no text, no threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Ids
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS
from llmpy.engine.cache import Page, PagedState, PagePool
from llmpy.engine.history import History
from llmpy.errors import SessionClosed

if TYPE_CHECKING:
    from llmpy.constraints import ConstraintState
    from llmpy.sampling import Chain, NativeChain, Rng

__all__ = ["Limits", "Sequence"]

_NUMBERS = itertools.count()


class Limits:
    """Limits that end a sequence's calls early, and its priority; any thread may change them.

    `deadline`: a time of `time.monotonic()`, or None. `priority`: of several sequences that wait,
    a higher one is computed first and loses its pages last. `interruptible`: compute prompts in
    steps of about 80 ms also in the main thread while no other session waits, so that Ctrl-C acts
    soon. `cancelled`: see `Session.cancel`.
    """

    __slots__ = ("cancelled", "deadline", "interruptible", "priority")

    def __init__(self) -> None:
        self.cancelled = False
        self.deadline: float | None = None
        self.priority = 0
        self.interruptible = False


class Sequence:
    """Token ids, of which the first `n_cached` are in `cache`, and what samples the next one.

    `keys` are those of its full pages in the prefix cache, see there; `is_ours` is False where a
    part was computed elsewhere, and is kept from other sequences. `native` is the chain for
    native code, None where Python samples; `state` is what the chain remembers of the tokens it
    drew, and is cut with them. `constraint` says which tokens may come, None for all. `number`
    grows with age: the youngest sequence has the largest. What changes the cache belongs under the
    engine's lock.
    """

    __slots__ = (
        "__weakref__", "cache", "chain", "constraint", "is_ours", "keys", "limits", "n_cached",
        "native", "number", "rng", "state", "tokens",
    )  # fmt: skip

    def __init__(
        self,
        cache: PagedState,
        chain: Chain | None = None,
        native: NativeChain | None = None,
        rng: Rng | None = None,
    ) -> None:
        self.tokens = History()
        self.n_cached = 0
        self.keys: list[bytes] = []
        self.is_ours = True
        self.cache: PagedState | None = cache
        self.rng = rng
        self.sample_with(chain, native)
        self.constraint: ConstraintState | None = None
        self.limits = Limits()
        self.number = next(_NUMBERS)

    @classmethod
    def new(
        cls,
        pool: PagePool,
        n_ctx: int,
        chain: Chain | None,
        native: NativeChain | None,
        rng: Rng | None,
    ) -> Sequence:
        """Return an empty sequence whose pages come from `pool`."""
        return cls(PagedState(pool, n_ctx), chain, native, rng)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def open_cache(self) -> PagedState:
        """The cache; SessionClosed once it is closed."""
        if self.cache is None:
            raise SessionClosed("this session is closed; make another with model.session()")
        return self.cache

    def sample_with(self, chain: Chain | None, native: NativeChain | None) -> None:
        """Sample the next tokens with another chain, which remembers nothing yet."""
        self.chain = chain
        self.native = native
        self.state = chain.initial_state() if chain is not None else None

    def append(self, ids: Ids[int] | NDArray[np.int32]) -> None:
        """Add tokens at the end, to be computed when they are needed."""
        self.tokens.append(ids)

    def commit(self, n: int) -> None:
        """Count `n` more tokens as cached: the step that computed them is done."""
        self.n_cached += n
        if self.cache is not None:
            self.cache.done(self.n_cached)

    def truncate(self, n: int) -> None:
        """Keep the first `n` tokens, and as much of the cache as belongs to them."""
        self.tokens.cut(n)
        if self.state is not None:
            self.state.cut(n)
        if self.constraint is not None:
            self.constraint.truncate(n)
        self.uncache(min(self.n_cached, n))

    def uncache(self, n: int) -> int:
        """Drop what is cached behind the first `n` tokens; return how many are cached then."""
        self.n_cached = n = self.open_cache.keep(n)
        del self.keys[n // PAGE_TOKENS :]
        return n

    def restore(
        self, pages: Iterable[bytes], states: Iterator[bytes] | None, n: int, n_far: int
    ) -> None:
        """Take over what is cached of the first `n` tokens; nothing may be so far."""
        self.open_cache.restore(pages, states, n, n_far)
        self.n_cached = n
        self.is_ours = False

    def leave_out(self, keep: int, n: int) -> None:
        """Forget `n` tokens behind the first `keep`, whose memory is gone already."""
        rest = self.tokens.part(keep + n, len(self.tokens)).copy()
        self.tokens.cut(keep)
        self.tokens.append(rest)
        self.n_cached -= n
        self.is_ours = False
        del self.keys[keep // PAGE_TOKENS :]
        if self.state is not None:
            self.state.moved(-n)
        if self.constraint is not None:
            self.constraint.moved(-n)

    def evict(self) -> None:
        """Give all pages back; the tokens stay, and are computed again when they are needed."""
        if self.cache is not None:
            self.uncache(0)

    def take(self, first: int, pages: Ids[Page], state: Page | None, keys: list[bytes]) -> None:
        """Share pages of the prefix cache from number `first` on; `keys` are those of all pages."""
        self.n_cached = len(keys) * PAGE_TOKENS
        self.open_cache.take(first, pages, state, self.n_cached)
        self.keys = keys

    def fork(self, chain: Chain | None, native: NativeChain | None, rng: Rng | None) -> Sequence:
        """Return a second sequence with the same tokens; pages are shared until one is written."""
        other = Sequence(self.open_cache.fork(), chain, native, rng)
        other.tokens = self.tokens.copy()
        other.n_cached = self.n_cached
        if chain is self.chain and self.state is not None:
            other.state = self.state.copy()
        other.constraint = self.constraint and self.constraint.fork()
        other.keys, other.is_ours = self.keys.copy(), self.is_ours
        other.limits.priority = self.limits.priority
        other.limits.interruptible = self.limits.interruptible
        return other

    def adopt(self, other: Sequence) -> None:
        """Share what `other` has in its cache of the tokens that both begin with, if it is more."""
        n = min(self.tokens.n_common(other.tokens), other.n_cached)
        if other.cache is None or n <= self.n_cached:
            return
        old, cache = self.open_cache, other.cache.fork()
        n = cache.keep(n)
        if n > self.n_cached:
            self.cache, self.n_cached, cache = cache, n, old
            self.keys, self.is_ours = other.keys[: n // PAGE_TOKENS], other.is_ours
        cache.keep(0)

    def close(self) -> None:
        """Give all memory back."""
        cache, self.cache = self.cache, None
        if cache is not None:
            cache.keep(0)

    def __del__(self) -> None:
        if getattr(self, "cache", None) is not None:
            self.close()  # nobody else has it, and a finalizer must not wait for a lock
