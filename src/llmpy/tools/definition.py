"""`Tool`: a function that a model may call, its description and the schema of its arguments."""

from __future__ import annotations

import copy
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, TypedDict

from llmpy import checks
from llmpy.constraints import AnswerType, answer_type
from llmpy.constraints.types import closed

__all__ = ["NAME", "Tool", "tools_of"]

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
SECTION = re.compile(r"^(?:args|arguments|parameters|params)\s*:\s*$", re.I)
END = re.compile(r"^(?:returns?|raises?|yields?|examples?|notes?)\s*:", re.I)
ARGUMENT = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
SPHINX = re.compile(r"^:param\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)$")
MAX_TOOLS = 128
NOT_VARIABLE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Tool:
    """A function that a model may call.

    `parameters` is the JSON schema of its arguments, an object. `function` is the function that
    `Chat.run` calls with the arguments by name; None for a tool that the caller runs.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    function: Callable[..., Any] | None = None
    _arguments: AnswerType | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.text("name", self.name)
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"name: expected 1 to 64 letters, digits, '_', '.' and '-', found {self.name!r:.80}"
            )
        checks.text("description", self.description)
        if not isinstance(self.parameters, Mapping):
            raise checks.wrong_type("parameters", "a JSON schema as a dict", self.parameters)
        if self.parameters.get("type", "object") != "object":
            raise ValueError(
                f"tool {self.name!r}: parameters: expected a schema of type 'object', found "
                f"{self.parameters['type']!r:.80}"
            )

    @classmethod
    def of(cls, given: Any) -> Tool:
        """Return a tool made from a function, a dict of OpenAI's API, or a tool, which is returned.

        For a function, the schema comes from its type hints, the descriptions from its docstring
        (its "Args:") and from `Annotated[int, "days ahead"]`; parameters with a default are
        optional. Raises TypeError for a function whose arguments cannot be expressed in JSON.
        """
        if isinstance(given, Tool):
            return given
        if isinstance(given, Mapping):
            return _of_dict(given)
        if callable(given):
            return _of_function(given)
        raise checks.wrong_type("tools", "functions, dicts or llmpy.Tool", given)

    @property
    def schema(self) -> dict[str, Any]:
        """Schema of the arguments, an object without additional properties."""
        schema: dict[str, Any] = {"type": "object", **self.parameters}
        return typing.cast(dict[str, Any], closed(schema, _names_all))

    def as_dict(self) -> dict[str, Any]:
        """Return the definition in the form of chat templates and OpenAI's API."""
        parameters = {"type": "object", "properties": {}, **copy.deepcopy(dict(self.parameters))}
        described = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": described}

    def values(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Convert JSON arguments to the function's types; raise ValueError if they do not fit."""
        if self._arguments is None:
            return dict(arguments)
        found: dict[str, Any] = self._arguments.value(json.dumps(arguments))
        return found


def tools_of(given: Iterable[Any]) -> list[Tool]:
    """Return tools of functions, dicts and tools; ValueError for a name that comes twice."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise checks.wrong_type("tools", "a list of functions, dicts or llmpy.Tool", given)
    found = [Tool.of(one) for one in given]
    if len(found) > MAX_TOOLS:
        raise ValueError(f"tools: expected at most {MAX_TOOLS}, found {len(found)}")
    names = [tool.name for tool in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"tools: expected different names, found {name!r} twice")
    return found


def _of_dict(given: Mapping[str, Any]) -> Tool:
    if given.get("type", "function") != "function":
        raise ValueError(f"tools: type: expected 'function', found {given['type']!r:.60}")
    described = given.get("function", given)
    if not isinstance(described, Mapping) or not isinstance(described.get("name"), str):
        raise ValueError(f"tools: function: expected a dict with a name, found {described!r:.80}")
    description, parameters = described.get("description"), described.get("parameters")
    return Tool(described["name"], description or "", parameters or {"type": "object"})


def _of_function(function: Callable[..., Any]) -> Tool:
    name = getattr(function, "__name__", type(function).__name__)
    description, about = _documented(inspect.getdoc(function) or "")
    target = function if inspect.isroutine(function) else type(function).__call__
    hints = typing.get_type_hints(target, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in NOT_VARIABLE:
            raise TypeError(
                f"tool {name!r}: parameter {parameter.name!r}: expected one that can be given by "
                f"name, found a {parameter.kind.description} one"
            )
        fields[parameter.name] = _field(parameter, hints.get(parameter.name, Any), about)
    described = answer_type(TypedDict(name, fields))  # type: ignore[operator]
    schema = json.loads(json.dumps(described.schema))
    definitions = schema.get("$defs", {})
    own = definitions.pop(schema["$ref"].rpartition("/")[2])
    if definitions:
        own["$defs"] = definitions
    return Tool(name, description, own, function, described)


def _field(parameter: inspect.Parameter, hint: Any, about: Mapping[str, str]) -> Any:
    """The type of an argument, with its description and default as keywords of a schema."""
    description = about.get(parameter.name)
    for item in getattr(hint, "__metadata__", ()):
        description = (
            item if isinstance(item, str) else getattr(item, "description", None) or description
        )
    notes: dict[str, Any] = {"description": description} if description else {}
    needed = parameter.default is inspect.Parameter.empty
    if isinstance(parameter.default, str | int | float | bool):
        notes["default"] = parameter.default
    hint = Annotated[hint, notes] if notes else hint
    return hint if needed else NotRequired[hint]


def _documented(text: str) -> tuple[str, dict[str, str]]:
    """Read what a docstring says of the function and each argument (Google's, Sphinx's style)."""
    before: list[str] = []
    about: dict[str, str] = {}
    within, last = "before", ""
    for line in text.splitlines():
        stripped = line.strip()
        if SECTION.match(stripped):
            within = "arguments"
        elif END.match(stripped) or stripped.startswith((":return", ":raise")):
            within = "after"
        elif match := SPHINX.match(stripped):
            within, last = "arguments", match[1]
            about[last] = match[2]
        elif within == "before":
            before.append(line)
        elif within == "arguments" and stripped:
            indent = len(line) - len(line.lstrip())
            match = ARGUMENT.match(stripped)
            if match and indent <= 4:
                last = match[1]
                about[last] = match[2]
            elif last:
                about[last] = f"{about[last]} {stripped}".strip()
    return "\n".join(before).strip(), about


def _names_all(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is one of objects, and no pattern stands for names of properties."""
    return schema.get("type") == "object" and "patternProperties" not in schema
