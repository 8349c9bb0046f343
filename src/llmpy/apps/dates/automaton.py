"""A regular language as an automaton over characters, made state by state as it is needed.

Expressions are values: `text`, `one_of`, `sequence`, `choice`, `many` and `optional` make them. A
state is the expression of what may still come (a derivative, after Brzozowski).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

__all__ = [
    "EMPTY",
    "NOTHING",
    "Expression",
    "after",
    "choice",
    "is_complete",
    "many",
    "one_of",
    "optional",
    "sequence",
    "text",
]

Expression = tuple[Any, ...]  # its kind, then its parts

NOTHING: Expression = ("nothing",)  # matches no text
EMPTY: Expression = ("empty",)  # matches the empty text


def one_of(characters: Iterable[str]) -> Expression:
    """Return what matches one of these characters."""
    return ("one of", frozenset(characters))


def text(characters: str) -> Expression:
    """Return what matches this text."""
    return sequence(*(one_of(c) for c in characters))


def sequence(*parts: Expression) -> Expression:
    """Return what matches the parts one after the other."""
    whole = EMPTY
    for part in reversed(parts):
        whole = _joined(part, whole)
    return whole


def choice(*parts: Expression) -> Expression:
    """Return what matches one of the parts."""
    flat: set[Expression] = set()
    for part in parts:
        flat |= part[1] if part[0] == "choice" else {part}
    flat.discard(NOTHING)
    if len(flat) > 1:
        return ("choice", frozenset(flat))
    return flat.pop() if flat else NOTHING


def many(part: Expression) -> Expression:
    """Return what matches the part any number of times, or never."""
    return ("many", part)


def optional(part: Expression) -> Expression:
    """Return what matches the part, or the empty text."""
    return choice(EMPTY, part)


def _joined(first: Expression, second: Expression) -> Expression:
    if NOTHING in (first, second):
        return NOTHING
    if first == EMPTY:
        return second
    if second == EMPTY:
        return first
    if first[0] == "sequence":  # in one order, so that equal languages are equal values
        return ("sequence", first[1], _joined(first[2], second))
    return ("sequence", first, second)


@lru_cache(None)
def is_complete(state: Expression) -> bool:
    """Return whether the empty text matches: nothing more has to come."""
    kind = state[0]
    if kind == "choice":
        return any(map(is_complete, state[1]))
    if kind == "sequence":
        return is_complete(state[1]) and is_complete(state[2])
    return kind in ("empty", "many")


@lru_cache(None)
def after(state: Expression, character: str) -> Expression:
    """Return the state after a character; NOTHING where it may not come."""
    kind = state[0]
    if kind == "one of":
        return EMPTY if character in state[1] else NOTHING
    if kind == "choice":
        return choice(*(after(part, character) for part in state[1]))
    if kind == "many":
        return _joined(after(state[1], character), state)
    if kind == "sequence":
        rest = _joined(after(state[1], character), state[2])
        return choice(rest, after(state[2], character)) if is_complete(state[1]) else rest
    return NOTHING
