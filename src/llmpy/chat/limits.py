"""Limits of rendering a template: steps, characters and time, counted as it happens.

Containers of a template may share parts, so that a few bytes stand for gigabytes of text: what
counts is their written-out size, which is known for each container without writing it out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from jinja2.runtime import LoopContext
from jinja2.utils import Cycler, Joiner, Namespace

from llmpy.errors import TemplateError

__all__ = ["CONTAINERS", "CURRENT", "Budget"]

STEPS = 400_000  # loop iterations, calls and operations of a template
CHARACTERS = 8_000_000  # made by all its operations together, 4 bytes each at most
SECONDS = 0.8
# And more where more is rendered: for each item of a container, and each character.
STEPS_PER_ITEM = 2_000
SECONDS_PER_ITEM = 1e-3
OUTPUT = 200_000  # characters of the rendered text, which will be tokenized
OUTPUT_COPIES = 8
COPIES = 64
COPIES_PER_ITEM = 0.25  # a template may add each message to a text of all messages before it
PER_ELEMENT = 2  # characters that an element of a new container counts as
FREE = 100_000  # characters of a new container that may be compared without counting them
CONTAINERS = (list, tuple, dict)
VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
REFUSED = (bytes, bytearray, set, frozenset)
# They change, so that the size of what holds them would not stay what it is.
NOT_IN_CONTAINERS = (Namespace, LoopContext, Cycler, Joiner)
MAX_INT_BITS = 256
STEPS_OF_CLOCK = 64
CHARACTERS_OF_A_STEP = 1_000  # that are read: reading more counts as more steps before the clock


class _View(list[Any]):
    """The items of a view of a dict, which is written as one."""

    def __init__(self, view: Any) -> None:
        super().__init__(view)
        self._name = type(view).__name__

    def __repr__(self) -> str:
        return f"{self._name}({super().__repr__()})"


class Budget:
    """The limits of one rendering; TemplateError when one is passed.

    `inputs` are the values that the template gets: the limits grow with their size. `most_output`
    are the characters of the rendered text.
    """

    def __init__(self, inputs: Any) -> None:
        # by id: the container (so that nothing else gets its id), and its `_sizes`
        self._known: dict[int, tuple[Any, int, int, int]] = {}
        self._n_items = 0
        self._steps = self._characters = self._deadline = float("inf")
        self._until_clock = STEPS_OF_CLOCK
        size = self.size(inputs)
        self._known = {key: (v, n, 8, depth) for key, (v, n, _, depth) in self._known.items()}
        self._steps = STEPS + STEPS_PER_ITEM * self._n_items
        self._characters = CHARACTERS + (COPIES + COPIES_PER_ITEM * self._n_items) * size
        self.most_output = OUTPUT + OUTPUT_COPIES * size
        self._seconds = SECONDS + SECONDS_PER_ITEM * self._n_items
        self._deadline = time.perf_counter() + self._seconds

    def step(self, n_read: int = 0) -> None:
        """Count one step, which reads `n_read` characters."""
        self._steps -= 1
        if self._steps < 0:
            raise TemplateError("the chat template takes too many steps; it may loop without end")
        self._until_clock -= 1 + n_read // CHARACTERS_OF_A_STEP
        if self._until_clock < 0:
            self._until_clock = STEPS_OF_CLOCK
            if time.perf_counter() > self._deadline:
                raise TemplateError(f"the chat template takes more than {self._seconds:.1f} s")

    def charge(self, n: float) -> None:
        """Count `n` characters, before they are made."""
        self._characters -= n
        if self._characters < 0:
            raise TemplateError("the chat template makes too much text; it may grow without end")

    def size(self, value: Any) -> int:
        """Characters that `value` has when it is written out, about."""
        if isinstance(value, str):
            return len(value)
        return self._sizes(value)[0] if isinstance(value, CONTAINERS) else 8

    def depth(self, value: Any) -> int:
        """Return how deep containers are nested in it."""
        return self._sizes(value)[2] if isinstance(value, CONTAINERS) else 0

    def made(self, value: Any) -> Any:
        """Count what an operation has made, and return it.

        Views of dicts become lists, and iterators are run: what they would do later is counted now,
        and iterators of iterators cannot nest without end.
        """
        if isinstance(value, VIEWS):
            value = _View(value)
        if isinstance(value, str):
            self.charge(len(value))
        elif isinstance(value, CONTAINERS):
            if id(value) not in self._known:
                self.charge(PER_ELEMENT * len(value))
                self._sizes(value)
        elif isinstance(value, int):
            if value.bit_length() > MAX_INT_BITS:
                raise TemplateError(f"the chat template makes a number above 2**{MAX_INT_BITS}")
        elif isinstance(value, Iterator):
            return iter(self.made(list(self.each(value))))
        elif isinstance(value, REFUSED):
            raise TemplateError(f"the chat template makes a value of type {type(value).__name__}")
        return value

    def compared(self, value: Any) -> Any:
        """Count a container that will be compared or hashed, and return it."""
        if isinstance(value, CONTAINERS) and (size := self._sizes(value)[1]) > FREE:
            self.charge(size)
        return value

    def each(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """The items, each of them a step."""
        for item in iterable:
            self.step()
            yield item

    def _sizes(self, container: Any) -> tuple[int, int, int]:
        """Written out; with containers of the inputs, which share nothing, counted as 8; depth."""
        if (known := self._known.get(id(container))) is not None:
            return known[1:]
        total = new = 2
        depth = 0
        pairs = isinstance(container, dict)
        for item in (x for p in container.items() for x in p) if pairs else container:
            self._n_items += 1
            self.step()
            if isinstance(item, CONTAINERS):
                sizes = self._sizes(item)
                total, new = total + sizes[0] + 2, new + sizes[1] + 2
                depth = max(depth, sizes[2])
            elif isinstance(item, NOT_IN_CONTAINERS):
                name = type(item).__name__.lstrip("_").lower()
                raise TemplateError(f"the chat template puts a {name} into a list or dict")
            else:
                n = len(item) if isinstance(item, str) else 8
                total, new = total + n + 4, new + n + 4
        self._known[id(container)] = container, total, new, depth + 1
        return total, new, depth + 1


CURRENT: ContextVar[Budget] = ContextVar("budget")  # of the rendering that runs here
