"""Schemas of arguments, for families that write strings without quotes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["TYPES", "choices_of", "properties_of", "type_word", "types_of", "value_of"]

TYPES = ("string", "number", "boolean", "null", "array", "object")
MAX_DEPTH = 32
WORDS = {"True": "true", "False": "false", "None": "null"}  # as a template may write them


def properties_of(schema: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return the schemas of all arguments by name, and which of them must be given."""
    found = schema.get("properties", {})
    shared = {k: schema[k] for k in ("$defs", "definitions") if k in schema}
    return (
        {k: {**v, **shared} if isinstance(v, dict) and shared else v for k, v in found.items()},
        set(schema.get("required", ())),
    )


def types_of(schema: Any) -> set[str]:
    """Return the types that values of a schema may have, all where that is not plain to see."""
    return _types(schema, schema, 0)


def _types(schema: Any, root: Any, depth: int) -> set[str]:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return set(TYPES)
    found = set(TYPES)
    if "$ref" in schema:
        found &= _types(_resolved(schema["$ref"], root), root, depth + 1)
    if "type" in schema:
        given = schema["type"]
        named = {given} if isinstance(given, str) else set(given)
        found &= {"number" if name == "integer" else name for name in named}
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list):
        found &= {_type(value) for value in values}
    for keyword in ("anyOf", "oneOf"):
        if isinstance(parts := schema.get(keyword), list):
            found &= set().union(*(_types(part, root, depth + 1) for part in parts))
    for part in schema.get("allOf", ()):
        found &= _types(part, root, depth + 1)
    return found


def _resolved(reference: Any, root: Any) -> Any:
    """Return the schema that a reference within the schema points to; True where there is none."""
    found = root
    for name in str(reference).removeprefix("#").split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return True
        found = found[name]
    return found if str(reference).startswith("#/") else True


def choices_of(schema: Any) -> list[str] | None:
    """Return the strings that a schema lists, None where it lists none."""
    if not isinstance(schema, Mapping):
        return None
    found = schema
    for _ in range(MAX_DEPTH):
        if "$ref" not in found:
            break
        found = _resolved(found["$ref"], schema)
        if not isinstance(found, Mapping):
            return None
    values = found.get("enum", [found["const"]] if "const" in found else None)
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    return None


def type_word(schema: Any) -> str:
    """Return the name of the type of a schema, "string" where there are several."""
    found = types_of(schema)
    return next(iter(found)) if len(found) == 1 else "string"


def value_of(text: str, schema: Any) -> Any:
    """Return the value that a text without quotes stands for: a string where no other fits."""
    types = types_of(schema)
    if types == {"string"}:
        return text
    try:
        value = json.loads(WORDS.get(text.strip(), text))
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) or _type(value) not in types else value


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
