"""Running a flow: each node as soon as its inputs are there, several at a time."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

import llmpy
from llmpy import chains
from llmpy.apps.flow.cache import Cache
from llmpy.apps.flow.checking import Checked, check
from llmpy.apps.flow.graph import Edge, Flow, FlowError
from llmpy.apps.flow.kinds import Kind
from llmpy.apps.flow.types import is_of
from llmpy.apps.flow.work import Allowed, Event, Models, Work

__all__ = ["Execution", "Results"]

PARALLEL = 8  # nodes that run at a time
Results = dict[str, Any]


class Execution:
    """One run of a flow; `run` works, and any thread may `cancel`.

    `targets`: only these nodes and what they need (default: all). `fresh`: nodes whose results are
    made again, though they are in the cache. `memory`: what nodes keep from run to run, by id.
    """

    def __init__(
        self,
        flow: Flow,
        models: Models,
        *,
        allowed: Allowed | None = None,
        cache: Cache | None = None,
        tell: Callable[[Event], object] = lambda _: None,
        targets: Collection[str] = (),
        fresh: Collection[str] = (),
        memory: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.checked: Checked = check(flow)
        self._flow, self._models, self._tell = flow, models, tell
        self._allowed = allowed or Allowed()
        self._cache = Cache() if cache is None else cache
        self._owns_cache = cache is None
        self._fresh = frozenset(fresh)
        self._memory = {} if memory is None else memory
        self._stop = threading.Event()
        self._runner = chains.Runner()
        known = {node.id for node in flow.nodes}
        if unknown := sorted(set(targets) - known):
            raise FlowError(f"there is no node {unknown[0]!r:.80}")
        self._among = flow.before(targets or known)
        self._arriving: dict[str, list[Edge]] = {id: [] for id in self._among}
        self._leaving: dict[str, list[Edge]] = {id: [] for id in self._among}
        for edge in flow.edges:
            if edge.target in self._among:
                self._arriving[edge.target].append(edge)
                self._leaving[edge.source].append(edge)
        self.values: dict[str, Results] = {}  # by node
        self.errors: dict[str, str] = {}
        self._skipped = set[str]()

    def cancel(self) -> None:
        """Stop: what runs ends soon, and nothing new begins."""
        self._stop.set()
        self._runner.cancel()

    def problem(self) -> str | None:
        """Return why the flow cannot be run, or None."""
        return self.checked.first_problem(self._among)

    def run(self) -> Results:
        """Run, and return the values of output nodes by title.

        Raises FlowError where the flow is wrong, before anything runs, or where a node failed, once
        all others have ended; llmpy.Cancelled where it was stopped.
        """
        if problem := self.problem():
            raise FlowError(problem)
        try:
            self._work()
        finally:
            self._runner.close()
            if self._owns_cache:
                self._cache.close()
        if self._stop.is_set():
            raise llmpy.Cancelled("the flow was stopped")
        if self.errors:
            id, said = next(iter(self.errors.items()))
            raise FlowError(f"{self.checked.name(id)}: {said}")
        outputs = [id for id in self.values if self.checked.kinds[id].is_output]
        last = outputs or [id for id in self.values if not self._leaving[id]]
        found: Results = {}
        for id in (node.id for node in self._flow.nodes if node.id in last):
            name, n = self.checked.name(id), 2
            while (title := name if n == 2 and name not in found else f"{name} {n}") in found:
                n += 1
            values = self.values[id]
            found[title] = next(iter(values.values())) if len(values) == 1 else values
        return found

    def _work(self) -> None:
        """Start nodes whose inputs are there, until all have ended."""
        ended = queue.Queue[str]()
        waits = {id: len(self._arriving[id]) for id in self._among}
        left = len(waits)
        with ThreadPoolExecutor(PARALLEL, "llmpy-flow") as pool:

            def start(id: str) -> None:
                pool.submit(self._one, id).add_done_callback(lambda _: ended.put(id))

            try:
                for id in self._among:
                    self._tell(Event("waiting", id))
                for id in [id for id, n in waits.items() if not n]:
                    start(id)
                while left:
                    id = ended.get()
                    left -= 1
                    for edge in self._leaving[id]:
                        waits[edge.target] -= 1
                        if not waits[edge.target]:
                            start(edge.target)
            except BaseException:  # Ctrl-C; what runs is waited for
                self.cancel()
                raise

    def _one(self, id: str) -> None:
        """Run a node, or tell why it is not run; no exception leaves this."""
        kind, began = self.checked.kinds[id], time.perf_counter()
        try:
            if self._stop.is_set():
                raise llmpy.Cancelled
            given = self._inputs(id)
            if isinstance(given, str):
                self._skipped.add(id)
                self._tell(Event("skipped", id, given))
                return
            values, state = self._result(id, kind, given)
        except llmpy.Cancelled:
            self._tell(Event("stopped", id))
        except Exception as error:
            self.errors[id] = said = _told(error)
            self._tell(Event("error", id, said))
        else:
            self.values[id] = values
            seconds = round(time.perf_counter() - began, 3)
            self._tell(Event(state, id, {"values": values, "seconds": seconds}))

    def _inputs(self, id: str) -> Results | str:
        """Return the values of a node's inputs, or why there are none."""
        given: Results = {}
        ports = {port.name: port for port in self.checked.ports[id].inputs}
        for edge in self._arriving[id]:
            name = edge.target_handle
            values = self.values.get(edge.source)
            if values is None:
                if ports[name].required or edge.source not in self._skipped:
                    return f"{self.checked.name(edge.source)} has no result"
            elif edge.source_handle in values:
                value = given[name] = values[edge.source_handle]
                if not is_of(value, ports[name].type):
                    raise FlowError(
                        f"{name}: expected {ports[name].type}, found {type(value).__name__}"
                    )
            elif ports[name].required:
                return f"{self.checked.name(edge.source)} took the other way"
        return given

    def _result(self, id: str, kind: Kind, given: Results) -> tuple[Results, str]:
        """Return the values of a node, and whether they were "done" or "cached"."""
        settings = self.checked.settings[id]
        if reason := self._allowed.why_not(kind.needs):
            raise FlowError(reason)
        key = None
        if kind.is_cached:
            key = self._cache.key(kind.name, settings, given, self._fingerprint(kind, settings))
            if id not in self._fresh and (kept := self._cache.get(key)) is not None:
                return kept, "cached"
        self._tell(Event("running", id))
        work = Work(
            id, self._models, self._runner, self._allowed, self._stop, self._tell,
            self._memory.setdefault(id, {}),
        )  # fmt: skip
        found = kind.function(*([work] if kind.takes_work else []), **given, **settings)
        if not isinstance(found, str | dict | list) and hasattr(found, "__next__"):
            found = _streamed(work, found)
        work.check()
        found = msgspec.to_builtins(found)
        ports = self.checked.ports[id].outputs
        values = found if len(ports) > 1 else {ports[0].name if ports else "value": found}
        for port in ports:
            if port.name in values and not is_of(values[port.name], port.type):
                said = type(values[port.name]).__name__
                raise FlowError(f"{port.name}: expected to get {port.type}, found {said}")
        if key is not None:
            self._cache.put(key, values)
        return values, "done"

    def _fingerprint(self, kind: Kind, settings: Results) -> Any:
        """Return what says whether the models of a node are the same files as before."""
        writer = self._models.default or llmpy.default_name()
        embedder = self._models.default_embedder
        found = []
        for one in kind.fields:
            if one.shown.widget == "model":
                found.append(settings[one.name] or writer)
            elif one.shown.widget == "embedder":
                found.append(settings[one.name] or embedder)
            elif one.shown.widget == "kind":
                given = settings[one.name].get("model")
                found += [given] if isinstance(given, str) and given else [writer, embedder]
        return [_file_of(name or "") for name in found]


def _file_of(name: str) -> Any:
    """The path, size and time of change of a model; its name where it is not there."""
    with suppress(llmpy.ModelNotFound, OSError, ValueError):
        path = Path(name) if os.path.exists(name) else llmpy.find_model(name).path
        seen = path.stat()
        return str(path.resolve()), seen.st_size, seen.st_mtime_ns
    return name


def _streamed(work: Work, pieces: Any) -> str:
    """Show the texts that a function yields as they come, and return them joined."""
    text = ""
    for piece in pieces:
        work.check()
        if not isinstance(piece, str):
            raise TypeError(f"expected the function to yield texts, found {type(piece).__name__}")
        work.text(piece)
        text += piece
    return text


def _told(error: Exception) -> str:
    """An error in one line."""
    known = isinstance(error, llmpy.LlmpyError | OSError | ValueError | ImportError | TypeError)
    text = str(error) if known and str(error) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
