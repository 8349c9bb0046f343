"""Chains as YAML: each step is a mapping with its kind, and with what differs from the defaults."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import msgspec

import llmpy
from llmpy.chains.step import Step

__all__ = ["as_data", "from_yaml", "load", "save", "to_yaml"]

WRITTEN: dict[str, Any] = {  # types in files, where steps in Python take objects too
    **dict.fromkeys(("model", "embedder", "folder", "function"), str),
    "tools": tuple[str, ...],
    "schema": dict,
}
MOST = 1 << 20  # characters of a file
DEEPEST = 50


def to_yaml(step: Step) -> str:
    """Return a step or a chain as YAML, which `from_yaml` reads.

    Functions become their names. Raises TypeError for models that were given as objects, and for
    steps that are not llmpy's.
    """
    text: str = _yaml().safe_dump(
        as_data(step, True), sort_keys=False, allow_unicode=True, width=100
    )
    return text


def from_yaml(text: str) -> Step:
    """Return the step or chain that `to_yaml` wrote; ValueError says what is wrong, and where.

    Nothing of the text is run: functions are names until a runner has functions of these names.
    """
    yaml = _yaml()
    if len(text) > MOST:
        raise ValueError(f"chain: expected at most {MOST} characters, found {len(text)}")
    try:
        depth = 0
        for token in yaml.scan(text):
            if isinstance(token, yaml.AliasToken):
                raise ValueError("chain: expected YAML without aliases ('*'), found one")
            name = type(token).__name__
            depth += ("Start" in name) - ("End" in name)
            if depth > DEEPEST:
                raise ValueError(f"chain: expected YAML nested up to {DEEPEST} deep, found deeper")
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = "" if where is None else f" in line {where.line + 1}"
        raise ValueError(f"chain: expected YAML, found {_problem(error)}{line}") from error
    return _step(data, "chain")


def save(step: Step, path: str | os.PathLike[str]) -> None:
    """Write a step or a chain to a file as YAML."""
    Path(path).write_text(to_yaml(step), encoding="utf-8")


def load(path: str | os.PathLike[str]) -> Step:
    """Read a step or a chain from a file; ValueError says what is wrong with it, and where."""
    try:
        return from_yaml(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def as_data(step: Step, portable: bool = False) -> dict[str, Any]:
    """Return a step as what YAML holds; `portable`: TypeError for what only Python can hold."""
    if portable and kinds().get(step.kind) is not type(step):
        raise TypeError(f"{type(step).__name__} is not one of llmpy's steps and has no YAML")
    first, *others = _fields(type(step))
    data = {step.kind: _plain(getattr(step, first.name), portable)}
    if step.kind == "steps":
        others = [field for field in others if field.name != "into"]
    for field in others:
        value = getattr(step, field.name)
        needed = field.default is dataclasses.MISSING or value != field.default
        if field.name == "read" and callable(getattr(step, "function", None)):
            needed = True
        if needed and value is not None:
            data[field.name] = _plain(value, portable)
    return data


def _plain(value: Any, portable: bool) -> Any:
    if isinstance(value, Step):
        return as_data(value, portable)
    if isinstance(value, list | tuple):
        return [_plain(part, portable) for part in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(part, portable) for name, part in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, llmpy.Model):
        if portable:
            raise TypeError("a model in a chain: expected its name for YAML, found the model")
        return str(value.path)
    if callable(value) and get_origin(value) is None and not isinstance(value, type):
        return llmpy.Tool.of(value).name
    return llmpy.schema_of(value)


def _step(data: Any, where: str) -> Step:
    if not isinstance(data, dict) or not data:
        raise ValueError(f"{where}: expected a mapping with a step, found {type(data).__name__}")
    named = [name for name in data if name in kinds()]
    if where == "chain" and "steps" in data:
        named = ["steps"]
    if not named:
        there = ", ".join(kinds())
        raise ValueError(f"{where}: expected one of {there}, found {', '.join(map(str, data))}")
    kind = kinds()[named[0]]
    first, *others = _fields(kind)
    known = {first.name: named[0]} | {field.name: field.name for field in others}
    if unknown := [name for name in data if name not in known.values()]:
        raise ValueError(
            f"{where}: {named[0]}: expected {', '.join(known.values())}, found {unknown[0]!r}"
        )
    given = {}
    for field in (first, *others):
        if known[field.name] in data:
            value = data[known[field.name]]
            given[field.name] = _value(kind, field, value, f"{where}: {known[field.name]}")
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}".replace("__init__() ", "")) from error


def _value(kind: type[Step], field: dataclasses.Field[Any], value: Any, where: str) -> Any:
    """Return the value of a field; ValueError where it is not of the field's type."""
    if field.type == "Step":
        return _step(value, where)
    if field.name == "steps":
        if not isinstance(value, list):
            raise ValueError(f"{where}: expected a list, found {type(value).__name__}")
        return tuple(_step(one, f"{where}[{i}]") for i, one in enumerate(value))
    wanted = WRITTEN.get(field.name) or get_type_hints(kind)[field.name]
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        reason = str(error).replace("Expected", "expected").replace(", got", ", found")
        raise ValueError(f"{where}: {reason}") from error


def _fields(kind: type[Step]) -> list[dataclasses.Field[Any]]:
    """The fields of a step, the one that stands by its kind first, `into` last."""
    found = [field for field in dataclasses.fields(kind) if field.name != "into"]
    return [*found, *(field for field in dataclasses.fields(kind) if field.name == "into")]


@cache
def kinds() -> dict[str, type[Step]]:
    """Return llmpy's steps by their kinds."""
    from llmpy.chains import asking, flow, retrieval

    modules = (asking, flow, retrieval)
    found = [getattr(module, name) for module in modules for name in module.__all__]
    steps = [one for one in found if isinstance(one, type) and issubclass(one, Step)]
    return {step.kind: step for step in steps if step.kind}


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or error).splitlines()[0][:200]


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ImportError("chains in files need PyYAML: pip install 'llmpy[chains]'") from error
    return yaml
