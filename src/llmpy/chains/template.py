"""Prompt templates: texts with `{{name}}` where a value goes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import msgspec

__all__ = ["Template", "as_text", "value_json"]

FIELD = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
BRACES = re.compile(r"\{\{.*?\}\}", re.S)


@dataclass(frozen=True)
class Template:
    """A text with fields: `Template("Translate to {{language}}: {{text}}")`.

    Single braces are text, so that prompts may contain JSON. `names` are the fields, each once, in
    their order. A value that is a text is inserted as it is and is never read as a template; a list
    of texts is joined by blank lines, and other values are inserted as JSON. Raises ValueError for
    double braces around what is not a name.
    """

    source: str

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise TypeError(f"template: expected a str, found {type(self.source).__name__}")
        for found in BRACES.findall(self.source):
            if not FIELD.fullmatch(found):
                raise ValueError(
                    f"template: expected {{{{name}}}} with a name of letters, digits and '_', "
                    f"found {found[:60]!r}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, each once, in their order."""
        return tuple(dict.fromkeys(FIELD.findall(self.source)))

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text with the values in it; ValueError for a field without a value."""
        if missing := [name for name in self.names if name not in values]:
            raise ValueError(
                f"template: expected values for {', '.join(self.names)}, found none for "
                f"{', '.join(missing)}"
            )
        return FIELD.sub(lambda field: as_text(values[field[1]]), self.source)


def as_text(value: Any) -> str:
    """Return a value as it is written into a prompt."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n\n".join(value)
    if is_dataclass(value) and type(value).__str__ is not object.__str__:
        return str(value)
    return value_json(value)


def value_json(value: Any) -> str:
    """Return a value of a chain as JSON."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
