"""A graph on a device: a batch becomes a header, steps run, logits are read when asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import Batch, Counter, KvCache, Sampler, Sampling, TokenIds
from llmpy.backends.batches import BatchCheck
from llmpy.backends.gpu.arena import Place
from llmpy.backends.gpu.device import Buffer, Device, Program, Step
from llmpy.backends.gpu.header import FIELDS, Rotations, header
from llmpy.backends.gpu.lowering import FEW, Lowered
from llmpy.backends.gpu.pages import GpuKvPool
from llmpy.backends.gpu.samplers import AHEAD, EMPTY, record
from llmpy.backends.gpu.tensors import Kept, Tensor
from llmpy.backends.gpu.top import NONE, Top, read_tokens
from llmpy.errors import BackendError
from llmpy.ffi import address, library, view
from llmpy.ffi.abi import Chain
from llmpy.graph import Graph, is_encoder

__all__ = ["GpuPlan"]

PART = 2048  # logits of which the largest is found together
GREEDY = -1  # in place of how many logits a sampler sees: the largest of all is what it takes


class GpuPlan:
    """Steps for batches of any size; a batch larger than `max_tokens` runs in pieces.

    Memory for activations grows with the largest batch so far.
    """

    def __init__(
        self, device: Device, graph: Graph, lowered: Lowered, tensors: Mapping[str, Tensor],
        pool: GpuKvPool, *, n_ctx: int, max_tokens: int,
    ) -> None:  # fmt: skip
        self.n_vocab = graph.n_vocab
        self._device, self._lowered, self._pool = device, lowered, pool
        self._tensors = tensors  # kept while the plan is open
        self._check = BatchCheck(graph, n_ctx)
        tables = [(r, tensors[names[0]].host if names else None) for r, names in lowered.ropes]
        self._rotations = Rotations(tables)
        self._has_pages, self._has_windows = bool(graph.caches), pool.windowed.n_bytes > 0
        self._has_states = bool(graph.recurrences)
        self._whole = is_encoder(graph)
        floats = 4 * (lowered.floats["all"] + lowered.floats["output"])
        self._most = min(max_tokens if not self._whole else 1 << 20, max(1, device.limit // floats))
        self._rows = {"all": 0, "output": 0}  # that the arena has room for
        self._header_bytes = 0
        self._header: Buffer = None
        self._arena: Buffer = None
        self._programs: dict[tuple[str, int], Program] = {}
        self._ids: Kept | None = None  # tokens that the device has chosen
        self._found: Kept | None = None  # the best of each segment of the logits
        self._top = Top(device, graph.n_vocab)
        self._hope = AHEAD  # tokens that the device draws at once: fewer after one was not sure
        lowered.parts.buffer = device.buffer(4 * max(16, lowered.parts.floats))
        self._version: Any = None
        self._closed = False

    def run(self, batch: Batch, caches: Sequence[KvCache]) -> _Logits:
        """Compute the batch; see `Plan`."""
        return self.run_given(batch, caches, None)

    def run_given(
        self, batch: Batch, caches: Sequence[KvCache], given: NDArray[np.float32] | None
    ) -> _Logits:
        """Compute the batch from values that other layers gave.

        They have a row for each that the graph goes on from: all tokens, or the output rows.
        """
        if self._closed:
            raise BackendError("this plan is closed")
        self._check(batch, caches)
        n = len(batch.tokens)
        if n > self._most and self._whole:
            raise BackendError(
                f"gpu: expected at most {self._most} tokens of texts that see all of themselves, "
                f"found {n}"
            )
        if n <= self._most:
            nothing = _Logits(None, 0, 0, self.n_vocab)
            return self._step(batch, caches, given) if n else nothing
        rows = []
        for part, of in _pieces(batch, self._most, self._lowered.given):
            some = None if given is None else given[of]
            rows.append(self._step(part, caches, some).logits())
        return _Logits.of(np.concatenate(rows))

    def generate(
        self, cache: KvCache, tokens: TokenIds, most: int, sampler: Sampler, rng: Counter
    ) -> int:
        """Generate up to `most` tokens of one sequence; see `GeneratingPlan`.

        The device chooses or draws the next ones itself and goes on, as long as it is sure of them.
        """
        if self._closed:
            raise BackendError("this plan is closed")
        n = len(tokens)
        self._check(_one(tokens.item(-1), n + most - 2), [cache])
        ids, chain = view(tokens.address, n + most, np.int32), Chain.from_address(sampler.address)
        ends = view(chain.ends, chain.n_ends, np.int32).tolist() if chain.n_ends else []
        ahead = 1 if self._has_states else min(most, AHEAD)  # a state cannot go back
        found: list[int] = []
        if sampler.n_vocab == self.n_vocab and _is_greedy(sampler):
            found = self._choose(cache, int(ids[n - 1]), n - 1, ahead, GREEDY)
        elif (ahead := min(ahead, self._hope)) > 1 and not self._device.shared:
            words = record(_sampling(ids, n, sampler, rng), rng.ahead(ahead))
            if words is not None and sampler.n_vocab <= self.n_vocab:
                self._top.tell([words], sampler.n_vocab)
                self._top.begin()
                found = self._choose(cache, int(ids[n - 1]), n - 1, ahead, sampler.n_vocab)
                if NONE in found:
                    return self._finish(ids, n, found[: found.index(NONE)], ends, sampler, rng)
                self._hope = min(2 * self._hope, AHEAD)
        done = _append(ids, n, found, ends)
        return done or self._draw(cache, ids, n, sampler, rng)

    def _finish(
        self, ids: NDArray[np.int32], n: int, found: Sequence[int], ends: Sequence[int],
        sampler: Sampler, rng: Counter,
    ) -> int:  # fmt: skip
        """Append tokens that the device drew, and one of the logits where it was not sure.

        There it has stopped, and they are still in the arena.
        """
        self._hope = len(found) + 1
        done = _append(ids, n, found, ends)
        if done and ids[n + done - 1] in ends:
            return done
        result = _Logits(self, self._place(self._lowered.output), 1, self.n_vocab)
        return done + self._sample(result, ids, n + done, sampler, rng, done)

    def _choose(self, cache: KvCache, token: int, position: int, n: int, n_seen: int) -> list[int]:
        """The next tokens, one after another, without a look at any of them in between."""
        for i in range(n):
            batch = _one(token, position + i)
            words = self._words(batch, [cache], i)
            self._reserve(1, 1, words.nbytes)
            self._device.write(self._header, 0, words)
            program = self._program(_kind(words), n_seen)
            kept = self._ids if n_seen == GREEDY else self._top.ids
            assert kept is not None
            if i:
                at = 4 * int(words[FIELDS.index("tokens")])
                self._device.copy(kept.buffer, 4 * (i - 1), self._header, at, 4)
            if i and n_seen != GREEDY:  # no rows where the token before it is not sure
                counts = 4 * (self._top.counts + 3 * (i - 1))
                self._device.copy(kept.buffer, counts, self._header, 0, 12)
            self._device.run(program, _counts(words))
        assert kept is not None
        return read_tokens(self._device, kept, n)

    def _draw(
        self, cache: KvCache, ids: NDArray[np.int32], n: int, sampler: Sampler, rng: Counter
    ) -> int:
        """One token by the native sampler, or by the device if that is sure of it."""
        result = self._step(_one(int(ids[n - 1]), n - 1), [cache])
        sampling = _sampling(ids, n, sampler, rng)
        (token,) = result.drawn([sampling])
        if token is not None:
            self._hope = min(2 * self._hope, AHEAD)
            ids[n] = token
            return 1
        logits = result.largest([sampling])
        return self._sample(result if logits is None else _Logits.of(logits), ids, n, sampler, rng)

    def _sample(
        self, result: _Logits, ids: NDArray[np.int32], n: int, sampler: Sampler, rng: Counter,
        used: int = 0,
    ) -> int:  # fmt: skip
        """One token by the native sampler; `used`: numbers of `rng` that others have drawn with."""
        arguments = address(result.logits()), *_history(ids, n, sampler)
        counter = (rng.counter + used) % (1 << 64)
        chosen = library().llmpy_sample(sampler.address, *arguments, rng.seed, counter)
        if chosen < 0 and used:
            return 0  # the next call says so
        if chosen < 0:
            sampler.explain(chosen, *arguments)
        ids[n] = chosen
        return 1

    def warm_up(self) -> None:
        """Make the kernels ready; they are bound to pages, of which there may be none so far."""
        if self._closed:
            return
        pool = self._pool
        pools = [each for each in (pool.pages, pool.windowed, pool.states) if each.n_bytes]
        with contextlib.ExitStack() as opened:
            for each in pools:
                opened.callback(each.free, each.allocate())
            self._reserve(1, 1, 4096)
            for kind in ("few", "short", "many"):
                self._program(kind)
            self._program("short", GREEDY)
            if not self._device.shared:
                self._top.tell([EMPTY], self.n_vocab)
                self._program("short", self.n_vocab)

    def close(self) -> None:
        """Free the plan's memory, and let go of the weights."""
        self._closed = True
        for buffer in (self._header, self._arena, *self._others()):
            if buffer is not None:
                self._device.free(buffer)
        self._top.close()
        self._header = self._arena = self._ids = self._found = None
        self._lowered.parts.buffer = None
        self._programs, self._tensors, self._rotations = {}, {}, Rotations([])
        self._lowered = Lowered()

    def _others(self) -> list[Buffer]:
        """The buffers whose size does not change."""
        kept = [each.buffer for each in (self._ids, self._found) if each is not None]
        return [self._lowered.parts.buffer, *kept]

    def _step(
        self, batch: Batch, caches: Sequence[KvCache], given: NDArray[np.float32] | None = None
    ) -> _Logits:
        """Compute a batch that the arena may have room for."""
        words = self._words(batch, caches)
        n, n_output = len(batch.tokens), len(batch.output_rows)
        self._reserve(n, n_output, words.nbytes)
        self._device.write(self._header, 0, words)
        if given is not None and given.size:
            assert self._lowered.given is not None
            rows = np.ascontiguousarray(given).reshape(-1)
            self._device.write(self._arena, 4 * self._place(self._lowered.given), rows)
        self._device.run(self._program(_kind(words)), _counts(words))
        return _Logits(self, self._place(self._lowered.output), n_output, self.n_vocab)

    def _words(self, batch: Batch, caches: Sequence[KvCache], slot: int = 0) -> NDArray[np.uint32]:
        kinds = self._has_pages, self._has_windows
        return header(batch, caches, self._rotations, *kinds, slot)

    def logits(self, at: int, n: int) -> NDArray[np.float32]:
        """Read `n` rows of logits from the arena."""
        data = self._device.read(self._arena, 4 * at, 4 * n * self.n_vocab)
        return np.frombuffer(data, np.float32).reshape(n, self.n_vocab)

    def drawn(self, at: int, samplings: Sequence[Sampling]) -> Sequence[int | None] | None:
        """Return the tokens that samplers draw from rows in the arena; see `DrawnResult`.

        None where none of them is for the device.
        """
        if self._device.shared:
            return None
        found = self._top.draw(self._header, self._arena, at, samplings)
        return None if found is None else [None if token == NONE else token for token in found]

    def largest(self, at: int, samplings: Sequence[Sampling]) -> NDArray[np.float32] | None:
        """Return the logits that samplers need of rows in the arena; see `SparseResult`.

        Where the host reads the device's memory all logits are there sooner than they are found.
        """
        return (
            None
            if self._device.shared
            else self._top.found(self._header, self._arena, at, samplings)
        )

    def _reserve(self, n: int, n_output: int, n_header: int) -> None:
        """Make room for such a batch, and for larger ones so that this is rare."""
        asked = {"all": n, "output": n_output}
        if any(asked[space] > self._rows[space] for space in asked):
            rows = {
                space: max(
                    self._rows[space], min(self._most, 1 << (k - 1).bit_length()) if k else 1
                )
                for space, k in asked.items()
            }
            size = 4 * sum(rows[space] * self._lowered.floats[space] for space in rows)
            old, self._arena, self._programs = self._arena, None, {}
            self._rows = {"all": 0, "output": 0}
            if old is not None:
                self._device.free(old)
            self._arena, self._rows = self._device.buffer(max(64, size)), rows
        if n_header > self._header_bytes:
            size = max(4096, 1 << (n_header - 1).bit_length())
            old, self._header, self._programs, self._header_bytes = self._header, None, {}, 0
            if old is not None:
                self._device.free(old)
            self._header, self._header_bytes = self._device.buffer(size), size

    def _program(self, kind: str, n_seen: int = 0) -> Program:
        """The steps of a kind, as buffers are now; with `n_seen`, also those that find a token.

        So many logits the sampler sees; or it is GREEDY.
        """
        if self._version != (self._pool.version, self._top.version):
            self._programs, self._version = {}, (self._pool.version, self._top.version)
        if (kind, n_seen) not in self._programs:
            steps: list[Step] = getattr(self._lowered, kind)
            if n_seen == GREEDY:
                parts = -(-self.n_vocab // PART)
                self._ids = self._ids or Kept(self._device.buffer(4 * AHEAD))
                self._found = self._found or Kept(self._device.buffer(max(64, 8 * parts)))
                values = {"x": self._lowered.output, "n": self.n_vocab, "parts": parts}
                steps = [
                    *steps,
                    Step("largest_part", "output", parts, values, (self._found,)),
                    Step("largest", "output", 1, values, (self._found, self._ids)),
                ]
            elif n_seen:
                steps = [*steps, *self._top.steps(self._lowered.output, n_seen, draw=True)]
            placed = [self._placed(step) for step in steps]
            made = self._device.program(placed, self._header, self._arena)
            self._programs[kind, n_seen] = made
        return self._programs[kind, n_seen]

    def _placed(self, step: Step) -> Step:
        values = {k: self._place(v) if isinstance(v, Place) else v for k, v in step.values.items()}
        return step._replace(values=values)

    def _place(self, place: Place) -> int:
        """The beginning of a value in the arena, in float32 values."""
        before = self._rows["all"] * self._lowered.floats["all"] if place.space == "output" else 0
        return before + place.at * self._rows[place.space]


class _Logits:
    """The result of a step, on the device until somebody asks."""

    def __init__(self, plan: GpuPlan | None, at: int, n: int, n_vocab: int) -> None:
        self._plan, self._at, self._n = plan, at, n
        self._rows = np.zeros((0, n_vocab), np.float32)
        self._drawn: Sequence[int | None] | None = None

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> _Logits:
        """Logits that are in host memory already."""
        made = cls(None, 0, 0, 0)
        made._rows = rows
        return made

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the output rows."""
        if self._plan is not None and self._n:
            self._rows = self._plan.logits(self._at, self._n)
        self._plan = None
        return self._rows

    def drawn(self, samplings: Sequence[Sampling]) -> Sequence[int | None]:
        """Return the tokens that samplers draw, None where they have to see logits."""
        found = None
        if self._plan is not None and len(samplings) == self._n:
            found = self._drawn = self._plan.drawn(self._at, samplings)
        return [None] * len(samplings) if found is None else found

    def largest(self, samplings: Sequence[Sampling]) -> NDArray[np.float32] | None:
        """Return the few logits that samplers need, None where that may be all."""
        if self._plan is None or len(samplings) != self._n:
            return None
        if self._drawn is not None:  # the rows that were not sure, and no others
            rows = np.empty((self._n, self._plan.n_vocab), np.float32)
            for i, token in enumerate(self._drawn):
                if token is None:
                    rows[i] = self._plan.logits(self._at + i * self._plan.n_vocab, 1)
            return rows
        return self._plan.largest(self._at, samplings)


def _kind(words: NDArray[np.uint32]) -> str:
    """The steps of `Lowered` that a header is for."""
    if words[0] > FEW:
        return "many"
    return "few" if words[FIELDS.index("n_chunks")] > 1 else "short"


def _counts(words: NDArray[np.uint32]) -> dict[str, int]:
    """The rows of each kind that a header is of."""
    n, n_output, n_sessions = words[:3].tolist()
    n_chunks = int(words[FIELDS.index("n_chunks")])
    chunks = {"chunks": n * n_chunks, "output_chunks": n_output * n_chunks}
    return {"all": n, "output": n_output, "sessions": n_sessions, "once": 1, **chunks}


def _is_greedy(sampler: Sampler) -> bool:
    """Whether a chain takes the most likely token, whatever else there is."""
    (step,) = sampler.steps if len(sampler.steps) == 1 else (None,)
    return bool(getattr(step, "is_greedy", getattr(step, "name", "") == "greedy"))


def _sampling(ids: NDArray[np.int32], n: int, sampler: Sampler, rng: Counter) -> Sampling:
    """A sampler that draws behind `n` tokens."""
    return Sampling(sampler, *_history(ids, n, sampler), None, rng)


def _history(ids: NDArray[np.int32], n: int, sampler: Sampler) -> tuple[int, int]:
    """Address and number of the tokens that a sampler looks at."""
    seen = n if sampler.n_history < 0 else min(n, sampler.n_history)
    return address(ids[n - seen :]), seen


def _append(ids: NDArray[np.int32], n: int, found: Sequence[int], ends: Sequence[int]) -> int:
    """Append tokens behind `n` others, up to one of the ends; return how many."""
    done = 0
    for token in found:
        if token == NONE:
            break
        ids[n + done] = token
        done += 1
        if token in ends:
            break
    return done


def _one(token: int, position: int) -> Batch:
    """The batch of one token whose logits are asked for."""
    nothing = np.zeros(1, np.int32)
    return Batch(np.array([token], np.int32), np.array([position], np.int32), nothing, nothing)


def _pieces(batch: Batch, most: int, given: Place | None) -> Iterator[tuple[Batch, slice]]:
    """Cut a batch into pieces of at most `most` rows, and what is `given` to it into theirs."""
    outputs = batch.output_rows
    for first in range(0, len(batch.tokens), most):
        end = first + most
        begin, stop = np.searchsorted(outputs, [first, end]).tolist()
        tokens, positions, sessions = (column[first:end] for column in batch[:3])
        of = slice(begin, stop) if given and given.space == "output" else slice(first, end)
        yield Batch(tokens, positions, sessions, outputs[begin:stop] - first), of
