"""Steps made of others: in sequence, over a list, map-reduce; steps that split and that call."""

from __future__ import annotations

import inspect
import queue
import typing
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from llmpy.chains.step import Event, Run, Step, Steps, fit_types, shown_type
from llmpy.chains.template import as_text
from llmpy.chains.tokens import counter, pack, split_text

__all__ = ["Call", "Map", "MapReduce", "Sequential", "Split"]


@dataclass(frozen=True)
class Sequential(Step):
    """Steps one after another; each reads what those before it wrote, or what the chain is given.

    `model` and `embedder` are those of the steps that name none. Raises TypeError for a step that
    reads a value as another type than the step before it writes.
    """

    kind: ClassVar[str] = "steps"
    steps: tuple[Step, ...]
    model: Any = None
    embedder: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not self.steps or not all(isinstance(step, Step) for step in self.steps):
            raise TypeError(f"steps: expected one step or more, found {self.steps!r:.80}")
        object.__setattr__(self, "into", self.steps[-1].into)
        self._flow()

    @property
    def needs(self) -> dict[str, Any]:
        return self._flow()

    @property
    def gives(self) -> Any:
        return self.steps[-1].gives

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        there, part = dict(values), run.part(model=self.model, embedder=self.embedder)
        for i, step in enumerate(self.steps, 1):
            there[step.into] = yield from part.step(step, there, f"{i} ")
        return there[self.into]

    def lines(self) -> list[str]:
        given = ", ".join(f"{name}: {shown_type(kind)}" for name, kind in self.needs.items())
        names = {"model": self.model, "embedder": self.embedder}
        named = [f"{key} {value}" for key, value in names.items() if value is not None]
        found = [f"steps ({given})" + "".join(f", {text}" for text in named)]
        for i, step in enumerate(self.steps, 1):
            first, *others = step.lines()
            found += [f"  {i} {first}", *(f"    {line}" for line in others)]
        return found

    def _flow(self) -> dict[str, Any]:
        needs: dict[str, Any] = {}
        written: dict[str, tuple[Any, str]] = {}
        for i, step in enumerate(self.steps, 1):
            for name, kind in step.needs.items():
                if name not in written:
                    needs[name] = kind if needs.get(name, Any) is Any else needs[name]
                elif not fit_types(written[name][0], kind):
                    given, where = written[name]
                    raise TypeError(
                        f"step {i} ({step.kind}) reads {name!r} as {shown_type(kind)}, but "
                        f"{where} writes it as {shown_type(given)}"
                    )
            written[step.into] = step.gives, f"step {i} ({step.kind})"
        return needs


@dataclass(frozen=True)
class Split(Step):
    """Split a long text into parts of at most `tokens` tokens of the model, as `split_text` does.

    It reads `read` and writes a list of texts.
    """

    kind: ClassVar[str] = "split"
    tokens: int = 500
    overlap: int = 0
    read: str = "text"
    model: Any = None
    into: str = field(default="parts", kw_only=True)

    @property
    def needs(self) -> dict[str, Any]:
        return {self.read: str}

    @property
    def gives(self) -> Any:
        return list[str]

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        yield from ()
        tokenizer = run.model(self.model).tokenizer
        return split_text(values[self.read], self.tokens, tokenizer, overlap=self.overlap)


@dataclass(frozen=True)
class Map(Step):
    """Run a step for each item of the list `over`, `parallel` at once; it reads the item as `each`.

    The model computes what runs at once in one batch. The results are in the order of the items.
    An error of one ends the others.
    """

    kind: ClassVar[str] = "map"
    step: Step
    over: str = "parts"
    each: str = "text"
    parallel: int = 4
    into: str = field(default="parts", kw_only=True)

    def __post_init__(self) -> None:
        _check_parallel(self.parallel)

    @property
    def needs(self) -> dict[str, Any]:
        others = {name: kind for name, kind in self.step.needs.items() if name != self.each}
        item = self.step.needs.get(self.each, Any)
        return {**others, self.over: list if item is Any else list[item]}  # type: ignore[valid-type]

    @property
    def gives(self) -> Any:
        return list if self.step.gives is Any else list[self.step.gives]  # type: ignore[name-defined]

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        items = [{**values, self.each: item} for item in values[self.over]]
        return (yield from mapped(run, self.step, items, self.parallel))


