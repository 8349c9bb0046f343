"""JSON that is not finished: what it says so far, and where each value stands in it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["Leaf", "leaves", "partial_value"]

MISSING: Any = object()


class Leaf(NamedTuple):
    """A value that has no parts: its place as a JSON pointer, and the characters it takes up."""

    pointer: str
    start: int
    end: int


def partial_value(text: str) -> Any:
    """Return what the beginning of a JSON text says; None where that is nothing yet.

    Strings, lists and objects are given as far as they have come, numbers and words once another
    character has ended them.
    """
    value, _ = _Reader(text).value("")
    return None if value is MISSING else value


def leaves(text: str) -> list[Leaf]:
    """Return the values without parts in a JSON text, empty lists and objects among them."""
    reader = _Reader(text)
    reader.value("")
    return reader.leaves


class _Reader:
    """Reads valid JSON that may end anywhere; a value is MISSING where nothing is known of it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.leaves: list[Leaf] = []

    def value(self, pointer: str) -> tuple[Any, bool]:
        """A value, and whether it is whole."""
        self._space()
        c = self.text[self.at : self.at + 1]
        if c == "{":
            return self._object(pointer)
        if c == "[":
            return self._list(pointer)
        start = self.at
        found = self._string() if c == '"' else self._word()
        if c:
            self.leaves.append(Leaf(pointer, start, self.at))
        return found

    def _space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1

    def _word(self) -> tuple[Any, bool]:
        """A number, true, false or null."""
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in ",]} \t\r\n":
            self.at += 1
        word = self.text[start : self.at]
        if word in ("true", "false", "null") or (word and self.at < len(self.text)):
            return json.loads(word), True
        return MISSING, False

    def _string(self) -> tuple[Any, bool]:
        start = self.at
        self.at += 1
        while self.at < len(self.text):
            c = self.text[self.at]
            if c == '"':
                self.at += 1
                return json.loads(self.text[start : self.at]), True
            if c == "\\":
                n = 6 if self.text[self.at + 1 : self.at + 2] == "u" else 2
                if self.at + n > len(self.text):  # of an escape there is only a part
                    text = json.loads(self.text[start : self.at] + '"')
                    self.at = len(self.text)
                    return text, False
                self.at += n
            else:
                self.at += 1
        return json.loads(self.text[start:] + '"'), False

    def _list(self, pointer: str) -> tuple[Any, bool]:
        start, items = self.at, list[Any]()
        self.at += 1
        while True:
            self._space()
            c = self.text[self.at : self.at + 1]
            if c in ("", "]"):
                self.at += len(c)
                if c and not items:
                    self.leaves.append(Leaf(pointer, start, self.at))
                return items, bool(c)
            if c == ",":
                self.at += 1
                continue
            item, whole = self.value(f"{pointer}/{len(items)}")
            if item is not MISSING:
                items.append(item)
            if not whole:
                return items, False

    def _object(self, pointer: str) -> tuple[Any, bool]:
        start, found = self.at, dict[str, Any]()
        self.at += 1
        while True:
            self._space()
            c = self.text[self.at : self.at + 1]
            if c in ("", "}"):
                self.at += len(c)
                if c and not found:
                    self.leaves.append(Leaf(pointer, start, self.at))
                return found, bool(c)
            if c == ",":
                self.at += 1
                continue
            name, whole = self._string()
            self._space()
            if not whole or self.at >= len(self.text):
                return found, False
            self.at += 1  # the colon
            value, whole = self.value(f"{pointer}/{_escaped(name)}")
            if value is not MISSING:
                found[name] = value
            if not whole:
                return found, False


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
