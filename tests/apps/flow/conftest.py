"""Flows in short notation, models for them, and kinds of nodes that tests make."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmpy.apps.flow import Event, Execution, Flow, Models, loads
from llmpy.apps.flow.graph import of_data
from llmpy.apps.flow.kinds import all_kinds

SECONDS = 60


def made(nodes: dict[str, Any], *wires: str) -> Flow:
    """A flow of {"a": ("text", {settings})} and wires "a.value -> b.prompt"."""
    found, edges = [], []
    for id, given in nodes.items():
        kind, data = given if isinstance(given, tuple) else (given, {})
        found.append({"id": id, "type": kind, "data": data})
    for wire in wires:
        (a, out), (b, into) = (end.strip().split(".", 1) for end in wire.split("->"))
        edges.append({"source": a, "sourceHandle": out, "target": b, "targetHandle": into})
    return of_data({"nodes": found, "edges": edges})


class Done:
    """What a run gave and told."""

    def __init__(self, flow: Flow, models: Models | None = None, **options: Any) -> None:
        self.events: list[Event] = []
        own = models is None
        models = models or Models()
        self.execution = Execution(flow, models, tell=self.events.append, **options)
        try:
            self.outputs = self.execution.run()
        finally:
            if own:
                models.close()

    def __getitem__(self, id: str) -> Any:
        """The only value of a node, or all by name."""
        values = self.execution.values[id]
        return next(iter(values.values())) if len(values) == 1 else values

    def states(self, id: str) -> list[str]:
        """What happened to a node."""
        return [event.kind for event in self.events if event.node == id]


@pytest.fixture(scope="session")
def models(smollm2: Path, minilm: Path) -> Iterator[Models]:
    """SmolLM2 and MiniLM, loaded when a test first needs them."""
    found = Models(str(smollm2), str(minilm), n_ctx=1024)
    yield found
    found.close()


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Offer functions as entry points of a package `tests`."""
    offered: list[Any] = []

    def offer(*functions: Any) -> None:
        offered.extend(
            SimpleNamespace(
                name=function.__name__, value=f"tests:{function.__name__}",
                dist=SimpleNamespace(name="tests"), load=lambda function=function: function,
            )
            for function in functions
        )  # fmt: skip
        all_kinds.cache_clear()

    monkeypatch.setattr("llmpy.apps.flow.kinds.entry_points", lambda group: offered)  # noqa: ARG005
    yield offer
    all_kinds.cache_clear()


@pytest.fixture
def gate() -> threading.Event:
    """Something that nodes wait for."""
    return threading.Event()


def wait_for(true: Callable[[], Any]) -> Any:
    """What a function returns, once it is true."""
    end = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return found


__all__ = ["SECONDS", "Done", "loads", "made", "wait_for"]
