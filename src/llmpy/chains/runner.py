"""The runner: models, functions, cache and trace of chains, and the calls that run them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import msgspec

import llmpy
from llmpy.chains.chainfile import as_data
from llmpy.chains.step import Event, Run, Step

__all__ = ["Runner"]

Given = llmpy.Model | str | os.PathLike[str] | None
TABLE = "create table if not exists results (key text primary key, value blob, at real)"


class Runner:
    """Runs chains: `Runner("MODEL.gguf").run(chain, text="...")`.

    `model` and `embedder` are models, or names and paths for `llmpy.load`, and are loaded when they
    are first used (None: the default model); `loading` are options of `load` for the model, such as
    `n_ctx=2048`. `functions` may be named by chains that come from files. `cache`: a file for the
    results of steps with the same content: the step, its input, and the model. `trace`: a file to
    which each start, result and error is appended as a line of JSON. `memory` holds the
    conversations of `Converse`. A runner may be used from several threads.
    """

    def __init__(
        self,
        model: Given = None,
        *,
        embedder: Given = None,
        functions: Iterable[Callable[..., Any]] = (),
        cache: str | os.PathLike[str] | None = None,
        trace: str | os.PathLike[str] | None = None,
        memory: dict[str, list[dict[str, Any]]] | None = None,
        **loading: Any,
    ) -> None:
        self.memory = {} if memory is None else memory
        self._default, self._embedder, self._loading = model, embedder, loading
        self._functions = {llmpy.Tool.of(one).name: one for one in functions}
        self._models: dict[str, llmpy.Model] = {}
        self._lock = threading.RLock()
        self._open: set[Run] = set()
        self._trace = None if trace is None else Path(trace).open("a", encoding="utf-8")  # noqa: SIM115
        self._cache: sqlite3.Connection | None = None
        if cache is not None:
            self._cache = sqlite3.connect(cache, check_same_thread=False, isolation_level=None)
            self._cache.execute(TABLE)

    def run(self, step: Step, /, **values: Any) -> Any:
        """Run a step or a chain on these values, and return what it gives."""
        events = self.stream(step, **values)
        while True:
            try:
                next(events)
            except StopIteration as end:
                return end.value

    def stream(self, step: Step, /, **values: Any) -> Generator[Event, None, Any]:
        """Run a step or a chain on these values, and yield its events as they come.

        The last event is the "value" of the whole. A loop that is left early ends the run. Raises
        what the steps raise: ValueError and TypeError for values that are missing or wrong,
        llmpy.Cancelled after `cancel`, and the errors of models.
        """
        return (yield from self._running(Run(self, uuid.uuid4().hex[:12]), step, values))

    async def arun(self, step: Step, /, **values: Any) -> Any:
        """Run `run` in asyncio; cancelling the task ends the run."""
        value = None
        events = self.astream(step, **values)
        async for event in events:
            value = event.value
        return value

    async def astream(self, step: Step, /, **values: Any) -> AsyncGenerator[Event]:
        """Run `stream` in asyncio: `async for event in runner.astream(chain, ...)`."""
        run, end = Run(self, uuid.uuid4().hex[:12]), object()
        events = self._running(run, step, values)
        running: asyncio.Future[Any] | None = None
        try:
            while True:
                running = asyncio.ensure_future(asyncio.to_thread(next, events, end))
                found = await asyncio.shield(running)
                if found is end:
                    return
                yield found
        finally:
            run.stop.set()
            if running is not None and not running.done():
                await asyncio.wait([running])  # it ends at its next token
                running.exception()
            await asyncio.to_thread(events.close)

    def cancel(self) -> None:
        """Cancel all that runs now: each run ends at its next token, with llmpy.Cancelled."""
        with self._lock:
            for run in self._open:
                run.stop.set()

    def close(self) -> None:
        """Cancel what runs, and close the models that were loaded, the cache and the trace."""
        self.cancel()
        with self._lock:
            for model in self._models.values():
                model.close()
            self._models.clear()
            if self._cache is not None:
                self._cache.close()
            if self._trace is not None:
                self._trace.close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # What steps use

    def model(self, given: Given = None) -> llmpy.Model:
        """Return a model that generates, loaded once; default the runner's own."""
        given = self._default if given is None else given
        if given is None:
            found = llmpy.default_model()
            if found is None:
                raise llmpy.ModelNotFound(
                    None, "model", "an installed model", "none",
                    hint="Give a model, or install one: llmpy pull smollm2",
                )  # fmt: skip
            given = found.name
        return self._loaded(given, self._loading)

    def embedder(self, given: Given = None) -> llmpy.Model:
        """Return the model that embeds texts, loaded once; default the runner's own."""
        given = self._embedder if given is None else given
        if given is None:
            raise ValueError("a search needs a model that embeds texts: give embedder=NAME")
        return self._loaded(given, {})

    def function(self, given: Callable[..., Any] | str) -> Callable[..., Any]:
        """Return the function of that name; ValueError if `functions` has none."""
        if not isinstance(given, str):
            return given
        if given not in self._functions:
            there = ", ".join(self._functions) or "there is none"
            raise ValueError(
                f"function {given!r} is none of the runner's ({there}): give functions=[...]"
            )
        return self._functions[given]

    def key(self, step: Step, values: dict[str, Any], run: Run) -> str | None:
        """Return the key of a step's result in the cache: a hash of all that it depends on."""
        if self._cache is None:
            return None
        model = run.model(getattr(step, "model", None))
        about = [as_data(step), values, model.saved.fingerprint(model.path), model.n_ctx]
        told = msgspec.json.encode(about, enc_hook=repr, order="deterministic")
        return hashlib.sha256(told).hexdigest()

    def kept(self, key: str, kind: Any) -> tuple[Any] | None:
        """Return the result in the cache, as a tuple; None if there is none of that type."""
        assert self._cache is not None
        with self._lock:
            row = self._cache.execute("select value from results where key = ?", (key,)).fetchone()
        try:
            return None if row is None else (msgspec.json.decode(row[0], type=kind),)
        except msgspec.MsgspecError:
            return None

    def keep(self, key: str, value: Any) -> None:
        """Write a result into the cache."""
        assert self._cache is not None
        with self._lock:
            row = (key, msgspec.json.encode(value), time.time())
            self._cache.execute("insert or replace into results values (?, ?, ?)", row)

    def note(self, number: str, event: Event) -> None:
        """Append an event to the trace, if there is one."""
        if self._trace is None:
            return
        line = {"time": round(time.time(), 3), "run": number, "step": event.path}
        line |= {"event": event.kind, "seconds": round(event.seconds, 4)}
        if event.stats is not None:
            line |= {"n_prompt": event.stats.n_prompt, "n_generated": event.stats.n_generated}
        line |= {"text": event.text} if event.text else {"value": event.value}
        told = json.dumps(msgspec.to_builtins(line, enc_hook=repr), ensure_ascii=False)
        with self._lock:
            if not self._trace.closed:
                self._trace.write(told + "\n")
                self._trace.flush()

    def _running(self, run: Run, step: Step, values: dict[str, Any]) -> Generator[Event, None, Any]:
        with self._lock:
            self._open.add(run)
        try:
            return (yield from run.step(step, values))
        finally:
            run.stop.set()
            with self._lock:
                self._open.discard(run)

    def _loaded(self, given: Given, loading: dict[str, Any]) -> llmpy.Model:
        if isinstance(given, llmpy.Model):
            return given
        with self._lock:
            name = os.fspath(given)  # type: ignore[arg-type]
            if name not in self._models:
                self._models[name] = llmpy.load(name, **loading)
            return self._models[name]
