"""The open loop for many short texts: the logits of all that run, in one array a step."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmpy import checks
from llmpy.backends.base import PAGE_TOKENS, Batch
from llmpy.engine.cache import PagedState
from llmpy.engine.engine import Engine
from llmpy.errors import ContextFull, OutOfMemory

__all__ = ["BatchStep", "batch_steps"]

IDLE = -1  # in place of the number of a prompt


class BatchStep:
    """The choice of the next token of each prompt that runs.

    `logits` is float32 [n, n_vocab]; `numbers` int [n] says which prompts these rows belong to,
    counted from 0 in the order in which they were given, and `slots` int [n] which of the
    `n_parallel` places each has until it ends. `choose` takes the tokens.
    """

    __slots__ = ("chosen", "logits", "numbers", "slots")

    def __init__(
        self, logits: NDArray[np.float32], numbers: NDArray[np.intp], slots: NDArray[np.intp]
    ) -> None:
        self.logits = logits
        self.numbers = numbers
        self.slots = slots
        self.chosen: NDArray[np.int32] | None = None

    def choose(self, tokens: ArrayLike) -> None:
        """Append a token to each prompt, int [n]; a negative one ends its prompt."""
        chosen = np.asarray(tokens)
        n, n_vocab = self.logits.shape
        if chosen.shape != (n,) or chosen.dtype.kind not in "iu":
            raise ValueError(f"tokens: expected {n} ids, found {chosen.dtype} {chosen.shape}")
        if n and int(chosen.max()) >= n_vocab:
            raise ValueError(f"tokens: expected at most {n_vocab - 1}, found {int(chosen.max())}")
        self.chosen = chosen.astype(np.int32)

    def __repr__(self) -> str:
        return f"<llmpy.BatchStep: {len(self.numbers)} prompts>"


def batch_steps(
    engine: Engine, prompts: Iterable[Sequence[int]], n_parallel: int
) -> Generator[BatchStep]:
    """See `Model.batch_steps`."""
    n_parallel = min(checks.whole("n_parallel", n_parallel), engine.n_batch)
    return _Slots(engine, n_parallel).run(iter(prompts))


class _Slots:
    """The prompts that run, each in a slot with pages of its own; arrays have a row for each."""

    def __init__(self, engine: Engine, n: int) -> None:
        self._engine = engine
        self._caches = [PagedState(engine.pool, engine.n_ctx) for _ in range(n)]
        self._numbers = np.full(n, IDLE, np.intp)
        self._tokens = np.zeros(n, np.int32)  # the last one of each, not computed so far
        self._n_cached = np.zeros(n, np.int32)
        self._rest: dict[int, list[int]] = {}  # by slot, what is left of a prompt to be computed
        self._n_begun = 0

    def run(self, prompts: Iterator[Sequence[int]]) -> Generator[BatchStep]:
        """Yield the steps until all prompts have ended."""
        try:
            while True:
                self._fill(prompts)
                if not (self._numbers != IDLE).any():
                    return
                step = self._step()
                if not len(step.numbers):  # long prompts only, which go on with the next step
                    continue
                yield step
                if step.chosen is None:
                    raise ValueError("batch_steps: expected step.choose(), found none")
                goes_on = step.chosen >= 0
                self._tokens[step.slots] = step.chosen
                self._numbers[step.slots[~goes_on]] = IDLE
        finally:
            with self._engine.lock:
                for cache in self._caches:
                    cache.keep(0)

    def _fill(self, prompts: Iterator[Sequence[int]]) -> None:
        """Let prompts begin in free slots, as many as one step can compute."""
        free = np.flatnonzero(self._numbers == IDLE).tolist()
        room = self._engine.n_batch - (len(self._numbers) - len(free))
        room -= sum(map(len, self._rest.values()))
        for slot in free:
            if room <= 0:
                return
            prompt = next(prompts, None)
            if prompt is None:
                return
            ids = checks.token_ids("prompt", prompt, self._engine.n_outputs)
            n_ctx = self._engine.n_ctx
            if not ids:
                raise ValueError(f"prompt {self._n_begun}: expected tokens, found none")
            if len(ids) > n_ctx:
                raise ContextFull(n_ctx, len(ids))
            room -= len(ids)
            self._rest[slot] = ids
            self._numbers[slot] = self._n_begun
            self._n_begun += 1
            with self._engine.lock:
                self._caches[slot].keep(0)
            self._n_cached[slot] = 0

    def _step(self) -> BatchStep:
        """Compute the last token of each, and of new prompts what there is room for."""
        engine = self._engine
        going = np.flatnonzero(self._numbers != IDLE)
        if self._rest:
            going = going[[slot not in self._rest for slot in going.tolist()]]
        if len(going) and (most := int(self._n_cached[going].max()) + 1) > engine.n_ctx:
            raise ContextFull(engine.n_ctx, most)
        tokens, positions = [self._tokens[going]], [self._n_cached[going]]
        slots, counts = going.tolist(), [1] * len(going)
        ready = [*slots]
        room = engine.n_batch - len(slots)
        for slot in list(self._rest):
            if room <= 0:
                break
            ids = self._rest[slot]
            part, rest, start = ids[:room], ids[room:], int(self._n_cached[slot])
            tokens.append(np.array(part, np.int32))
            positions.append(np.arange(start, start + len(part), dtype=np.int32))
            slots.append(slot)
            counts.append(len(part))
            room -= len(part)
            if rest:
                self._rest[slot] = rest
            else:
                del self._rest[slot]
                ready.append(slot)
        n = np.array(counts, np.int32)
        rows = np.cumsum(n, dtype=np.int32)[: len(ready)] - 1  # whoever is not ready comes last
        at = np.array(slots, np.int32)
        batch = Batch(np.concatenate(tokens), np.concatenate(positions), np.repeat(at, n), rows)
        return self._run(batch, at, n, np.array(ready, np.intp))

    def _run(
        self, batch: Batch, slots: NDArray[np.int32], n: NDArray[np.int32], ready: NDArray[np.intp]
    ) -> BatchStep:
        engine = self._engine
        starts = self._n_cached[slots]
        ends = starts + n
        with engine.lock:
            engine.check_open()
            self._prepare(slots, starts, ends)
            logits = engine.plan.run(batch, self._caches).logits()[:, : engine.n_outputs]
            found = logits[: len(ready)].copy()  # the plan's memory is another step's soon
            self._n_cached[slots] = ends
            if engine.pool.is_recurrent or engine.pool.window:
                for slot, end in zip(slots.tolist(), ends.tolist(), strict=True):
                    self._caches[slot].done(end)
                    self._caches[slot].pass_by(end)
        return BatchStep(found, self._numbers[ready], ready)

    def _prepare(
        self, slots: NDArray[np.int32], starts: NDArray[np.int32], ends: NDArray[np.int32]
    ) -> None:
        """Make memory for what a step writes; that of most sequences is there."""
        engine = self._engine
        is_new = (starts % PAGE_TOKENS == 0) | (ends - starts > 1) | engine.pool.is_recurrent
        for i in np.flatnonzero(is_new):
            cache, end = self._caches[slots[i]], int(ends[i])
            missing = -(-end // PAGE_TOKENS) - cache.n_pages
            if missing > 0 and not engine.has_room(missing):
                raise OutOfMemory("batch_steps: no pages are left; take a smaller n_parallel")
            cache.prepare(int(starts[i]), end)
