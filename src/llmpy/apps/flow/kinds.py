"""Kinds of nodes: typed Python functions, whose parameters are inputs, and settings after `*`."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from llmpy.apps.flow.types import type_name

__all__ = [
    "ENTRY_POINTS",
    "KINDS",
    "Field",
    "Kind",
    "Port",
    "Ports",
    "Shown",
    "all_kinds",
    "kind",
    "node",
]

ENTRY_POINTS = "llmpy.flow.nodes"
MOST_OF_A_TEXT = 4 << 20  # characters of a setting
F = typing.TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Shown:
    """The way in which a setting is shown: `Annotated[str, Shown("lines")]`.

    `widget`: "line", "lines", "code", "schema", "model", "embedder", "file", "folder" or "kind";
    `least` and `most`: of a number; `inline`: in the node itself.
    """

    widget: str = "line"
    least: float | None = None
    most: float | None = None
    inline: bool = False


@dataclass(frozen=True)
class Port:
    """An input or an output; an input that is not `required` may have no wire."""

    name: str
    type: str
    required: bool = True


@dataclass(frozen=True)
class Ports:
    """The inputs and outputs of a node."""

    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()


@dataclass(frozen=True)
class Field:
    """A setting: its type ("text", "number", "whole", "boolean" or "json"), and how it is shown."""

    name: str
    type: str
    default: Any
    shown: Shown = Shown()
    choices: tuple[str, ...] = ()
    optional: bool = False

    def checked(self, value: Any, where: str) -> Any:
        """Return the value; ValueError says what is wrong with it."""
        if value is None and self.optional:
            return None
        if self.choices:
            if value in self.choices:
                return value
            raise ValueError(f"{where}: expected {', '.join(self.choices)}, found {value!r:.60}")
        if self.type in ("number", "whole"):
            return self._number(value, where)
        kinds = {"text": (str, "a text"), "boolean": (bool, "true or false")}
        wanted, name = kinds.get(self.type, (dict, "an object"))
        if not isinstance(value, wanted):
            raise ValueError(f"{where}: expected {name}, found {value!r:.60}")
        if isinstance(value, str) and len(value) > MOST_OF_A_TEXT:
            n = len(value)
            raise ValueError(f"{where}: expected up to {MOST_OF_A_TEXT} characters, found {n}")
        return value

    def _number(self, value: Any, where: str) -> Any:
        name = "a whole number" if self.type == "whole" else "a number"
        least, most = self.shown.least, self.shown.most
        if isinstance(value, float) and value.is_integer() and self.type == "whole":
            value = int(value)
        wanted = int if self.type == "whole" else (int, float)
        good = isinstance(value, wanted) and not isinstance(value, bool)
        if good and abs(value) <= 2**53 and math.isfinite(value):
            low = -math.inf if least is None else least
            if low <= value <= (math.inf if most is None else most):
                return value
        limits = "" if least is None and most is None else f" from {least} to {most}"
        raise ValueError(f"{where}: expected {name}{limits}, found {value!r:.60}")


@dataclass(frozen=True)
class Kind:
    """A kind of node: `function` does the work, `ports_of` gives its ports for some settings.

    `is_cached`: whether equal settings and inputs mean an equal result; `is_output`: whether its
    result is one of the flow; `needs`: "python" or "http", where it must be allowed.
    """

    name: str
    title: str
    group: str
    icon: str
    about: str
    function: Callable[..., Any]
    fields: tuple[Field, ...]
    ports_of: Callable[[Mapping[str, Any]], Ports]
    is_cached: bool = True
    is_output: bool = False
    needs: str = ""
    takes_work: bool = field(default=True, repr=False)

    def settings(self, given: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the settings, with defaults for those that are not given; ValueError if wrong."""
        known = {one.name: one for one in self.fields}
        for name in given:
            if name not in known:
                there = ", ".join(known) or "none"
                raise ValueError(f"{where}.{name:.60}: {self.name} has the settings {there}")
        return {
            name: one.checked(given[name], f"{where}.{name}") if name in given else one.default
            for name, one in known.items()
        }


KINDS: dict[str, Kind] = {}


def kind(
    function: Callable[..., Any],
    group: str,
    *,
    icon: str = "tool",
    title: str | None = None,
    ports: Callable[[Mapping[str, Any]], Ports] | None = None,
    outputs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Kind:
    """Return the kind of node of a typed function.

    Its first parameter is the `Work`, if it is named `work`; other parameters are inputs, those
    after `*` settings. `outputs` are names and types, where it returns a dict of several; default
    one, `value`, of the type that it returns. `ports`: where these depend on settings.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    takes_work = bool(parameters) and parameters[0].name == "work"
    parameters = [p for p in parameters[takes_work:] if p.kind is not p.VAR_KEYWORD]
    fields = tuple(
        _field(p, hints.get(p.name, str)) for p in parameters if p.kind is p.KEYWORD_ONLY
    )
    if ports is None:
        given = {"value": hints.get("return", Any)} if outputs is None else outputs
        fixed = Ports(
            tuple(
                Port(p.name, type_name(hints.get(p.name, Any)), p.default is p.empty)
                for p in parameters
                if p.kind is not p.KEYWORD_ONLY
            ),
            tuple(Port(name, type_name(hint)) for name, hint in given.items()),
        )
        ports = lambda _: fixed  # noqa: E731
    name = function.__name__.rstrip("_")
    about = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]
    shown = title or name.replace("_", " ").capitalize()
    said = " ".join(about.split())
    return Kind(
        name, shown, group, icon, said, function, fields, ports, takes_work=takes_work, **more
    )


def node(group: str, **more: Any) -> Callable[[F], F]:
    """Make a typed function a kind of node; `more` as of `kind`."""

    def made(function: F) -> F:
        found = kind(function, group, **more)
        KINDS[found.name] = found
        return function

    return made


@cache
def all_kinds() -> dict[str, Kind]:
    """Return all kinds by their names: llmpy's, and those of installed packages.

    A package offers a typed function as an entry point of the group `llmpy.flow.nodes`. One that
    cannot be imported, or has types that no wire carries, is left out with a warning.
    """
    import warnings

    from llmpy.apps.flow import nodes  # which fills KINDS

    assert nodes
    found = dict(KINDS)
    for point in entry_points(group=ENTRY_POINTS):
        try:
            made = kind(point.load(), "Plug-ins", title=point.name.replace("_", " ").capitalize())
        except Exception as error:
            warnings.warn(f"flow: the node {point.value!r} is left out: {error}", stacklevel=2)
            continue
        name = f"{point.dist.name}.{point.name}" if point.dist else point.name
        found[name] = Kind(**{**vars(made), "name": name})
    return found


def _field(parameter: inspect.Parameter, hint: Any) -> Field:
    shown = Shown()
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        shown = next((note for note in notes if isinstance(note, Shown)), shown)
    inner = [one for one in get_args(hint) if one is not NoneType]
    optional = NoneType in get_args(hint)
    hint = inner[0] if optional else hint
    choices = tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else ()
    name = "text" if choices else "whole" if hint is int else type_name(hint)
    if name not in ("text", "number", "whole", "boolean", "json"):
        raise TypeError(f"{parameter.name}: expected a text, a number, bool or dict, found {hint}")
    default = parameter.default
    if default is parameter.empty:
        default = {"text": "", "boolean": False, "json": {}}.get(name, 0)
    return Field(parameter.name, name, default, shown, choices, optional)
