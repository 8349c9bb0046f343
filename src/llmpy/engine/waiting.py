"""Choosing the thread that runs a step: of the threads that wait, one leads.

The leader takes all work that waits, runs steps until its own is served, wakes those whose work was
served as well, and passes the lead on. A sequence alone is a batch of one, in its own thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from llmpy.engine.work import Work

__all__ = ["Stepping", "WaitingThreads"]

# A step waits for the sequences that were in the last one, for they mostly come back at once: for
# this share of the last step's time at most, and never longer than this.
PATIENCE = 0.5
MOST_PATIENCE = 0.005  # seconds

# Where no step can be done for want of pages: how long and how often to look again before pages of
# sequences are taken for which nobody waits.
GLANCE = 0.002  # seconds
GLANCES = 10


class Stepping(Protocol):
    """The interface of an engine that runs steps."""

    lock: Any
    seconds: float

    def step(self, works: Sequence[Work], shared: bool = False, may_evict: bool = False) -> int:
        """Do one step, and return how many sequences were in it; `shared`: for several threads."""


class _Call:
    """The work of one thread, which sleeps until it is given its turn."""

    __slots__ = ("leads", "once", "stepped", "turn", "works")

    def __init__(self, works: Sequence[Work], once: bool = False) -> None:
        self.works = works
        self.once = once  # whether its thread goes on after one step
        self.stepped = False
        self.leads = False
        self.turn: threading.Lock | None = None  # held while it sleeps

    def is_served(self) -> bool:
        """Whether all its requests are, or it has had the one step that it waits for."""
        if self.once and self.stepped:
            return True
        for work in self.works:  # noqa: SIM110 - a third of the time of all()
            if not work.served:
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


class WaitingThreads:
    """Serves the work of any number of threads, in the order in which it came.

    An error of one piece of work is its own; the others do not notice.
    """

    def __init__(self, engine: Stepping) -> None:
        self._engine = engine
        self.reset()

    def reset(self) -> None:
        """Forget everybody: in a forked child the threads that waited are gone."""
        self._calls: list[_Call] = []  # neither served nor given up, the oldest first
        self._led = False
        self._n_alone = 0  # pieces of work that are done without a call
        self._mutex = threading.Lock()  # guards the three above
        self._all_arrived = threading.Condition(self._mutex)
        self._expected = 1  # sequences in the last step
        self._n_blocked = 0  # steps in which no sequence was, one after the other

    @property
    def n_works(self) -> int:
        """The number of pieces of work that wait, those of the step that runs included."""
        return self._n_alone + sum(len(call.works) for call in self._calls)

    def run(self, works: Sequence[Work], once: bool = False) -> None:
        """Return once all of it, each of another sequence, is served; with `once`, after a step.

        What is not served after that step may be given again. An exception out of the blue
        (KeyboardInterrupt) gives it up.
        """
        if self._run_alone(works) and (once or works[0].served):
            return
        call = _Call(works, once)
        try:
            with self._mutex:
                self._calls.append(call)
                if self._led:
                    call.sleep()
                    if self.n_works >= self._expected:
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

    def _run_alone(self, works: Sequence[Work]) -> bool:
        """Do a step of one sequence for which nobody else has to be told; False: not possible.

        Of the time between two tokens of a small model, a tenth is what `_Call` and its turns take.
        """
        alone = False
        try:
            with self._mutex:
                if not self._led and self._expected == 1 and len(works) == 1:
                    self._led = alone = not works[0].served
                    self._n_alone = int(alone)
            if alone:
                with self._engine.lock:
                    self._engine.step(works)
        finally:
            if alone:
                with self._mutex:
                    self._n_alone = 0
                    self._pass_lead()
        return alone

    def _pass_lead(self) -> None:
        """Let the call that has waited longest lead, if there is one; under the mutex."""
        self._led = False
        if self._calls:
            self._led = self._calls[0].leads = True
            self._calls[0].wake()

    def _leave(self, call: _Call) -> None:
        """Pass on the lead, and give up what was not served."""
        with self._mutex:
            if call in self._calls:
                self._calls.remove(call)
            if call.leads:
                self._pass_lead()
        if not call.is_served():
            with self._engine.lock:  # a step may still be computing for it
                pass

    def _step(self, leading: _Call) -> None:
        """Do one step, and wake those whose work is served."""
        engine = self._engine
        if self._expected > 1 and not leading.once:
            with self._mutex:
                self._all_arrived.wait_for(
                    lambda: self.n_works >= self._expected,
                    min(PATIENCE * engine.seconds, MOST_PATIENCE),
                )
        with engine.lock:  # before looking: who gives up waits for this lock
            calls: list[_Call] = []
            waiting = leading.works
            if len(self._calls) > 1:
                with self._mutex:
                    calls = self._calls.copy()
                waiting = [work for call in calls for work in call.works]
            if len(waiting) > 1:
                waiting = [work for work in waiting if not work.served]
            self._expected = engine.step(waiting, bool(calls), self._n_blocked >= GLANCES)
            for call in calls or (leading,):
                call.stepped = True
        if calls:
            with self._mutex:
                for call in calls:
                    if call is not leading and call in self._calls and call.is_served():
                        self._calls.remove(call)
                        call.wake()
        if self._expected:
            self._n_blocked = 0
        elif not all(work.served for work in leading.works):
            self._n_blocked += 1
            with self._mutex:
                self._all_arrived.wait(GLANCE)
