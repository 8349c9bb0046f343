"""Arrays of strings in a file, found fast: vocabularies have 100k tokens and 300k merges."""

from __future__ import annotations

import struct

import numpy as np

from llmpy import ffi
from llmpy.format.cursor import Cursor
from llmpy.format.gguf_types import MAX_STRING
from llmpy.strings import Strings

__all__ = ["read_strings"]

_FEW = 64  # strings for which it is not worth a foreign call


def read_strings(cursor: Cursor, count: int, what: str) -> list[str] | Strings:
    """The `count` strings at the cursor, which moves behind them.

    Raises `ModelFileError` where one reaches over the end of the file or is absurdly long.
    """
    usual = cursor.word.format == "<Q" and _FEW <= count <= (cursor.size - cursor.position) // 8
    usual = usual and ffi.available()
    found = _at_once(cursor, count) if usual else None
    return _one_by_one(cursor, count, what) if found is None else found


def _at_once(cursor: Cursor, count: int) -> Strings | None:
    """Strings found by native code; None where one of them is wrong or holds a NUL."""
    call, start = ffi.library().llmpy_strings, cursor.position
    raw = np.frombuffer(cursor.data, np.uint8, cursor.size - start, start)
    n = call(ffi.address(raw), raw.size, count, MAX_STRING, None)
    if n < 0:
        return None
    text = np.empty(n - 7 * count, np.uint8)
    call(ffi.address(raw), raw.size, count, MAX_STRING, ffi.address(text))
    cursor.position = start + n
    return Strings(text)


def _one_by_one(cursor: Cursor, count: int, what: str) -> list[str]:
    unpack, width = cursor.word.unpack_from, cursor.word.size
    data, size = cursor.data, cursor.size
    result: list[str] = []
    append = result.append
    start = cursor.position
    try:
        for _ in range(count):
            begin = start + width
            end = begin + unpack(data, start)[0]
            if end > size or end - begin > MAX_STRING:
                raise cursor.too_long(f"{what}[{len(result)}]", end - begin, start, MAX_STRING)
            append(str(data[begin:end], "utf-8", "surrogateescape"))
            start = end
    except struct.error:
        cursor.position = start
        cursor.number(cursor.word, f"{what}[{len(result)}] length")
        raise
    cursor.position = start
    return result
