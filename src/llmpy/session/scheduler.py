"""One engine for all sessions of a model: what they wait for is read in one batch.

There is no thread behind it. Of the threads that ask, one leads: it takes all requests that
wait, runs steps until its own are served, wakes those whose requests were served as well, and
passes the lead on. A session alone is a batch of one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, ffi
from llmpy.backends.base import PAGE_TOKENS, Batch
from llmpy.errors import SamplerError

if TYPE_CHECKING:
    from llmpy.model import Model
    from llmpy.sampling import NativeChain
    from llmpy.session.cache import PagedState
    from llmpy.session.session import Session

__all__ = ["Request", "Scheduler", "next_tokens"]

# A step waits for the sessions that went along in the last one, for they mostly come back at
# once: for this share of the last step's time at most, and never longer than this.
PATIENCE = 0.5
MOST_PATIENCE = 0.005  # seconds


class Request:
    """The tokens of a session up to `end`, to be read; and, if `wanted`, what to say then.

    Once `served` there is an `error`, or a `token` if the session's sampler is native, else the
    `logits`: code of the user's runs in the user's thread. Where nobody wants to see every token,
    up to `most` may be said; `n_said` are already, the last of them is `token`.
    """

    token = -1
    n_said = 0
    most = 1
    error: Exception | None = None
    served = False
    alone = False  # a step that it shared has failed: which of them was it?
    logits: NDArray[np.float32]
    state: PagedState  # known while a step runs

    def __init__(
        self, session: Session, end: int, *, wanted: bool, native: NativeChain | None
    ) -> None:
        self.session = session  # kept alive, so that its memory is there while a step runs
        self.end = end
        self.wanted = wanted
        self.native = native
        self.is_prompt = session._seen < session._said_by_user
        self.begin = time.perf_counter()

    def take(self, logits: NDArray[np.float32], address: int) -> None:
        """What is wanted, of logits [n_vocab or more] that last until this returns."""
        session, chain = self.session, self.native
        if chain is None:
            self.logits = logits[: session._model.n_vocab].copy()
        else:
            history = session._history.last(chain.n_history)
            self.token = chain.sample(address, chain.n_vocab, *history, session._rng)

    def fail(self, error: Exception) -> None:
        """This is all that its caller gets."""
        self.error = error
        self.served = True


class _Call:
    """The requests of one thread, which sleeps until it is given its turn."""

    __slots__ = ("leads", "requests", "turn")

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests
        self.leads = False
        self.turn: threading.Lock | None = None  # held while it sleeps

    def is_served(self) -> bool:
        """Whether all its requests are."""
        for request in self.requests:  # noqa: SIM110 - a third of the time of all()
            if not request.served:
                return False
        return True

    def sleep(self) -> None:
        """Make that its thread can wait for its turn."""
        self.turn = threading.Lock()
        self.turn.acquire()

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
        self._mutex = threading.Lock()  # guards the two above
        self._all_arrived = threading.Condition(self._mutex)
        self._expected = 1  # sessions in the last step
        self._seconds = 0.0  # that it took
        self._rows = np.zeros((3, model.n_batch), np.int32)

    def run(self, requests: Sequence[Request]) -> None:
        """Return once all of them, each of another session, are served.

        An exception out of the blue (KeyboardInterrupt) gives them up.
        """
        call = _Call(requests)
        try:
            with self._mutex:
                self._calls.append(call)
                if self._led:
                    call.sleep()
                    if self._n_waiting() >= self._expected:
                        self._all_arrived.notify()
                else:
                    self._led = call.leads = True
            if call.turn is not None:
                call.turn.acquire()
            while not call.is_served():
                self._step(call)
        finally:
            if call.leads or not call.is_served():
                self._leave(call)

    def _leave(self, call: _Call) -> None:
        """Pass on the lead, and give up what was not served."""
        with self._mutex:
            if call in self._calls:
                self._calls.remove(call)
            if call.leads:
                self._led = False
                if self._calls:
                    self._led = self._calls[0].leads = True
                    self._calls[0].wake()
        if not call.is_served():
            with self._model._lock:  # a step may still be reading for it
                pass

    def _n_waiting(self) -> int:
        return sum(len(call.requests) for call in self._calls)

    def _step(self, leading: _Call) -> None:
        """Read once, and wake those who have got what they asked for."""
        if self._expected > 1:
            with self._mutex:
                self._all_arrived.wait_for(
                    lambda: self._n_waiting() >= self._expected,
                    min(PATIENCE * self._seconds, MOST_PATIENCE),
                )
        with self._model._lock:  # before looking: who gives up waits for this lock
            calls: list[_Call] = []
            waiting = leading.requests
            if len(self._calls) > 1:
                with self._mutex:
                    calls = self._calls.copy()
                waiting = [request for call in calls for request in call.requests]
            if len(waiting) > 1:
                waiting = [request for request in waiting if not request.served]
            begin = time.perf_counter()
            self._serve(waiting)
            self._seconds = time.perf_counter() - begin
        if calls:
            with self._mutex:
                for call in calls:
                    if call is not leading and call in self._calls and call.is_served():
                        self._calls.remove(call)
                        call.wake()

    def _serve(self, requests: Sequence[Request]) -> None:
        """One step for as many of them as go along."""
        if len(requests) == 1 and self._say(requests[0]):
            self._expected = 1
            return
        parts = self._parts(requests)
        try:
            if parts:
                self._read(parts)
        except Exception as error:
            for request, _ in parts:
                request.alone = True
            if len(parts) == 1:
                parts[0][0].fail(error)
        self._expected = len(parts)

    def _parts(self, waiting: Sequence[Request]) -> list[_Part]:
        """What goes along in a step: a token of each session, then all that there is room for."""
        if len(waiting) > 1:
            waiting = [r for r in waiting if r.alone][:1] or waiting[: self._n_batch]
        room = self._n_batch - len(waiting)
        parts = []
        for request in waiting:
            session = request.session
            try:
                state = request.state = session._open_state()
                # Logits that are gone are made again; recurrent memory may have to begin again.
                start = session._seen = state.keep(min(session._seen, request.end - 1))
                n = min(request.end - start, 1 + room)
                state.prepare(start, start + n)
            except Exception as error:
                request.fail(error)
            else:
                room -= n - 1
                parts.append((request, n))
        return parts

    def _read(self, parts: list[_Part]) -> None:
        """Run the plan for these, and hand out the logits."""
        logits = self._model._plan.run(self._batch(parts), [r.state for r, _ in parts])
        address, row = ffi.address(logits), 0
        for request, n in parts:
            session = request.session
            session._seen += n
            request.state.done(session._seen)
            if session._seen == request.end:
                if request.wanted:
                    try:
                        request.take(logits[row], address + row * logits.strides[0])
                    except Exception as error:
                        request.error = error
                    row += 1
                request.served = True

    def _say(self, request: Request) -> bool:
        """A step of one session alone and its sampler, or several, in one native call.

        False where that cannot be: more is unread, or Python samples.
        """
        session, chain, n = request.session, request.native, request.end
        generate = getattr(self._model._plan, "generate", None)  # not every backend's
        if chain is None or session._seen != n - 1 or generate is None:
            return False
        history, most, said = session._history, request.most, 0
        try:
            state = session._open_state()
            if state.is_recurrent:
                most = 1
                if state.keep(n - 1) != n - 1:
                    session._seen = 0
                    return False
            elif most > 1:  # what the page has room for
                most = min(most, PAGE_TOKENS - (n - 1) % PAGE_TOKENS, session.n_ctx - n)
            state.prepare(n - 1, n)
            history.make_room(most)
            said = generate(state, history, most, chain, session._rng)
        except SamplerError as error:
            request.error = error
        except Exception as error:
            request.fail(error)
            return True
        session._seen = n + max(said, 1) - 1
        state.done(session._seen)
        history.count(said)
        session._rng.advance(said)
        request.n_said, request.token, request.served = said, history.item(-1), True
        return True

    def _batch(self, parts: list[_Part]) -> Batch:
        model = self._model
        if len(parts) == 1:
            ((request, n),) = parts
            session, start = request.session, request.session._seen
            wanted = request.wanted and start + n == request.end
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
            if request.wanted and start + n == request.end:
                last.append(at - 1)
        return Batch(tokens[:at], positions[:at], sessions[:at], np.array(last, np.int32))


def next_tokens(sessions: Sequence[Session]) -> list[int]:
    """`next_token()` of several sessions of one model, read in one batch: an id for each.

    Each session says what it would say alone, bit for bit. Raises ValueError for sessions of
    different models or one that is there twice, and what `next_token` raises. An error that is
    found before the batch is read leaves all sessions as they were; one that only one session has
    in the end (in its sampler, say) is raised when the others have said their tokens.
    """
    from llmpy.session.session import Session  # which imports this module

    if not isinstance(sessions, Sequence):
        raise checks.wrong_type("sessions", "a sequence of sessions", sessions)
    for i, session in enumerate(sessions):
        if not isinstance(session, Session):
            raise checks.wrong_type(f"sessions: number {i}", "a Session", session)
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
