"""Steps: what each of them has, the events of a run, and the run that they are part of."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import KW_ONLY, MISSING, dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Union, get_args, get_origin

import llmpy

if TYPE_CHECKING:
    from llmpy.chains.runner import Runner

__all__ = ["Event", "Run", "Step", "Steps", "fit_types", "fits", "shown_type"]

ANY = Any


@dataclass(frozen=True)
class Event:
    """A moment of a run: `kind` says which, and `path` of which step ("2 map/1 ask").

    Kinds: "start"; "text" and "thinking", a part of what a model writes; "tool_call" and
    "tool_result"; "value", the result of the step, with the seconds that it took; "cached", in
    place of "value" where the result was in the cache. `stats` are the token counts and times of
    the model, with the "value" of a step that asked one.
    """

    kind: str
    path: str
    text: str = ""
    value: Any = None
    seconds: float = 0.0
    stats: llmpy.Stats | None = None


Steps = Generator[str | llmpy.Piece | llmpy.Stats | Event, None, Any]


@dataclass(frozen=True)
class Step:
    """One step of a chain: it reads values by their names, and writes one, named `into`.

    `needs` are the types of what it reads, `gives` the type of what it writes. `first | second`
    is the chain of both. To write a step of your own, derive a frozen dataclass and define `needs`,
    `gives` and `work`.
    """

    kind: ClassVar[str] = ""
    is_cached: ClassVar[bool] = False  # whether equal input means equal output
    _: KW_ONLY
    into: str = "text"

    @property
    def needs(self) -> dict[str, Any]:
        """Types of the values that the step reads, by their names."""
        raise NotImplementedError

    @property
    def gives(self) -> Any:
        """Type of the value that the step writes."""
        return str

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        """Do the work: yield texts, pieces, stats and events on the way, and return the value."""
        raise NotImplementedError

    def __or__(self, other: Step) -> Step:
        from llmpy.chains.flow import Sequential

        if not isinstance(other, Step):
            return NotImplemented
        mine = self.steps if type(self) is Sequential and not self.model else (self,)
        return Sequential((*mine, other))

    def lines(self) -> list[str]:
        """Return the description of the step, one line for each part; `str` joins them."""
        fields, inner = [], []
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Step):
                inner += [f"    {line}" for line in value.lines()]
            elif one.name != "into" and value not in (None, one.default):
                fields.append(
                    _short(value) if one.default is MISSING else f"{one.name}={_short(value)}"
                )
        fields = [f"{self.kind} {', '.join(fields)}".strip()]
        return [f"{fields[0]} -> {self.into}: {shown_type(self.gives)}", *inner]

    def __str__(self) -> str:
        return "\n".join(self.lines())


@dataclass(eq=False)
class Run:
    """A part of a run of a chain by a `Runner`: its models, and whether it is cancelled."""

    runner: Runner
    number: str
    prefix: str = ""  # of the paths of its steps
    model_name: Any = None
    embedder_name: Any = None
    parent: Run | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self, *_progress: int) -> None:
        """Raise llmpy.Cancelled if the run is cancelled."""
        run: Run | None = self
        while run is not None:
            if run.stop.is_set():
                raise llmpy.Cancelled("the chain was cancelled")
            run = run.parent

    def part(self, *, prefix: str | None = None, model: Any = None, embedder: Any = None) -> Run:
        """Return a part of this run, which can be cancelled alone and has its own models."""
        return Run(
            self.runner,
            self.number,
            self.prefix if prefix is None else prefix,
            self.model_name if model is None else model,
            self.embedder_name if embedder is None else embedder,
            self,
        )

    def model(self, name: Any = None) -> llmpy.Model:
        """Return the model of that name, or the one of the chain or of the runner."""
        return self.runner.model(self.model_name if name is None else name)

    def embedder(self, name: Any = None) -> llmpy.Model:
        """Return the embedding model of that name, or the one of the chain or of the runner."""
        return self.runner.embedder(self.embedder_name if name is None else name)

    def step(
        self, step: Step, values: Mapping[str, Any], label: str = ""
    ) -> Generator[Event, None, Any]:
        """Run a step: yield its events and return its value, from the cache if it is there."""
        self.check()
        path = f"{self.prefix}{label}{step.kind}"
        given = _checked(step, values, path)
        key = self.runner.key(step, given, self) if step.is_cached else None
        if key is not None and (kept := self.runner.kept(key, step.gives)):
            yield self._noted(Event("cached", path, value=kept[0]))
            return kept[0]
        yield self._noted(Event("start", path, value=given))
        began, stats = time.perf_counter(), None
        inner = self.part(prefix=f"{path}/" if label else self.prefix)
        try:
            with closing(_events(step.work(inner, values), path)) as events:
                while True:
                    try:
                        found = next(events)
                    except StopIteration as end:
                        value = end.value
                        break
                    self.check()
                    if isinstance(found, llmpy.Stats):
                        stats = found
                    else:
                        yield found
            if not fits(value, step.gives):
                raise TypeError(
                    f"{path}: expected it to give {shown_type(step.gives)}, found "
                    f"{type(value).__name__}"
                )
        except BaseException as error:
            name = "cancelled" if isinstance(error, GeneratorExit | llmpy.Cancelled) else "error"
            text = f"{type(error).__name__}: {error}"
            self._noted(Event(name, path, text, None, time.perf_counter() - began))
            raise
        if key is not None:
            self.runner.keep(key, value)
        yield self._noted(Event("value", path, "", value, time.perf_counter() - began, stats))
        return value

    def _noted(self, event: Event) -> Event:
        self.runner.note(self.number, event)
        return event


def _events(working: Steps, path: str) -> Generator[Event | llmpy.Stats, None, Any]:
    """Make events of what a step yields."""
    with closing(working):
        while True:
            try:
                found = next(working)
            except StopIteration as end:
                return end.value
            if isinstance(found, str):
                yield Event("text", path, found)
            elif isinstance(found, llmpy.Piece):
                kind = "text" if found.kind in ("generated", "end") else found.kind
                call = found.tool_call
                if found.text or call is not None:
                    yield Event(kind, path, found.text, call and call.as_dict())
            else:
                yield found


def _checked(step: Step, values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the values that a step reads; ValueError or TypeError for those that are wrong."""
    found = {}
    for name, kind in step.needs.items():
        if name not in values:
            there = ", ".join(values) or "none"
            raise ValueError(f"{path}: expected a value {name!r}, found only: {there}")
        if not fits(values[name], kind):
            raise TypeError(
                f"{path}: {name}: expected {shown_type(kind)}, found {type(values[name]).__name__}"
            )
        found[name] = values[name]
    return found


def fits(value: Any, kind: Any) -> bool:
    """Return whether a value is of a type, as far as that can be told at once."""
    origin = get_origin(kind) or kind
    if origin in (Union, UnionType):
        return any(fits(value, inner) for inner in get_args(kind))
    if origin is list and isinstance(value, list):
        return all(fits(part, inner) for inner in get_args(kind) for part in value)
    if kind is ANY or not isinstance(origin, type) or hasattr(origin, "__total__"):
        return True
    return isinstance(value, origin) or (origin is float and isinstance(value, int))


def fit_types(given: Any, wanted: Any) -> bool:
    """Return whether what one step gives can be what another needs."""
    if ANY in (given, wanted) or given == wanted:
        return True
    return bool(get_origin(given) is list and wanted is list)


def shown_type(kind: Any) -> str:
    """Return a type as one writes it."""
    if kind is ANY:
        return "any"
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _short(value: Any) -> str:
    if isinstance(value, Callable):  # type: ignore[arg-type]
        return str(getattr(value, "__name__", value))
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text
