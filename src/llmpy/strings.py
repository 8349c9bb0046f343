"""Many strings in one piece of memory: a vocabulary has 100k tokens and 300k merges.

Making a str of each takes longer than reading a prompt, so that is done when all are wanted.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from llmpy.ffi import address, library

__all__ = ["Strings"]


class Strings(Sequence[str]):
    """The strings in `text` (uint8), a NUL behind each; bytes that are no UTF-8 are escaped."""

    def __init__(self, text: NDArray[np.uint8]) -> None:
        self._text = text

    @classmethod
    def of(cls, strings: Sequence[str]) -> Strings | None:
        """These strings; None where one of them holds a NUL, or what no bytes can be."""
        if isinstance(strings, cls):
            return strings
        try:
            text = "".join([f"{string}\0" for string in strings]).encode(*_CODEC)
        except UnicodeEncodeError:
            return None
        found = cls(np.frombuffer(text, np.uint8))
        return found if len(found) == len(strings) else None

    def all(self) -> list[str]:
        """A new list of them."""
        return str(self._text[:-1].data, *_CODEC).split("\0") if len(self._text) else []

    def places(self, string: str) -> list[int]:
        """Return the indices of a string, ascending. Takes microseconds for each 10,000 strings."""
        raw = string.encode(*_CODEC)
        candidates: list[int] = np.flatnonzero(self._hashes == _hashes(raw + b"\0", 1)).tolist()
        return [i for i in candidates if self._raw(i) == raw]

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return self.all()[place]
        return str(self._raw(range(len(self))[place]), *_CODEC)

    def _raw(self, i: int) -> bytes:
        begin = self._ends.item(i - 1) + 1 if i else 0
        return self._text[begin : self._ends.item(i)].tobytes()

    @functools.cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.flatnonzero(self._text == 0)

    @functools.cached_property
    def _hashes(self) -> NDArray[np.uint64]:
        return _hashes(self._text, len(self))


_CODEC = "utf-8", "surrogateescape"


def _hashes(text: bytes | NDArray[np.uint8], count: int) -> NDArray[np.uint64]:
    """Return the hashes of `count` strings, each with a NUL behind it."""
    hashes = np.empty(count, np.uint64)
    place = address(np.frombuffer(text, np.uint8))
    library().llmpy_string_hashes(place, len(text), address(hashes))
    return hashes