@dataclass(frozen=True)
class MapReduce(Step):
    """Ask of a text of any length: split it, run `map` for each part, and `reduce` the results.

    Both steps read `text`. Results are reduced in groups of up to `tokens` tokens (two results at
    least), and again, until there is one. A text that fits is mapped once, and not reduced.
    """

    kind: ClassVar[str] = "map_reduce"
    map: Step
    reduce: Step
    tokens: int = 1000
    overlap: int = 0
    parallel: int = 4
    read: str = "text"
    model: Any = None

    def __post_init__(self) -> None:
        _check_parallel(self.parallel)
        for name, step in {"map": self.map, "reduce": self.reduce}.items():
            if not fit_types(step.gives, str) or not fit_types(step.needs.get("text"), str):
                raise TypeError(f"map_reduce: {name}: expected a step that reads and gives a text")

    @property
    def needs(self) -> dict[str, Any]:
        both = {**self.map.needs, **self.reduce.needs}
        return {**{k: v for k, v in both.items() if k != "text"}, self.read: str}

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        tokenizer = run.model(self.model).tokenizer
        texts = split_text(values[self.read], self.tokens, tokenizer, overlap=self.overlap)
        step, level = self.map, "map "
        while True:
            items = [{**values, "text": text} for text in texts or [""]]
            texts = yield from mapped(run, step, items, self.parallel, level)
            if len(texts) == 1:
                return texts[0]
            groups = pack(texts, self.tokens, counter(tokenizer))
            texts = [as_text(group) for group in groups]
            step, level = self.reduce, "reduce "


@dataclass(frozen=True)
class Call(Step):
    """Call a Python function with the values that its parameters name, and write what it returns.

    A chain in a file has the name of the function, and the runner's `functions` have it. `read`:
    the names of the parameters, by default those of the function.
    """

    kind: ClassVar[str] = "call"
    function: Callable[..., Any] | str
    read: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if callable(self.function) and not self.read:
            object.__setattr__(self, "read", tuple(inspect.signature(self.function).parameters))
        object.__setattr__(self, "read", tuple(self.read))

    @property
    def needs(self) -> dict[str, Any]:
        return {name: self._hint(name) for name in self.read}

    @property
    def gives(self) -> Any:
        return self._hint("return")

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        yield from ()
        function = run.runner.function(self.function)
        return function(**{name: values[name] for name in self.read})

    def _hint(self, name: str) -> Any:
        if not callable(self.function):
            return Any
        return typing.get_type_hints(self.function).get(name, Any)


def mapped(
    run: Run, step: Step, items: list[dict[str, Any]], parallel: int, level: str = ""
) -> Generator[Event, None, list[Any]]:
    """Run a step for each of several values, in threads; yield all events as they come."""
    part, events = run.part(), queue.Queue[Any]()

    def one(i: int) -> Any:
        working = part.step(step, items[i], f"{level}{i + 1} ")
        try:
            while True:
                events.put(next(working))
        except StopIteration as end:
            return end.value
        finally:
            working.close()

    with ThreadPoolExecutor(min(parallel, max(1, len(items))), "llmpy-chain") as pool:
        futures = [pool.submit(one, i) for i in range(len(items))]
        for future in futures:
            future.add_done_callback(lambda done: events.put(done))
        try:
            left = len(futures)
            while left:
                found = events.get()
                if isinstance(found, Event):
                    yield found
                else:
                    found.result()
                    left -= 1
        finally:
            part.stop.set()  # of those that still run where this is left early
            for future in futures:
                future.cancel()
    return [future.result() for future in futures]


def _check_parallel(parallel: int) -> None:
    if not 1 <= parallel <= 64:
        raise ValueError(f"parallel: expected 1 to 64, found {parallel}")
