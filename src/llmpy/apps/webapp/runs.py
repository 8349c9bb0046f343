"""Answers that are generated: each lives on its own, whoever listens, and is on the disk first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import llmpy
from llmpy.apps.webapp.answering import Writer, answered
from llmpy.apps.webapp.events import Bus, Feed, encoded
from llmpy.apps.webapp.records import Record, new_id
from llmpy.apps.webapp.store import Store
from llmpy.server import ApiError, Call, State, as_api_error

__all__ = ["Run", "Runs"]

log = logging.getLogger("llmpy.app")

UNHEARD = 60.0  # seconds without a listener after which an answer is stopped
REMEMBERED = 60.0  # seconds that the events of a run are kept after its end
MERGED = ("text", "thinking")
LATEST = ("stage", "stats")


class Watch:
    """The receiver of a text, who never hangs up."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}
        self.gone = False

    @asynccontextmanager
    async def watched(self, on_gone: Callable[[], object]) -> AsyncIterator[None]:  # noqa: ARG002
        """Do nothing: the task of the run is cancelled instead."""
        yield


class Run:
    """One answer while it is generated, and a while after that."""

    def __init__(self, runs: Runs, thread: str, answer: str, request: Record) -> None:
        self.id = new_id("r")
        self.thread = thread
        self.answer = answer
        self.request = request
        self.is_over = False
        self._is_halted = False
        self._runs = runs
        self._events: list[tuple[str, Any]] = []
        self._feed = Feed()
        self._n_listeners = 0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def n_events(self) -> int:
        """The number of events so far."""
        return len(self._events)

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._work())
        self._wind()

    async def stop(self) -> None:
        """End the answer, and return once nothing more is computed for it."""
        await asyncio.sleep(0)  # a task that has not begun would end without a word
        self._halt()
        if self._task is not None:
            await asyncio.wait([self._task])

    def tell(self, kind: str, data: Any) -> None:
        """Add an event; what it says is on the disk already."""
        self._events.append((kind, data))
        self._feed.wake()

    async def listen(self, call: Call, seen: int) -> None:
        """Send all events after number `seen`."""
        seen = max(0, min(seen, len(self._events)))

        def take() -> bytes | None:
            nonlocal seen
            if seen == len(self._events):
                return None if self.is_over else b""
            data = _joined(self._events[seen:], seen)
            seen = len(self._events)
            return data

        self._n_listeners += 1
        self._unwind()
        try:
            await self._feed.stream(call, take)
        finally:
            self._n_listeners -= 1
            if not self._n_listeners and not self.is_over:
                self._wind()

    # Inside

    def _wind(self) -> None:
        self._unwind()
        self._timer = asyncio.get_running_loop().call_later(self._runs.unheard, self._halt)

    def _unwind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _halt(self) -> None:
        """Cancel the task, once: what it does at its end is not to be interrupted."""
        if self._task is not None and not self._is_halted:
            self._is_halted = True
            self._task.cancel()

    async def _work(self) -> None:
        """Answer; whatever happens, the answer ends in one of its states."""
        runs = self._runs
        writer = Writer(runs.store, self.answer, self.tell)
        state, error = "done", None
        try:
            await answered(runs.server, runs.tools, Watch(), writer, self.request)
        except asyncio.CancelledError:
            state = "stopped"
        except Exception as found:
            state, error = "error", _told(found)
        try:
            message = writer.finish(state, error)
        except Exception as found:  # the disk is full, or the thread was purged
            log.error("answer %s: it cannot be written: %s", self.answer, found)
            message = {"id": self.answer, "state": "error", "error": _told(found)}
        self.tell("done", message)
        self.is_over = True
        self._feed.wake()
        self._unwind()
        runs.over(self, message)


class Runs:
    """All answers that are generated now."""

    def __init__(self, store: Store, bus: Bus, tools: tuple[llmpy.Tool, ...]) -> None:
        self.store = store
        self.bus = bus
        self.tools = tools
        self.unheard = UNHEARD
        self.server: State
        self._runs: dict[str, Run] = {}
        self._by_answer: dict[str, Run] = {}

    def start(self, thread: str, answer: str, request: Record) -> Run:
        """Begin an answer, whose message is on the disk."""
        run = Run(self, thread, answer, request)
        self._runs[run.id] = self._by_answer[answer] = run
        run.start()
        self._tell(run, "running")
        return run

    def find(self, id: str) -> Run:
        """A run of this id; KeyError once it is forgotten."""
        return self._runs[id]

    def of(self, answer: str) -> Run | None:
        """The run that generates an answer now."""
        return self._by_answer.get(answer)

    def of_thread(self, thread: str) -> list[Run]:
        """The runs of a thread."""
        return [run for run in self._by_answer.values() if run.thread == thread]

    def of_model(self, name: str) -> list[Run]:
        """The runs that use a model."""
        return [run for run in self._by_answer.values() if run.request["model"] == name]

    async def close(self) -> None:
        """Stop all of them."""
        await asyncio.gather(*(run.stop() for run in list(self._by_answer.values())))

    def over(self, run: Run, message: Record) -> None:
        """Take note that a run has ended."""
        self._by_answer.pop(run.answer, None)
        asyncio.get_running_loop().call_later(REMEMBERED, self._runs.pop, run.id, None)
        self.bus.tell("message", {"thread": run.thread, "message": message})
        self._tell(run, message["state"])

    def _tell(self, run: Run, state: str) -> None:
        data = {"thread": run.thread, "run": run.id, "answer": run.answer, "state": state}
        self.bus.tell("run", data)


def _joined(events: list[tuple[str, Any]], seen: int) -> bytes:
    """Events as a stream has them: texts that follow each other as one, and no outdated numbers."""
    found: list[tuple[int, str, Any]] = []
    texts: list[str] = []  # of the last event, while it is a text
    for number, (kind, data) in enumerate(events, seen + 1):
        if kind in MERGED and found and found[-1][1] == kind:
            texts.append(data["text"])
            found[-1] = (number, kind, texts)
        elif kind in MERGED:
            texts = [data["text"]]
            found.append((number, kind, texts))
        else:
            if kind in LATEST:
                found = [event for event in found if event[1] != kind]
            found.append((number, kind, data))
    return b"".join(
        encoded(number, kind, {"text": "".join(data)} if kind in MERGED else data)
        for number, kind, data in found
    )


def _told(error: Exception) -> Record:
    """An error as a message has it."""
    known = as_api_error(error)
    if known is None and isinstance(error, OSError | llmpy.LlmpyError):
        known = ApiError(500, str(error), code="model_failed")
    if known is None:
        log.error("an answer failed", exc_info=error)
        known = ApiError(500, f"an error that nobody foresaw: {type(error).__name__}: {error}")
    return {"code": known.code or "failed", "message": known.message, **known.more}
