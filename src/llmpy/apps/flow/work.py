"""The surroundings of a node while it runs: models, files, events, and whether it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llmpy
from llmpy import chains
from llmpy.apps.flow.graph import FlowError

__all__ = ["Allowed", "Event", "Models", "Work"]

Tell = Callable[["Event"], object]


@dataclass(frozen=True)
class Event:
    """Something that happens to a node: `kind` says what.

    Kinds: "waiting", "running", "stage" (what it does, in words), "text" (more of what it writes),
    "progress" ([done, total]), "done", "cached", "skipped", "error", "stopped". `data` of "done"
    and "cached" has the `values` by output, and the `seconds`.
    """

    kind: str
    node: str
    data: Any = None


@dataclass(frozen=True)
class Allowed:
    """Permissions of nodes beyond computing.

    `files`: the folder below which they may read files; `python`: run Python functions; `hosts`:
    hosts that HTTP may ask, "*" for any.
    """

    files: Path = field(default_factory=Path.cwd)
    python: bool = False
    hosts: tuple[str, ...] = ()

    def why_not(self, needs: str) -> str | None:
        """Return why a kind of node that needs something may not run, or None."""
        if needs == "python" and not self.python:
            return "Python functions are off: start llmpy flow with --allow-python"
        if needs == "http" and not self.hosts:
            return "HTTP is off: start llmpy flow with --allow-http HOST"
        return None

    def place(self, path: str) -> Path:
        """Return the place of a file or folder, which must be below `files`; FlowError."""
        if not path.strip():
            raise FlowError("choose a path first")
        if "\0" in path:
            raise FlowError("a path has no NUL in it")
        base = self.files.resolve()
        found = (base / Path(path).expanduser()).resolve()
        if not found.is_relative_to(base):
            raise FlowError(f"{path}: only files below {base} may be read (--files FOLDER)")
        return found


class Models:
    """Models by name, loaded when they are first used, and shared by all runs.

    `default` and `embedder` are the names where a node names none; without `embedder`, the first
    installed model that embeds texts is used. `loading` are options of `llmpy.load`.
    """

    def __init__(
        self, default: str | None = None, embedder: str | None = None, **loading: Any
    ) -> None:
        self.default, self._embedder = default, embedder
        self._runner = chains.Runner(default, embedder=embedder, **loading)
        self._loaded = set[tuple[str, bool]]()
        self._lock = threading.Lock()

    @property
    def default_embedder(self) -> str | None:
        """The model that embeds texts where a node names none."""
        if self._embedder is not None:
            return self._embedder
        return next((m.name for m in llmpy.models() if m.good_for == "embeddings"), None)

    def get(
        self, name: str, *, embeds: bool = False, loading: Callable[[str], object] | None = None
    ) -> llmpy.Model:
        """Return a model; `loading` is told its name, if it must be loaded first."""
        given = name or (self.default_embedder if embeds else self.default)
        key = given or "the default model", embeds
        if loading is not None and key not in self._loaded:
            loading(key[0])
        with self._lock:
            if embeds:
                if given is None:
                    raise FlowError(
                        "no model that embeds texts is installed: llmpy pull minilm downloads one, "
                        "and --embedder MODEL names another"
                    )
                found = self._runner.embedder(given)
            else:
                found = self._runner.model(given)
            self._loaded.add(key)
        return found

    def close(self) -> None:
        """Close the models."""
        self._runner.close()


@dataclass
class Work:
    """The work of one node: `runner` runs steps of `llmpy.chains`, and is stopped with the run.

    `memory` is kept for the node from one run to the next.
    """

    node: str
    models: Models
    runner: chains.Runner
    allowed: Allowed
    stop: threading.Event
    tell: Tell
    memory: dict[str, Any] = field(default_factory=dict)
    is_quiet: bool = False  # of one item among many

    def check(self) -> None:
        """Raise llmpy.Cancelled if the run is stopped."""
        if self.stop.is_set():
            raise llmpy.Cancelled("the flow was stopped")

    def stage(self, words: str) -> None:
        """Say what is being done."""
        if not self.is_quiet:
            self.tell(Event("stage", self.node, words))

    def text(self, text: str) -> None:
        """Show more of the text that the node writes."""
        if text and not self.is_quiet:
            self.tell(Event("text", self.node, text))

    def progress(self, done: int, total: int) -> None:
        """Say how far it is."""
        self.tell(Event("progress", self.node, [done, total]))

    def model(self, name: str) -> llmpy.Model:
        """Return a model that writes; "" is the default one."""
        return self.models.get(name, loading=lambda n: self.stage(f"loading {n}"))

    def embedder(self, name: str) -> llmpy.Model:
        """Return a model that embeds texts; "" is the default one."""
        return self.models.get(name, embeds=True, loading=lambda n: self.stage(f"loading {n}"))

    def step(self, step: chains.Step, **values: Any) -> Any:
        """Run a step, show what it writes, and return its value."""
        self.check()
        self.stage("reading")
        last = ""
        value = None
        with closing(self.runner.stream(step, **values)) as events:
            for event in events:
                self.check()
                if event.kind in ("text", "thinking") and event.kind != last:
                    last = event.kind
                    self.stage("writing" if last == "text" else "thinking")
                if event.kind == "text":
                    self.text(event.text)
                if event.stats is not None and not self.is_quiet:
                    self.tell(Event("stats", self.node, _speed(event.stats)))
                value = event.value
        return value


def _speed(stats: llmpy.Stats) -> dict[str, Any]:
    seconds = stats.generate_seconds
    n = stats.n_generated
    return {"n_prompt": stats.n_prompt, "n_generated": n,
            "per_second": round(n / seconds, 1) if seconds else None}  # fmt: skip
