"""The thread that generates all texts of a model: continuous batching.

Each turn of its loop takes in requests that wait, gives the engine one step for all texts in hand,
and sends what came of it to the event loop in one call. So a request joins and leaves at any token,
and a long prompt is read in parts between the tokens of others.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from llmpy.engine import Work
from llmpy.errors import SessionClosed
from llmpy.server.errors import ApiError
from llmpy.server.generation import Generation
from llmpy.session import Piece

if TYPE_CHECKING:
    from llmpy.model import Model

__all__ = ["Counts", "Decoder"]

Delivery = list[tuple[Generation, list[Piece] | Exception]]


class Counts:
    """Sums of what was generated, for metrics."""

    __slots__ = ("n_ended", "n_generated", "n_prompt", "n_steps", "seconds")

    def __init__(self) -> None:
        self.n_ended = 0
        self.n_prompt = 0
        self.n_generated = 0
        self.n_steps = 0
        self.seconds = 0.0


class Decoder:
    """Generates up to `n_parallel` texts of `model` at a time; up to `n_queue` more wait.

    `submit` and `cancel` are for the event loop in which it was made.
    """

    def __init__(self, model: Model, *, n_parallel: int, n_queue: int) -> None:
        self.model = model
        self.counts = Counts()
        self._n_parallel = n_parallel
        self._n_queue = n_queue
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._waiting = deque[Generation]()
        self._active: list[Generation] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="llmpy decoder", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """The number of requests that wait."""
        return len(self._waiting)

    @property
    def n_active(self) -> int:
        """The number of texts that are generated now."""
        return len(self._active)

    def submit(self, generations: Sequence[Generation]) -> None:
        """Generate these; ApiError 429 where too many wait already, 400 where they never could."""
        if len(generations) > (most := self._n_queue + self._n_parallel):
            raise ApiError(400, f"expected up to {most} prompts, found {len(generations)}")
        with self._changed:
            if self._closing:
                raise SessionClosed("the model is being unloaded")
            n_free = max(0, self._n_parallel - len(self._active))
            if len(self._waiting) + len(generations) > self._n_queue + n_free:
                raise self._busy()
            self._waiting.extend(generations)
            self._changed.notify()

    def cancel(self, generations: Sequence[Generation]) -> None:
        """Stop these: at once where they wait, else within the step that runs."""
        with self._changed:
            for generation in generations:
                generation.cancelled = True
                if generation in self._waiting:
                    self._waiting.remove(generation)

    def position(self, generation: Generation) -> int:
        """Return the number in line of a generation; 0 where it waits no more."""
        with self._changed:
            waiting = list(self._waiting)
        return waiting.index(generation) + 1 if generation in waiting else 0

    def stage(self, generation: Generation) -> str:
        """Return the stage of a generation without output yet, for its client to read."""
        if position := self.position(generation):
            return f"waiting, number {position} in line"
        return f"reading {generation.n_read} of {generation.n_prompt} tokens"

    def close(self) -> None:
        """End all generations, and the thread; its model may be closed then."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _busy(self) -> ApiError:
        counts = self.counts
        a_text = counts.seconds / counts.n_ended if counts.n_ended else 1.0
        seconds = round(a_text * len(self._waiting))
        return ApiError(
            429,
            f"{len(self._waiting)} requests wait for this model, and no more may "
            f"(--queue {self._n_queue}): try again later",
            code="queue_full",
            headers={"Retry-After": str(min(max(seconds, 1), 60))},
        )

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._active or self._closing):
                    self._changed.wait()
                if self._closing:
                    break
                new = self._admitted()
            delivery: Delivery = []
            for generation in new:
                self._begin(generation, delivery)
            if self._active:
                self._step(delivery)
            self._deliver(delivery)
        left, self._active = [*self._active, *self._waiting], []
        self._waiting.clear()
        for generation in left:
            generation.close()
        self._deliver([(g, SessionClosed("the model is being unloaded")) for g in left])

    def _admitted(self) -> list[Generation]:
        """Those that begin now."""
        new: list[Generation] = []
        n = len(self._active)
        while self._waiting:
            n += 1 + len(self._waiting[0].forks)
            if n > self._n_parallel and (new or self._active):
                break
            new.append(self._waiting.popleft())
        return new

    def _begin(self, generation: Generation, delivery: Delivery) -> None:
        if generation.cancelled:
            return
        try:
            generation.begin(self.model)
        except Exception as error:
            generation.close()
            delivery.append((generation, error))
            return
        self._active.append(generation)

    def _step(self, delivery: Delivery) -> None:
        """One step of the engine for all, and what it has given to each."""
        works = []
        for generation in self._active:
            if generation.cancelled:
                self._end(generation, "cancelled", delivery)
                continue
            try:
                asked = generation.work is not None or self._ask(generation, delivery)
            except Exception as error:
                self._fail(generation, error, delivery)
                continue
            if asked:
                assert generation.work is not None
                works.append(generation.work)
        if works:
            begin = time.perf_counter()
            assert self._active[0].session is not None
            self._active[0].session.transcript.engine.run(works, once=True)
            self.counts.seconds += time.perf_counter() - begin
            self.counts.n_steps += 1
        for generation in list(self._active):
            work = generation.work
            if work is not None and work.served:
                generation.work = None
                self._take(generation, work, delivery)
        self._active = [g for g in self._active if g.reason is None]

    def _ask(self, generation: Generation, delivery: Delivery) -> bool:
        """Note the work for its next token, or for a prompt that several share."""
        session = generation.session
        assert session is not None
        if not generation.first and (reason := generation.over()) is not None:  # it asked for none
            self._end(generation, reason, delivery)
            return False
        if generation.forks:
            last = generation.n_prompt - 1
            if last:
                generation.work = Work(session.transcript.sequence, last, last, last)
                return True
            self._fork(generation, delivery)
        while pieces := generation.take_forced():
            delivery.append((generation, pieces))
            if generation.reason is not None:
                self._ended(generation)
                return False
        generation.work = session.transcript.request(generation.options)
        return True

    def _take(self, generation: Generation, work: Work, delivery: Delivery) -> None:
        generation.n_reused += work.n_found
        try:
            if generation.forks:
                if work.error is not None:
                    raise work.error
                self._fork(generation, delivery)
                return
            pieces = generation.take(work)
        except Exception as error:
            self._fail(generation, error, delivery)
            return
        if generation.reason is not None:
            self._ended(generation)
        delivery.append((generation, pieces))

    def _fork(self, generation: Generation, delivery: Delivery) -> None:
        """The prompt is read: the others that go on from it begin."""
        forks, generation.forks = generation.forks, []
        assert generation.session is not None
        for fork in forks:
            if not fork.cancelled:
                try:
                    fork.begin_fork(generation.session)
                except Exception as error:
                    self._fail(fork, error, delivery)
                else:
                    self._active.append(fork)

    def _end(self, generation: Generation, reason: str, delivery: Delivery) -> None:
        delivery.append((generation, generation.end(reason)))  # type: ignore[arg-type]
        self._ended(generation)

    def _fail(self, generation: Generation, error: Exception, delivery: Delivery) -> None:
        generation.reason = "cancelled"
        self._ended(generation)
        delivery.append((generation, error))

    def _ended(self, generation: Generation) -> None:
        generation.close()
        self.counts.n_ended += 1
        self.counts.n_prompt += 0 if generation.is_fork else generation.n_prompt
        self.counts.n_generated += generation.n_generated

    def _deliver(self, delivery: Delivery) -> None:
        if delivery:
            with suppress(RuntimeError):  # the loop has ended: nobody reads
                self._loop.call_soon_threadsafe(_put, delivery)


def _put(delivery: Delivery) -> None:
    for generation, pieces in delivery:
        generation.inbox.put(generation, pieces)
