"""Nodes that reach outside, and are off unless they are allowed: Python functions, HTTP GET."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from llmpy.apps.flow import fetching, subprocesses
from llmpy.apps.flow.graph import FlowError
from llmpy.apps.flow.kinds import Port, Ports, Shown, node
from llmpy.apps.flow.work import Work

__all__ = ["http", "python"]

CODE = 'def shorten(text: str) -> str:\n    """The first ten words."""\n    return " ".join(text.split()[:10])\n'  # noqa: E501
MOST_OF_THE_CODE = 100_000  # characters
NAMES = {
    "str": "text", "int": "number", "float": "number", "bool": "boolean", "dict": "json",
    "list": "list[any]", "Any": "any",
}  # fmt: skip


@lru_cache(256)
def _function(code: str) -> tuple[str, Ports]:
    """The name of the last function that some code defines, and its ports; nothing is run."""
    if len(code) > MOST_OF_THE_CODE:
        raise ValueError(f"code: expected up to {MOST_OF_THE_CODE} characters, found {len(code)}")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise ValueError(f"code: this is no Python: {said}{line}") from None
    found = [one for one in tree.body if isinstance(one, ast.FunctionDef)]
    if not found:
        raise ValueError("code: expected a function, def NAME(x: str) -> str, found none")
    function = found[-1]
    if function.args.vararg or function.args.kwarg or function.args.posonlyargs:
        raise ValueError("code: expected a function without *, / and **")
    plain, defaults = function.args.args, function.args.defaults
    required = len(plain) - len(defaults)
    inputs = [Port(a.arg, _hint(a.annotation), i < required) for i, a in enumerate(plain)]
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    inputs += [Port(a.arg, _hint(a.annotation), default is None) for a, default in pairs]
    return function.name, Ports(tuple(inputs), (Port("value", _hint(function.returns)),))


def _hint(hint: ast.expr | None) -> str:
    if hint is None:
        return "any"
    if isinstance(hint, ast.Subscript) and isinstance(hint.value, ast.Name):
        if hint.value.id == "list":
            return f"list[{_hint(hint.slice)}]"
        return "json" if hint.value.id == "dict" else "any"
    return NAMES.get(hint.id, "any") if isinstance(hint, ast.Name) else "any"


def _python_ports(settings: Mapping[str, Any]) -> Ports:
    return _function(settings["code"])[1]


@node("Tools", icon="code", title="Python function", ports=_python_ports, needs="python")
def python(
    work: Work,
    *,
    code: Annotated[str, Shown("code")] = CODE,
    seconds: Annotated[float, Shown(least=0.1, most=3600)] = 10,
    megabytes: Annotated[int, Shown(least=32, most=1 << 20)] = 1024,
    **arguments: Any,
) -> Any:
    """The last function of some code, in a process of its own with limits of time and memory."""
    name, _ = _function(code)
    limits = subprocesses.Limits(seconds, megabytes << 20)
    return subprocesses.call(code, name, arguments, limits, work.check, work.text)


@node("Tools", icon="globe", title="HTTP get", needs="http", is_cached=False,
      outputs={"text": str, "status": int})  # fmt: skip
def http(
    work: Work,
    url: str,
    *,
    seconds: Annotated[float, Shown(least=0.1, most=600)] = 30,
) -> dict[str, Any]:
    """The text at an address of a host that was allowed with --allow-http."""
    if not url.strip():
        raise FlowError("url: expected an address, found an empty text")
    text, status = fetching.get(url.strip(), work.allowed.hosts, seconds, work.check)
    return {"text": text, "status": status}
