"""Splitting an answer into messages: at words and lines, with code fences closed and opened."""

from __future__ import annotations

import re

__all__ = ["LIMIT", "length", "split"]

LIMIT = 2000  # characters of a message
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^`\n]*$", re.M)


def length(text: str) -> int:
    """Return how long Discord takes a text to be, at most: in units of UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(text: str, limit: int = LIMIT) -> list[str]:
    """Split a text into messages of at most `limit` characters each.

    A message ends at a line break or a space in its second half, else anywhere. Where that is
    within a code fence, the message closes it, and the next one opens it again. All messages but
    the last two stay as they are when the text grows.
    """
    found = []
    rest, opening = text.strip("\n"), ""
    while length(opening + rest) > limit:
        room = _fitting(rest, limit - length(opening) - 8)  # 8: to close a fence
        at = _end(rest, room)
        part = opening + rest[:at].rstrip()
        fence = _open_fence(part)
        found.append(part + (f"\n{fence[1]}" if fence else ""))
        opening = f"{fence[1]}{fence[2]}\n" if fence else ""
        rest = rest[at:].lstrip("\n" if fence else " \n")
    return [*found, opening + rest] if rest.strip() or not found else found


def _fitting(text: str, units: int) -> int:
    """Return how many characters of a text have so many units."""
    n = min(len(text), units)
    while length(text[:n]) > units:
        n -= max(1, (length(text[:n]) - units) // 2)
    return n


def _end(text: str, room: int) -> int:
    line = text.rfind("\n", room // 2, room)
    if line > 0:
        return line + 1
    space = text.rfind(" ", room // 2, room)
    return space + 1 if space > 0 else room


def _open_fence(text: str) -> re.Match[str] | None:
    """Return the fence that a text opens and does not close."""
    opened: re.Match[str] | None = None
    for fence in FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1][0] == opened[1][0] and len(fence[1]) >= len(opened[1]) and not fence[2]:
            opened = None
    return opened
