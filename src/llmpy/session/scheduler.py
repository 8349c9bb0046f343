"""One engine for all sessions of a model: what they wait for is read in one batch.

There is no thread behind it. Of the threads that ask, one leads: it takes all requests that
wait, runs steps until its own are served, wakes those whose requests were served as well, and
passes the lead on. A session alone is a batch of one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import Batch

if TYPE_CHECKING:
    from llmpy.model import Model
    from llmpy.session.cache import PagedState
    from llmpy.session.session import Session

__all__ = ["Request", "Scheduler", "next_tokens"]

# A step waits for the sessions that went along in the last one, for they mostly come back at
# once: for this share of the last step's time at most, and never longer than this.
PATIENCE = 0.25
MOST_PATIENCE = 0.005  # seconds


class Request:
    """The tokens of a session up to `end`, to be read; `take` is given the last one's logits.

    Float32 [n_vocab], which last until it returns. It runs in whichever thread leads, so it must
    not be code of the user's. Once `served`, either `result` is what it returned or `error` is set.
    """

    __slots__ = (
        "alone", "begin", "end", "error", "is_prompt", "result", "served", "session", "state",
        "take",
    )  # fmt: skip

    def __init__(
        self, session: Session, end: int, take: Callable[[NDArray[np.float32]], Any] | None
    ) -> None:
        self.session = session  # kept alive, so that its memory is there while a step runs
        self.end = end
        self.take = take
        self.state: PagedState  # known while a step runs
        self.result: Any = None
        self.error: Exception | None = None
        self.served = False
        self.alone = False  # a step that it shared has failed: which of them was it?
        self.begin = time.perf_counter()
        self.is_prompt = session._seen < session._said_by_user


class _Call:
    """The requests of one thread, which sleeps until it is given its turn."""

    __slots__ = ("leads", "requests", "served", "turn")

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests
        self.leads = False
        self.served = False
        self.turn: threading.Lock | None = None  # held while it sleeps

    def wake(self) -> None:
        """Give it its turn."""
        if self.turn is not None and self.turn.locked():
            self.turn.release()


_Part = tuple[Request, int]  # and how many of its tokens go along


class Scheduler:
    """Serves the requests of any number of threads, in the order in which they came.

    In each step every session reads at least one token, so a long prompt holds nobody up for more
    than a step. An error of one request is its own; the others do not notice.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._n_batch = model.n_batch
        self._calls: list[_Call] = []  # neither served nor given up, the oldest first
        self._led = False
        self._arrived = threading.Condition(threading.Lock())  # guards the two above
        self._expected = 1  # sessions in the last step
        self._seconds = 0.0  # that it took
        self._rows = np.zeros((3, model.n_batch), np.int32)

    def run(self, requests: Sequence[Request]) -> None:
        """Return once all of them, each of another session, are served.

        An exception out of the blue (KeyboardInterrupt) gives them up.
        """
        call = _Call(requests)
        try:
            with self._arrived:
                self._calls.append(call)
                if not self._led:
                    self._led = call.leads = True
                else:
                    call.turn = threading.Lock()
                    call.turn.acquire()
                    if self._n_waiting() == self._expected:
                        self._arrived.notify()
            if call.turn is not None:
                call.turn.acquire()
            while not call.served:
                self._step()
        finally:
            if call.leads or not call.served:
                self._leave(call)

    def _leave(self, call: _Call) -> None:
        with self._arrived:
            if call in self._calls:
                self._calls.remove(call)
            if call.leads:
                self._led = bool(self._calls)
                for following in self._calls[:1]:
                    following.leads = True
                    following.wake()
        if not call.served:
            with self._model._lock:  # a step may still be reading for it
                pass

    def _n_waiting(self) -> int:
        return sum(len(call.requests) for call in self._calls)

    def _step(self) -> None:
        """Read once, and wake those who have got what they asked for."""
        if self._expected > 1:
            with self._arrived:
                self._arrived.wait_for(
                    lambda: self._n_waiting() >= self._expected,
                    min(PATIENCE * self._seconds, MOST_PATIENCE),
                )
        with self._model._lock:
            parts = self._parts()
            begin = time.perf_counter()
            try:
                if parts:
                    self._read(parts)
            except Exception as error:
                for request, _ in parts:
                    if len(parts) == 1:
                        _fail(request, error)
                    request.alone = True
            self._seconds = time.perf_counter() - begin
            self._expected = len(parts)
        with self._arrived:
            waiting = []
            for call in self._calls:
                if all(request.served for request in call.requests):
                    call.served = True
                    call.wake()
                else:
                    waiting.append(call)
            self._calls = waiting

    def _parts(self) -> list[_Part]:
        """What goes along in a step: a token of each session, then all that there is room for."""
        with self._arrived:
            waiting = [r for call in self._calls for r in call.requests if not r.served]
        open_requests = [request for request in waiting if self._opened(request)]
        suspects = [request for request in open_requests if request.alone]
        chosen = suspects[:1] or open_requests[: self._n_batch]
        room = self._n_batch - len(chosen)
        parts = []
        for request in chosen:
            more = min(room, request.end - request.session._seen - 1)
            room -= more
            parts.append((request, 1 + more))
        return parts

    def _opened(self, request: Request) -> bool:
        """Whether its session can go on; from the beginning, where recurrent memory must."""
        session = request.session
        try:
            request.state = session._open_state()
            session._seen = request.state.keep(session._seen)
        except Exception as error:
            _fail(request, error)
        return not request.served

    def _read(self, parts: list[_Part]) -> None:
        """Run the plan for these, and hand out the logits."""
        parts = [part for part in parts if _prepared(*part)]
        if not parts:
            return
        batch = self._batch(parts)
        logits = self._model._plan.run(batch, [request.state for request, _ in parts])
        row = 0
        for request, n in parts:
            session = request.session
            session._seen += n
            request.state.done(session._seen)
            if session._seen < request.end:
                continue
            if request.take is not None:
                try:
                    request.result = request.take(logits[row, : self._model.n_vocab])
                except Exception as error:
                    request.error = error
                row += 1
            request.served = True

    def _batch(self, parts: list[_Part]) -> Batch:
        model = self._model
        if len(parts) == 1:
            ((request, n),) = parts
            session, start = request.session, request.session._seen
            wanted = request.take is not None and start + n == request.end
            return Batch(
                session._history.part(start, start + n),
                model._positions[start : start + n],
                model._zeros[:n],
                model._positions[n - 1 : n] if wanted else model._zeros[:0],
            )
        tokens, positions, sessions = self._rows
        at, last = 0, []
        for i, (request, n) in enumerate(parts):
            session, start = request.session, request.session._seen
            tokens[at : at + n] = session._history.part(start, start + n)
            positions[at : at + n] = model._positions[start : start + n]
            sessions[at : at + n] = i
            at += n
            if request.take is not None and start + n == request.end:
                last.append(at - 1)
        return Batch(tokens[:at], positions[:at], sessions[:at], np.array(last, np.int32))


