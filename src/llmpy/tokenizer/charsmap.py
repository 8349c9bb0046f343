"""Sentencepiece's precompiled map of characters: the longest key at each place is replaced.

The data are a length, a double-array trie of that many bytes, and strings that end with NUL; a
value of the trie is the place of a string. Sources: github.com/google/sentencepiece, normalizer.cc
(Normalizer::NormalizePrefix), and github.com/s-yata/darts-clone, darts.h.
"""

from __future__ import annotations

import re
import struct

from llmpy.errors import TokenizerError

__all__ = ["CharsMap"]

LONGEST_KEY = 64  # characters; those of real maps have at most a dozen
NONE = -1
LABEL = 0x800000FF


class CharsMap:
    """Text -> text. Raises ValueError for data that are no map."""

    def __init__(self, data: bytes) -> None:
        size = struct.unpack_from("<I", data)[0] if len(data) >= 4 else 0
        if not 4 <= size <= len(data) - 4 or size % 4:
            raise ValueError(f"a trie of {size} bytes in a map of {len(data)}")
        self._units = struct.unpack_from(f"<{size // 4}I", data, 4)
        self._strings = data[4 + size :]
        self._root = _offset(self._units[0])
        self._first: dict[str, tuple[int, int, bool]] = {}
        ascii_ = [chr(byte) for byte in range(128)]
        inert = "".join(re.escape(c) for c in ascii_ if self._is_inert(c))
        # Characters that stay as they are, whatever of their kind comes after them.
        self._inert = re.compile(f"[{inert}]+(?![^\0-\x7f])") if inert else None

    def __call__(self, text: str) -> str:
        """The text with each longest key replaced."""
        out: list[str] = []
        i = kept = 0
        while i < len(text):
            if self._inert is not None and (run := self._inert.match(text, i)):
                i = run.end()
                continue
            value, end = self._longest(text, i)
            if value == NONE:
                i += 1
                continue
            out += (text[kept:i], self._string(value))
            i = kept = end
        return "".join([*out, text[kept:]])

    def _longest(self, text: str, i: int) -> tuple[int, int]:
        """The value of the longest key from `i` on, and where it ends."""
        node, value, more = self._known(text[i])
        end = i + 1
        for j in range(i + 1, min(len(text), i + LONGEST_KEY)):
            if not more:
                break
            node, found = self._walk(node, text[j])
            more = node != NONE
            if found != NONE:
                value, end = found, j + 1
        return value, end

    def _known(self, character: str) -> tuple[int, int, bool]:
        """The node after one character, its value, and whether keys go on from there."""
        if (known := self._first.get(character)) is None:
            node, value = self._walk(self._root, character)
            more = node != NONE and any(self._step(node, byte) != NONE for byte in range(1, 256))
            known = self._first[character] = node, value, more
        return known

    def _is_inert(self, character: str) -> bool:
        """Whether a character is kept and begins no key that goes on in ASCII."""
        node, value, _ = self._known(character)
        goes_on = node != NONE and any(self._step(node, byte) != NONE for byte in range(1, 128))
        return value == NONE and not goes_on

    def _walk(self, node: int, character: str) -> tuple[int, int]:
        """The node that a character leads to, and its value; NONE where there is none."""
        unit = 0
        for byte in character.encode():
            place = self._step(node, byte)
            if place == NONE:
                return NONE, NONE
            unit = self._units[place]
            node = place ^ _offset(unit)
        leaf = unit >> 8 & 1 and node < len(self._units)
        return node, self._units[node] & 0x7FFFFFFF if leaf else NONE

    def _step(self, node: int, byte: int) -> int:
        """Return the node that the trie has after a node for a byte."""
        place = node ^ byte
        found = place < len(self._units) and self._units[place] & LABEL == byte
        return place if found else NONE

    def _string(self, place: int) -> str:
        end = self._strings.find(b"\0", place)
        try:
            if not 0 <= place <= end:
                raise ValueError(f"a string at {place}")
            return self._strings[place:end].decode()
        except ValueError as error:
            raise TokenizerError(
                f"the character map of this vocabulary is damaged: {error}"
            ) from None


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 1 << 9) >> 6)
