"""The one loop that runs a plan: schedule, build the batch, run, sample, commit.

Generation, prompts, logits of prompts and embeddings are all `Work` for it. It has no thread of its
own: see waiting.py for whose thread runs a step.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Sequence as List
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmpy import ffi
from llmpy.backends.base import (
    PAGE_TOKENS,
    Batch,
    KvPool,
    Plan,
    Sampling,
    StepResult,
)
from llmpy.engine import forks
from llmpy.engine.cache import PagePool
from llmpy.engine.prefix import PrefixCache
from llmpy.engine.scheduling import Slice, Waiting, plan_step
from llmpy.engine.sequence import Sequence
from llmpy.engine.shifting import Turns, can_shift, shift
from llmpy.engine.waiting import WaitingThreads
from llmpy.errors import Cancelled, ConstraintError, OutOfMemory, SamplerError, SessionClosed
from llmpy.log import log

if TYPE_CHECKING:
    from llmpy.engine.work import Work
    from llmpy.sampling import Chain, NativeChain, Rng

__all__ = ["Engine"]

# How long a step takes that others wait for, or that may be cancelled. One that takes a quarter
# longer than it was meant to still ends within a tenth of a second.
STEP_SECONDS = 0.08
LEAST_PREFILL = 8  # tokens of such a step; what a first one has is twice as many
LEAST_BESIDE = 8  # tokens of prompts beside sequences that go on: fewer cost nearly as much
NO_LIMIT = 1 << 60  # pages
NO_LOGITS = np.empty((0, 0), np.float32)
NO_TOKENS: List[int | None] = ()
_new: Any = tuple.__new__


class Engine:
    """Runs `plan` for any number of sequences, one step at a time, under `lock`.

    `kv`: the pool that the plan was compiled for; engines may share it. `n_batch`: tokens of a step
    at most. `n_outputs`: how many values of a row of logits count.
    `max_pages`: pages of the KV cache that all sequences together may hold, None for any number;
    one full sequence must fit. `prefix_bytes`: what the prefix cache holds beside them. Engines
    that share weights may share a `lock`.
    """

    def __init__(
        self,
        plan: Plan,
        kv: KvPool,
        *,
        n_ctx: int,
        n_batch: int,
        n_outputs: int | None = None,
        max_pages: int | None = None,
        prefix_bytes: int = 0,
        lock: threading.RLock | None = None,
    ) -> None:
        self.plan = plan
        self.n_ctx = n_ctx
        self.n_batch = n_batch
        self.n_outputs = plan.n_vocab if n_outputs is None else n_outputs
        self.pool = PagePool(kv)
        self.prefix = PrefixCache(self.pool, kv.layout, prefix_bytes) if prefix_bytes else None
        self.lock: Any = lock or threading.RLock()
        self.turns: Turns | None = None  # how keys are rotated; None where they cannot be moved
        self.closed = False
        self.seconds = 0.0  # that the last step took
        self._max_pages = max_pages
        self._some_alone = False  # whether work may wait that must be done alone
        self._sequences = weakref.WeakSet[Sequence]()  # those that may hold pages
        self._n_prefill = min(n_batch, 2 * LEAST_PREFILL)  # tokens in STEP_SECONDS
        self._running_seconds: dict[int, float] = {}  # of steps of so many sequences, no prompts
        self._n_running = 0  # sequences with one token in the last steps
        self._n_beside = LEAST_PREFILL  # tokens of prompts that take as long as the running ones
        self._n_generate = 4  # tokens of one sequence in STEP_SECONDS
        self._positions = np.arange(max(n_ctx, n_batch), dtype=np.int32)
        self._zeros = np.zeros(n_batch, np.int32)
        self._rows = np.zeros((3, n_batch), np.int32)
        self.waiting = WaitingThreads(self)
        forks.register(self)

    def sequence(
        self,
        chain: Chain | None = None,
        native: NativeChain | None = None,
        rng: Rng | None = None,
    ) -> Sequence:
        """Return an empty sequence of this engine."""
        self.check_open()
        return self._known(Sequence.new(self.pool, self.n_ctx, chain, native, rng))

    def run(self, works: List[Work], once: bool = False) -> None:
        """Return once all of them, each of another sequence, are served; with `once`, after a step.

        What is not served then may be given again, with other work.
        """
        self.waiting.run(works, once)

    def truncate(self, sequence: Sequence, n: int) -> None:
        """Keep the first `n` tokens of a sequence."""
        with self.lock:
            self.check_open()
            sequence.truncate(n)

    def fork(
        self, sequence: Sequence, chain: Chain | None, native: NativeChain | None, rng: Rng | None
    ) -> Sequence:
        """Return a second sequence with the same tokens."""
        with self.lock:
            self.check_open()
            return self._known(sequence.fork(chain, native, rng))

    def adopt(self, sequence: Sequence, other: Sequence) -> None:
        """Let a sequence share what another one has computed of the tokens both begin with."""
        with self.lock:
            self.check_open()
            sequence.adopt(other)

    def n_known(self, sequence: Sequence, ids: List[int]) -> int:
        """Return how many of `ids`, which come after a sequence, the prefix cache may have."""
        if self.prefix is None:
            return 0
        with self.lock:
            return self.prefix.n_known(sequence, ids)

    def release(self, sequence: Sequence) -> None:
        """Give the memory of a sequence back, when no step is reading it."""
        with self.lock:
            sequence.close()

    def shift(self, sequence: Sequence, keep: int, n: int) -> bool:
        """Leave out `n` tokens behind the first `keep` without computing the others again.

        False, and nothing done, where that cannot be: `n` is no multiple of PAGE_TOKENS, they are
        not cached, or keys cannot be moved.
        """
        with self.lock:
            self.check_open()
            movable = n % PAGE_TOKENS == 0 and 0 < n <= sequence.n_cached - keep
            if not movable or self.turns is None:
                return False
            if not can_shift(self.pool, sequence, keep, n):
                return False
            if not self.has_room(sequence.open_cache.n_pages):
                return False
            shift(self.pool, sequence, self.turns, keep, n)
        return True

    def has_room(self, n_pages: int) -> bool:
        """Whether so many pages more may be held; to be asked under the lock."""
        return self._free_pages() >= n_pages

    def check_open(self) -> None:
        """Raise SessionClosed once the model is closed."""
        if self.closed:
            raise SessionClosed("this model is closed; load it again")

    def close(self) -> None:
        """Free the plan and all pages."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self.plan.close()
                if self.prefix is not None:
                    self.prefix.clear()
                self.pool.clear()

    def _known(self, sequence: Sequence) -> Sequence:
        if self._max_pages is not None:
            with self.pool.lock:  # not that of a step, for which nobody who begins shall wait
                self._sequences.add(sequence)
        return sequence

    # A step; all of what follows runs under the lock

    def step(self, works: List[Work], shared: bool = False, may_evict: bool = False) -> int:
        """Do the next step for these, none of them served; return how many sequences were in it.

        0: all have failed, or pages are missing for each of them. With `may_evict`, pages are then
        taken from other sequences. `shared`: several threads wait for the step.
        """
        begin = time.perf_counter()
        if len(works) == 1:
            work = works[0]
            limits = work.sequence.limits
            if (limits.cancelled or limits.deadline is not None) and self._is_ended(work):
                return 0
            if work.native is not None and self._generate(work):
                self.seconds = time.perf_counter() - begin
                if work.most > 1:
                    rate = max(work.n_generated, 1) / max(self.seconds, 1e-9)
                    self._n_generate = int(rate * STEP_SECONDS) or 1
                return 1
        elif self._some_alone:
            works = [work for work in works if work.alone][:1] or works
            self._some_alone = works[0].alone
        slices = self._schedule(works, shared, may_evict)
        if not slices:
            return 0
        try:
            self._run(works, slices)
        except Exception as error:
            for part in slices:
                works[part.sequence].alone = self._some_alone = True
            if len(slices) == 1:
                works[slices[0].sequence].fail(error)
        self.seconds = seconds = time.perf_counter() - begin
        n = sum(part.n for part in slices)
        self._learn_beside(slices, n)
        if 2 * n >= self._n_prefill or seconds > STEP_SECONDS:
            fitting = int(n * STEP_SECONDS / max(seconds, 1e-9))
            self._n_prefill = min(self.n_batch, max(fitting, LEAST_PREFILL))
        return len(slices)

    def _learn_beside(self, slices: List[Slice], n: int) -> None:
        """See from the last step, of `n` tokens, how many of prompts take as long as its others."""
        n_running = sum(1 for part in slices if part.n == 1)
        if n_running == n:
            self._running_seconds[n] = self.seconds
        elif n_running and n - n_running >= LEAST_BESIDE and self._running_seconds:
            known = self._running_seconds
            nearest = min(known, key=lambda count: abs(count - n_running))
            running = known[nearest] * n_running / nearest
            others = max(self.seconds - running, self.seconds / 8)
            fitting = int((n - n_running) * running / others)
            half = (self._n_beside + fitting) // 2  # one step may have been disturbed
            self._n_beside = min(self.n_batch, max(half, LEAST_BESIDE))

    def _is_ended(self, work: Work) -> bool:
        """Fail a piece of work that was cancelled, or whose time is over."""
        limits = work.sequence.limits
        if limits.cancelled:
            work.fail(Cancelled("cancelled by Session.cancel()"))
        elif limits.deadline is not None and time.monotonic() > limits.deadline:
            work.fail(Cancelled("the deadline of the session has passed"))
        return work.served

    def _schedule(self, works: List[Work], shared: bool, may_evict: bool) -> list[Slice]:
        """The slices of the next step, with pages to write to."""
        slices: list[Slice] = []
        n_prefill = self._n_prefill if shared or _may_be_cancelled(works) else None
        page_ends = self.prefix is not None and self.pool.is_recurrent
        while not slices:
            waiting = self._waiting(works)
            if n_prefill is not None:
                n_prefill = self._beside(waiting)
            free = self._free_pages()
            slices = plan_step(waiting, self.n_batch, free, n_prefill, page_ends)
            if not waiting or (not slices and not self._evict(works, may_evict)):
                break
        prepared = []
        for part in slices:
            work, (_, start, n, _) = works[part.sequence], part
            try:
                self._prepare(work.sequence, start, start + n)
            except Exception as error:
                work.fail(error)
            else:
                prepared.append(part)
        return prepared

    def _prepare(self, sequence: Sequence, start: int, end: int) -> None:
        """Make positions writable; where memory is short, the prefix cache gives its own up."""
        cache = sequence.open_cache
        try:
            cache.prepare(start, end)
        except OutOfMemory:
            if self.prefix is None:
                raise
            log.info("memory is short: the prefix cache is emptied")
            self.prefix.clear()
            cache.prepare(start, end)

    def _waiting(self, works: List[Work]) -> list[Waiting]:
        waiting = []
        n_pages = n_shared = 0
        for i, work in enumerate(works):
            sequence, end = work.sequence, work.end
            cache = sequence.cache
            if work.served:
                continue
            limits = sequence.limits
            if (limits.cancelled or limits.deadline is not None) and self._is_ended(work):
                continue
            if cache is None or self.closed:
                work.fail(self._why_closed())
                continue
            # Logits that are gone are made again; a recurrent state may have to begin again.
            first, stop = work.next_output, work.stop_output
            start, needed = sequence.n_cached, first if first < stop else end
            start = sequence.uncache(start if start < needed else needed)
            if needed - start >= PAGE_TOKENS and self.prefix is not None and not work.looked_up:
                work.looked_up, work.n_found = True, self.prefix.find(sequence, needed)
                start = sequence.n_cached
            if start == end:  # nothing is left to do
                work.served = True
                continue
            if self._max_pages is not None:
                n_pages, n_shared = len(cache.pages), cache.n_shared(start)
            # What a Waiting is made of, in half the time.
            values = (i, start, end, first, stop, n_pages, n_shared, work.whole, limits.priority)
            waiting.append(_new(Waiting, values))
        return waiting

    def _beside(self, waiting: List[Waiting]) -> int:
        """Return how many tokens a step may have: prompts take no longer than running sequences.

        So these go on at half their speed at least, and prompts as well.
        """
        n_running = sum(1 for values in waiting if values.end - values.start == 1)
        self._n_running = max(n_running, self._n_running // 2)  # some come back after this step
        if not self._n_running or not self._running_seconds:
            return self._n_prefill
        return min(self._n_prefill, n_running + self._n_beside)

    def _why_closed(self) -> SessionClosed:
        try:
            self.check_open()
        except SessionClosed as error:
            return error
        return SessionClosed("this session is closed; make another with model.session()")

    def _free_pages(self) -> int:
        return NO_LIMIT if self._max_pages is None else self._max_pages - self.pool.in_use

    def _evict(self, works: List[Work], may_evict: bool) -> bool:
        """Take the pages of one sequence, so that the first in line can go on.

        That is an idle one, if `may_evict` says that they had time to come back; else one that
        waits too. Of these the one of lowest priority, and the youngest of them.
        """
        first = min((w for w in works if not w.served), key=lambda w: -w.sequence.limits.priority)
        waiting = {work.sequence for work in works}
        with self.pool.lock:
            holders = [s for s in self._sequences if s.cache is not None and s.cache.pages]
        idle = [s for s in holders if s not in waiting]
        if idle and not may_evict:
            return False
        victims = idle or [s for s in holders if s is not first.sequence]
        if not victims:
            first.fail(OutOfMemory(f"{self._max_pages} pages do not hold a session"))
            return False
        victim = min(victims, key=lambda s: (s.limits.priority, -s.number))
        log.info("sequence %d gives up the KV cache of %d tokens", victim.number, victim.n_cached)
        victim.evict()
        return True

    def _run(self, works: List[Work], slices: list[Slice]) -> None:
        """Run the plan for these slices, and hand out the logits."""
        parts = [(works[index], n, rows) for index, _, n, rows in slices]
        caches = [work.sequence.open_cache for work, _, _ in parts]
        batch = self._batch(parts)
        for work, _, rows in parts:
            if rows and work.sequence.constraint is not None:
                _prepare_mask(work)
        result = self.plan.run(batch, caches)
        logits, drawn = NO_LOGITS, NO_TOKENS
        if len(batch.output_rows):
            logits, drawn = _outputs(result, parts)
        address, row, stride = 0, 0, logits.strides[0]
        for work, n, rows in parts:
            sequence, n_rows = work.sequence, len(rows)
            self._commit(sequence, n)
            if n_rows:
                end = row + n_rows
                try:
                    if work.native is None:
                        work.keep(logits[row:end, : self.n_outputs])
                    elif drawn and (token := drawn[row]) is not None:
                        work.token, work.next_output = token, work.stop_output
                        assert sequence.rng is not None
                        sequence.rng.advance()
                    else:
                        address = address or ffi.address(logits)
                        at, rng = address + (end - 1) * stride, sequence.rng
                        last = sequence.tokens.last(work.native.n_history)
                        constraint = sequence.constraint
                        if constraint is not None:
                            row_logits = logits[end - 1, : self.n_outputs]
                            allowed = constraint.allowed(sequence.tokens, row_logits)
                            at = ffi.address(allowed)
                        assert rng is not None
                        state = sequence.state
                        work.token = work.native.sample(at, self.n_outputs, *last, rng, state)
                        work.next_output = work.stop_output
                        if constraint is not None:
                            constraint.record(allowed, work.token)
                except Exception as error:
                    work.fail(error)
                row = end
            if sequence.n_cached == work.end:
                work.served = True

    def _commit(self, sequence: Sequence, n: int) -> None:
        """Count `n` more tokens as computed, and keep the pages that they fill."""
        sequence.commit(n)
        prefix, cache = self.prefix, sequence.cache
        if sequence.n_cached // PAGE_TOKENS <= len(sequence.keys) or cache is None:
            return
        if prefix is not None and sequence.is_ours:
            prefix.add(sequence)
        if self.pool.window:
            cache.pass_by(sequence.n_cached)

    def _batch(self, parts: list[tuple[Work, int, range]]) -> Batch:
        if len(parts) == 1:
            ((work, n, rows),) = parts
            start = work.sequence.n_cached
            return Batch(
                work.sequence.tokens.part(start, start + n),
                self._positions[start : start + n],
                self._zeros[:n],
                self._positions[rows.start : rows.stop],
            )
        if len(parts) == sum([n for _, n, _ in parts]):  # a token of each
            sequences = [work.sequence for work, _, _ in parts]
            return Batch(
                np.array([s.tokens.item(s.n_cached) for s in sequences], np.int32),
                np.array([s.n_cached for s in sequences], np.int32),
                self._positions[: len(parts)],
                np.array([i for i, (_, _, rows) in enumerate(parts) if rows], np.int32),
            )
        tokens, positions, rows_of = self._rows
        outputs: list[int] = []
        at = 0
        for i, (work, n, rows) in enumerate(parts):
            start = work.sequence.n_cached
            tokens[at : at + n] = work.sequence.tokens.part(start, start + n)
            positions[at : at + n] = self._positions[start : start + n]
            rows_of[at : at + n] = i
            if rows:
                outputs += range(at + rows.start, at + rows.stop)
            at += n
        return Batch(tokens[:at], positions[:at], rows_of[:at], np.array(outputs, np.int32))

    def _generate(self, work: Work) -> bool:
        """A step of one sequence alone and its sampler, or several, in one native call.

        False where that cannot be: more than a token is to be computed, or a page is missing.
        """
        sequence, native, n = work.sequence, work.native, work.end
        generate = getattr(self.plan, "generate", None)  # of a GeneratingPlan
        if sequence.n_cached != n - 1 or generate is None or native is None:
            return False
        if sequence.constraint is not None:
            return False
        if self._max_pages is not None and self._free_pages() < 1:
            return False
        cache, tokens, rng, most = sequence.cache, sequence.tokens, sequence.rng, work.most
        if cache is None or self.closed:
            return False
        assert rng is not None
        made = 0
        try:
            if cache.is_recurrent:
                most = 1
                if sequence.uncache(n - 1) != n - 1:
                    return False
            elif most > 1:  # what the page has room for
                most = min(most, PAGE_TOKENS - (n - 1) % PAGE_TOKENS, self.n_ctx - n)
                most = min(most, self._n_generate)
            if native.has_state:
                most = 1  # the state after each token is kept
                assert sequence.state is not None
                native.load(sequence.state)
            if not cache.is_writable(n - 1):
                self._prepare(sequence, n - 1, n)
            tokens.make_room(most)
            made = generate(cache, tokens, most, native, rng)
        except SamplerError as error:
            work.error = error
        except Exception as error:
            work.fail(error)
            return True
        self._commit(sequence, made or 1)
        tokens.length += made
        rng.advance(made)
        if made and native.has_state and sequence.state is not None:
            native.store(sequence.state)
            sequence.state.commit(tokens.length)
        work.n_generated, work.token, work.served = made, tokens.item(-1), True
        return True


def _prepare_mask(work: Work) -> None:
    """Begin to compute which tokens may be sampled; an error is that of its sampling."""
    sequence = work.sequence
    if sequence.constraint is not None:
        with contextlib.suppress(ConstraintError):
            sequence.constraint.prepare(sequence.tokens)


def _outputs(
    result: StepResult, parts: List[tuple[Work, int, range]]
) -> tuple[NDArray[np.float32], List[int | None]]:
    """The logits of a step, and the tokens of its rows that the backend has drawn itself.

    Of a backend that has logits apart, those that its samplers need; none if all tokens are there.
    """
    drawn = getattr(result, "drawn", None)  # of a DrawnResult
    largest = getattr(result, "largest", None)  # of a SparseResult
    if drawn is None and largest is None:
        return result.logits(), NO_TOKENS
    samplings = [_sampling(work) for work, _, rows in parts if rows]
    known = [each for each in samplings if each is not None]
    if len(known) < len(samplings):
        return result.logits(), NO_TOKENS
    tokens: List[int | None] = drawn(known) if drawn is not None else NO_TOKENS
    if tokens and None not in tokens:
        return NO_LOGITS, tokens
    found: NDArray[np.float32] | None = largest(known) if largest is not None else None
    return result.logits() if found is None else found, tokens


def _sampling(work: Work) -> Sampling | None:
    """The sampler of a row and what it looks at; None where somebody needs all logits."""
    sequence, native = work.sequence, work.native
    if native is None:
        return None
    mask = None
    if sequence.constraint is not None:
        try:
            mask = sequence.constraint.mask(sequence.tokens)
        except ConstraintError:  # that of its sampling
            mask = None
        if mask is None:
            return None
    return Sampling(native, *sequence.tokens.last(native.n_history), mask, sequence.rng)


def _may_be_cancelled(works: List[Work]) -> bool:
    """Whether there is another thread that could cancel it, or a limit that may end it."""
    if threading.current_thread() is not threading.main_thread():
        return True
    for work in works:
        limits = work.sequence.limits
        if limits.interruptible or limits.deadline is not None:
            return True
    return False
