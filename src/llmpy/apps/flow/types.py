"""Types of what wires carry: their names, which fits which, and whether a value is of one."""

from __future__ import annotations

import collections.abc
import inspect
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin

__all__ = ["Folder", "Item", "bound", "fits", "is_of", "item_of", "type_name", "unified"]

Folder = NewType("Folder", str)
Item = TypeVar("Item")

NAMES = {
    str: "text", int: "number", float: "number", bool: "boolean", Path: "file", Folder: "folder",
    Any: "any", inspect.Parameter.empty: "any", dict: "json", list: "list[any]", Item: "T",
}  # fmt: skip


def type_name(hint: Any) -> str:
    """Return the name of a Python type on a wire; TypeError for one that no wire carries."""
    if isinstance(hint, collections.abc.Hashable) and hint in NAMES:
        return NAMES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin in (list, tuple, collections.abc.Sequence) and arguments:
        return f"list[{type_name(arguments[0])}]"
    if origin in (dict, collections.abc.Mapping) or hasattr(hint, "__annotations__"):
        return "json"
    if origin is Literal:
        return type_name(type(arguments[0]))
    if origin in (Union, UnionType):
        names = {type_name(one) for one in arguments if one is not type(None)}
        return names.pop() if len(names) == 1 else "any"
    raise TypeError(f"expected str, int, float, bool, list, dict or Path, found {hint}")


def item_of(kind: str) -> str | None:
    """Return the type of a list's items; None for what is no list."""
    return kind[5:-1] if kind.startswith("list[") else None


def fits(given: str, wanted: str) -> bool:
    """Return whether a wire of one type may end at an input of another."""
    if "any" in (given, wanted) or given == wanted:
        return True
    inner, outer = item_of(given), item_of(wanted)
    return inner is not None and outer is not None and fits(inner, outer)


def bound(kind: str, variable: str | None) -> str:
    """Return a type with `variable` in place of T."""
    item = item_of(kind)
    if item is not None:
        return f"list[{bound(item, variable)}]"
    return (variable or "any") if kind == "T" else kind


def unified(kind: str, given: str) -> str | None:
    """Return what T is where a wire of type `given` ends at an input of type `kind`."""
    while (item := item_of(kind)) is not None:
        kind, given = item, item_of(given) or "any"
    return given if kind == "T" else None


def is_of(value: Any, kind: str) -> bool:
    """Return whether a value is of a type."""
    item = item_of(kind)
    if item is not None:
        return isinstance(value, list) and all(is_of(one, item) for one in value)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    wanted = {"text": str, "file": str, "folder": str, "boolean": bool, "json": dict}.get(kind)
    return wanted is None or isinstance(value, wanted)
