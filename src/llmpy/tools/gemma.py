"""JSON as Gemma 4 writes it: names without quotes, strings between tokens."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["json_of"]

QUOTE = '<|"|>'
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
NAME = re.compile(r"([{,]\s*)([\w.$-]+)\s*:")


def json_of(text: str) -> Any:
    """Return the value that a text stands for; ValueError where it is none."""
    parts = text.split(QUOTE)
    if len(parts) % 2 == 0:
        raise ValueError("a string does not end")
    written = []
    for i, part in enumerate(parts):
        written.append(json.dumps(part) if i % 2 else _named(part))
    try:
        return json.loads("".join(written))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _named(text: str) -> str:
    """A part without such strings, with quotes around its names."""
    found, at = [], 0
    for match in STRING.finditer(text):
        found += [NAME.sub(r'\1"\2":', text[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*found, NAME.sub(r'\1"\2":', text[at:])])
