"""A graph made ready for native code: a batch is checked, copied where native code looks, and run.

Everything around the one foreign call of a step is kept to a few microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, Batch, Counter, KvCache, Sampler, Sampling, TokenIds
from llmpy.backends.batches import by_session, check_number, check_range
from llmpy.backends.cpu.kv import CpuKvPool
from llmpy.backends.cpu.lower.program import Code
from llmpy.backends.cpu.packing import Packing
from llmpy.backends.cpu.trace import Times
from llmpy.backends.trace import OpTime
from llmpy.errors import BackendError, OutOfMemory
from llmpy.ffi import abi, address, level_names, library

__all__ = ["CpuPlan"]

NO_DRAW = (0, 0, 0, 0, 0)
# All fields of an `abi.Generation`: as arguments of the foreign call they take half a microsecond
# more.
GENERATION = Struct("10Q")


class CpuPlan:
    """Runs batches of up to `max_tokens` tokens. One `run` at a time. It is the result of its runs.

    Memory for activations grows with the largest batch that was run so far.
    """

    def __init__(
        self,
        code: Code,
        pool: CpuKvPool,
        *,
        level: int,
        n_threads: int,
        max_tokens: int,
        n_ctx: int,
        packing: Packing | None = None,
    ) -> None:
        program = code.program
        self.n_vocab = program.n_vocab
        self._has_windows = pool.windowed.n_bytes > 0
        self._has_pages = pool.pages.n_bytes > 0 or self._has_windows
        self._has_states = pool.states.n_bytes > 0
        self.max_tokens = max_tokens
        self.n_ctx = min(n_ctx, program.n_positions)
        self._whole_sessions = program.whole_sessions
        self._code: Code | None = code
        self._n_rows = program.n_rows
        self._packing = packing
        self._first = True  # no step was run so far
        self._n_threads = n_threads
        self._native = library()
        self._run = self._native.llmpy_plan_run
        self._generate = self._native.llmpy_plan_generate
        self._generation = abi.Generation()
        self._generation_at = address(self._generation)
        self._level = level
        self._handle = _create(code, level)
        self._times: Times | None = None  # native code writes there while it traces
        self._room = (0, 0, 0)  # tokens, output rows, positions that native memory is there for
        rows = np.zeros((4, max_tokens), np.int32)
        self._tokens, self._positions, self._sessions, self._output_rows = rows
        self._first_page = np.zeros(1, np.int32)
        self._ends = np.zeros(1, np.int32)
        self._pages, self._windows = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
        self._recurrent = np.zeros(1, np.uint64)
        self._table = np.zeros(1, np.uint64)  # the last page table, and where it and another lie
        self._table_at = self._window_table_at = address(self._table)
        self._logits = np.zeros((0, self.n_vocab), np.float32)
        self._n_logits = 0
        self._drawn = np.zeros(0, np.int32)

    def run(self, batch: Batch, caches: Sequence[KvCache]) -> CpuPlan:
        """Compute the batch; the logits are the plan's own memory.

        Raises ValueError for a batch that does not fit the model, the pages or itself.
        """
        if self._handle is None:
            raise BackendError("this plan is closed")
        n, n_output_rows = len(batch.tokens), len(batch.output_rows)
        if n == 1 and n_output_rows <= 1:
            end = self._stage_one(batch, caches)
        elif n == 0:
            self._n_logits = 0
            return self
        else:
            end = self._stage(batch, caches)
        room = self._room
        if n > room[0] or n_output_rows > room[1] or end > room[2]:
            self._reserve(n, n_output_rows, end)
        self._run(self._handle, n, n_output_rows, self._n_threads)
        if self._first:
            self._begin()
        self._n_logits = n_output_rows
        return self

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the output rows of the last step."""
        return self._logits[: self._n_logits]

    def drawn(self, samplings: Sequence[Sampling]) -> Sequence[int | None]:
        """Return the token that each sampler draws; see `DrawnResult`.

        None for a sampler that has a mask or a state, or that cannot draw.
        """
        n = len(samplings)
        if self._handle is None or n < 2 or n != self._n_logits:
            return [None] * n
        values: list[int] = []
        chains = set()
        for sampler, history, n_history, mask, rng in samplings:
            chain = sampler.address
            if rng is None or mask is not None or sampler.has_state or chain in chains:
                values += NO_DRAW
            else:
                chains.add(chain)
                values += chain, history, n_history, rng.seed, rng.counter
        if n > len(self._drawn):
            self._drawn = np.zeros(len(self._logits), np.int32)
        draws = np.array(values, np.uint64)
        self._native.llmpy_plan_draw(
            self._handle, address(draws), n, self.n_vocab, address(self._drawn), self._n_threads
        )
        return [token if token >= 0 else None for token in self._drawn[:n].tolist()]

    def generate(
        self, cache: KvCache, tokens: TokenIds, most: int, sampler: Sampler, rng: Counter
    ) -> int:
        """As `run` for the last token of one sequence; append what the sampler draws, and so on.

        There is room for `most` more. Returns how many were appended, see llmpy.h.
        """
        if self._handle is None:
            raise BackendError("this plan is closed")
        n, last = len(tokens), tokens.item(-1)
        end = n + most - 1  # positions that are read, at most
        n_pages = (end - 1) // PAGE_TOKENS + 1 if self._has_pages else 0
        fits = 0 <= last < self._n_rows and 0 < n <= end <= self.n_ctx
        if not fits or n_pages > cache.n_pages or sampler.n_vocab > self.n_vocab:
            check_number("token", last, self._n_rows)
            check_number("position", end - 1, self.n_ctx)
            check_number("page of the position", n_pages - 1, cache.n_pages, least=-1)
            raise ValueError(f"generate: {n} tokens, {most} more, {sampler.n_vocab} logits")
        room = self._room
        if not room[0] or not room[1] or end > room[2]:
            self._reserve(1, 1, end)
        if cache.page_table is not self._table:
            self._table, self._table_at = cache.page_table, address(cache.page_table)
            self._window_table_at = address(cache.window_table)
        state = _state(cache) if self._has_states else 0
        GENERATION.pack_into(
            self._generation, 0, sampler.address, tokens.address, n, most,
            self._table_at, self._window_table_at, state, rng.seed, rng.counter, self._n_threads,
        )  # fmt: skip
        appended: int = self._generate(self._handle, self._generation_at)
        if self._first:
            self._begin()
        if appended < 0:
            sampler.explain(appended, address(self._logits), *tokens.last(sampler.n_history))
        return appended

    @property
    def description(self) -> str:
        """Return the name of the code that runs it, for tables of times."""
        return f"cpu backend, {level_names()[self._level]}, {self._n_threads} threads"

    def start_trace(self) -> Callable[[], list[OpTime]]:
        """Add up the time of each operation from now on; the result reads the sums."""
        if self._handle is None or self._code is None:
            raise BackendError("this plan is closed")
        self._times = Times(self._code.program.costs())
        self._native.llmpy_plan_trace(self._handle, address(self._times.array))
        return self._times.table

    def stop_trace(self) -> None:
        """Time nothing any more."""
        if self._handle is not None:
            self._native.llmpy_plan_trace(self._handle, None)

    def warm_up(self) -> None:
        """Pack all weights now."""
        if self._packing is not None:
            self._packing.finish()

    def close(self) -> None:
        """Free the native memory, and let go of the weights."""
        handle, self._handle = self._handle, None
        packing, self._packing = self._packing, None
        if packing is not None:
            packing.close()
        self._code = None
        if handle is not None:
            self._native.llmpy_plan_destroy(handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()

    def _begin(self) -> None:
        """The first step has run."""
        self._first = False
        if self._packing is not None:
            self._packing.first_step()

    def _stage_one(self, batch: Batch, caches: Sequence[KvCache]) -> int:
        """Check and copy one token, as generation has them; returns the end of its context."""
        token, position = batch.tokens.item(0), batch.positions.item(0)
        session = batch.sessions.item(0)
        n_pages = position // PAGE_TOKENS + 1 if self._has_pages else 0
        fits = 0 <= token < self._n_rows and 0 <= session < len(caches)
        if not fits or not 0 <= position < self.n_ctx or n_pages > caches[session].n_pages:
            # One condition for every token; which of them it was is a question for a message.
            check_number("token", token, self._n_rows)
            check_number("session", session, len(caches))
            check_number("position", position, self.n_ctx)
            check_number("page of the position", n_pages - 1, caches[session].n_pages)
        if len(batch.output_rows):
            check_number("output row", batch.output_rows.item(0), 1)
        cache = caches[session]
        if n_pages > len(self._pages):
            self._pages, self._windows = np.zeros((2, 2 * n_pages), np.uint64)
            self._room = (0, 0, 0)
        self._pages[:n_pages] = cache.page_table[:n_pages]
        if self._has_windows:
            self._windows[:n_pages] = cache.window_table[:n_pages]
        if self._has_states:
            self._recurrent[0] = _state(cache)
        if self._whole_sessions:
            check_number("first position", position, 1)
        self._ends[0] = position + 1
        self._tokens[0] = token
        self._positions[0] = position
        self._sessions[0] = self._first_page[0] = self._output_rows[0] = 0
        return position + 1

    def _stage(self, batch: Batch, caches: Sequence[KvCache]) -> int:
        """Check and copy a batch of any size; returns the end of its longest context."""
        n, n_output_rows, n_caches = len(batch.tokens), len(batch.output_rows), len(caches)
        if n > self.max_tokens:
            raise ValueError(f"batch: expected at most {self.max_tokens} tokens, found {n}")
        if len(batch.positions) != n or len(batch.sessions) != n:
            raise ValueError("batch: tokens, positions and sessions differ in length")
        check_range("token", batch.tokens, self._n_rows)
        check_range("session", batch.sessions, n_caches)
        check_range("position", batch.positions, self.n_ctx)
        check_range("output row", batch.output_rows, n)
        if n_output_rows > 1 and not (batch.output_rows[1:] > batch.output_rows[:-1]).all():
            raise ValueError("batch: output rows must ascend")
        ends = self._ends_of(batch, n_caches)
        counts = [-(-end // PAGE_TOKENS) for end in ends] if self._has_pages else [0] * n_caches
        held = list(zip(caches, counts, strict=True))
        for cache, count in held:
            if count > cache.n_pages:
                check_number("page of the position", count - 1, cache.n_pages)
        total = sum(counts)
        if total > len(self._pages) or n_caches > len(self._first_page):
            size = max(2 * total, len(self._pages))
            self._pages, self._windows = np.zeros((2, size), np.uint64)
            self._first_page = np.zeros(max(2 * n_caches, len(self._first_page)), np.int32)
            self._recurrent = np.zeros(len(self._first_page), np.uint64)
            self._ends = np.zeros(len(self._first_page), np.int32)
            self._room = (0, 0, 0)
        self._first_page[:n_caches] = list(accumulate(counts, initial=0))[:-1]
        self._pages[:total] = np.concatenate([c.page_table[:n] for c, n in held])
        if self._has_windows:
            self._windows[:total] = np.concatenate([c.window_table[:n] for c, n in held])
        if self._has_states:
            for i, end in enumerate(ends):
                if end:
                    self._recurrent[i] = _state(caches[i])
        self._ends[:n_caches] = ends
        self._tokens[:n] = batch.tokens
        self._positions[:n] = batch.positions
        self._sessions[:n] = batch.sessions
        self._output_rows[:n_output_rows] = batch.output_rows
        return max(ends)

    def _ends_of(self, batch: Batch, n_caches: int) -> list[int]:
        """Return how many tokens each session has after a batch whose positions are in range."""
        if len(batch.tokens) == n_caches and batch.sessions.tolist() == list(range(n_caches)):
            if self._whole_sessions:
                check_range("first position", batch.positions, 1)
            return [position + 1 for position in batch.positions.tolist()]
        sessions, positions = by_session(batch, whole=self._whole_sessions)
        ends = np.zeros(n_caches, np.int64)
        np.maximum.at(ends, sessions, positions + 1)
        return ends.tolist()

    def _reserve(self, n: int, n_output_rows: int, end: int) -> None:
        """Make room for such batches, twice as much as asked for so that this is rare."""
        had = self._room
        tokens = min(self.max_tokens, max(_power_of_two(n), had[0]))
        output_rows = min(self.max_tokens, max(_power_of_two(n_output_rows), had[1]))
        positions = max(_power_of_two(end), 1024, had[2])
        if len(self._logits) < output_rows:
            self._logits = np.empty((output_rows, self.n_vocab), np.float32)
        status = self._native.llmpy_plan_reserve(
            self._handle, tokens, output_rows, positions, self._n_threads
        )
        self._room = (0, 0, 0) if status else (tokens, output_rows, positions)
        if status:
            raise OutOfMemory(f"cannot allocate memory for batches of {tokens} tokens")
        arrays = (
            self._tokens, self._positions, self._sessions, self._output_rows,
            self._ends, self._first_page, self._pages, self._windows, self._recurrent, self._logits,
        )  # fmt: skip
        addresses = abi.Batch(*(address(array) for array in arrays))
        self._native.llmpy_plan_bind(self._handle, addresses)


def _create(code: Code, level: int) -> int | None:
    program = code.program
    frequencies = [code.frequencies(table) for table in program.ropes]
    ropes = (abi.Rope * len(program.ropes))(
        *(
            abi.Rope(
                len(values), address(values), rope.magnitude(), rope.growth,
                rope.growth_every if rope.growth else 0, place,
            )
            for values, (rope, _, place) in zip(frequencies, program.ropes, strict=True)
        )
    )  # fmt: skip
    spec = abi.PlanSpec(
        level, program.cache_type, len(program.ops), len(ropes), program.logits, 0,
        address(code.ops), ropes, program.all_bytes, program.output_bytes,
    )  # fmt: skip
    handle: int | None = library().llmpy_plan_create(spec)
    if handle is None:
        raise OutOfMemory("cannot allocate memory for the plan of the model")
    return handle


def _state(cache: KvCache) -> int:
    if not cache.state:
        raise ValueError("batch: a sequence has no memory for its recurrent state")
    return cache.state


def _power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()