def _prepared(request: Request, n: int) -> bool:
    """Whether there is memory for `n` tokens more."""
    session = request.session
    try:
        request.state.prepare(session._seen, session._seen + n)
    except Exception as error:
        _fail(request, error)
    return not request.served


def _fail(request: Request, error: Exception) -> None:
    request.error = error
    request.served = True


def next_tokens(sessions: Sequence[Session]) -> list[int]:
    """`next_token()` of several sessions of one model, read in one batch: an id for each.

    Each session says what it would say alone, bit for bit. Raises ValueError for sessions of
    different models or one that is there twice, and what `next_token` raises. An error that is
    found before the batch is read leaves all sessions as they were; one that only one session has
    in the end (in its sampler, say) is raised when the others have said their tokens.
    """
    if len({id(session) for session in sessions}) != len(sessions):
        raise ValueError("next_tokens: a session is there twice")
    if len({id(session._model) for session in sessions}) > 1:
        raise ValueError("next_tokens: expected sessions of one model, found several")
    for session in sessions:
        session._check_next()
    if not sessions:
        return []
    requests = [session._ask() for session in sessions]
    sessions[0]._model._scheduler.run(requests)
    tokens, errors = [], []
    for session, request in zip(sessions, requests, strict=True):
        try:
            tokens.append(session._hear(request)[0])
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return tokens
