"""Splitting an answer into messages: at words and lines, with code fences closed and opened."""

from __future__ import annotations

import re

__all__ = ["LIMIT", "length", "split"]

LIMIT = 2000  # characters of a message
CLOSING = 8  # characters that closing a fence takes, at most
# Of at most seven marks, so that what closes and opens it leaves room in a message.
MARKS = r"^ {0,3}(`{3,7}|~{3,7})(?![`~])"
FENCE = re.compile(MARKS + r"[ \t]*([^\s`]{0,32})[^`\n]*$", re.M)


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
        room = _fitting(rest, limit - length(opening) - CLOSING)
        at = _before_marks(rest, _end(rest, room))
        part = opening + rest[:at].rstrip()
        fence = _open_fence(part)
        found.append(part + (f"\n{fence[1]}" if fence else ""))
        opening = f"{fence[1]}{fence[2]}\n" if fence else ""
        rest = rest[at:].lstrip("\n" if fence else " \n")
    return [*found, opening + rest] if rest.strip() or not found else found


def _fitting(text: str, units: int) -> int:
    """Return how many characters of a text have so many units: at least one."""
    n = max(min(len(text), units), 1)
    while n > 1 and length(text[:n]) > units:
        n = max(n - max(1, (length(text[:n]) - units) // 2), 1)
    return n


def _end(text: str, room: int) -> int:
    line = text.rfind("\n", room // 2, room)
    if line > 0:
        return line + 1
    space = text.rfind(" ", room // 2, room)
    return space + 1 if space > 0 else room


def _before_marks(text: str, at: int) -> int:
    """Return an end before `at` if else marks within a line would begin a line, and be a fence."""
    for end in range(at, 0, -1):
        if text[end - 1] == "\n" or not re.match(MARKS, text[end : end + LIMIT].lstrip(" \n")):
            return end
    return at


def _open_fence(text: str) -> re.Match[str] | None:
    """Return the fence that a text opens and does not close."""
    opened: re.Match[str] | None = None
    for fence in FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1][0] == opened[1][0] and len(fence[1]) >= len(opened[1]) and not fence[2]:
            opened = None
    return opened
