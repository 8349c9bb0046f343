"""Arrays of strings, fast: vocabularies have 100k tokens and 300k merges."""

from __future__ import annotations

import struct

import numpy as np

from llmpy.format.cursor import Cursor
from llmpy.format.gguf_types import MAX_STRING

__all__ = ["read_strings"]

_CHUNK = 8192  # strings looked at together; their bytes and their indices fit a second-level cache
_FEW = 64  # strings for which that is not worth its fixed cost
_TYPICAL = 32  # bytes of a token and its length


def read_strings(cursor: Cursor, count: int, what: str) -> list[str]:
    """The `count` strings at the cursor, which moves behind them.

    Raises `ModelFileError` where one reaches over the end of the file or is absurdly long.
    """
    usual = cursor.word.format == "<Q"
    result: list[str] = []
    while len(result) < count:
        n = min(_CHUNK, count - len(result))
        found = _at_once(cursor, n) if usual and n >= _FEW else None
        result += _one_by_one(cursor, n, what, len(result)) if found is None else found
    return result


def _at_once(cursor: Cursor, count: int) -> list[str] | None:
    """Strings in a few passes over their bytes, or None where these are not of the usual form.

    In the usual form no string is empty, holds a NUL, or is longer than 65535 bytes: then the
    64-bit length in front of each string, and nothing else, ends in six zeros or more. Candidates
    found by that are strings only if each begins where the one before it ends, which is checked.
    """
    start = cursor.position
    raw = np.frombuffer(cursor.data, np.uint8, min(count * _TYPICAL, cursor.size - start), start)
    keep = raw != 0
    zeros = np.flatnonzero(~keep)
    sixth = zeros[5:-1] - zeros[:-6] == 5
    sixth &= zeros[6:] != zeros[5:-1] + 1
    at = zeros[5:-1][sixth][:count] - 7
    if len(at) < count or at[0] != 0:
        return None
    lengths = raw[at] + raw[at + 1].astype(np.int64) * 256
    ends = at + 8 + lengths
    if (at[1:] != ends[:-1]).any() or ends[-1] > raw.size:
        return None
    # Keep one zero of each length as a separator, and the strings' own bytes.
    text = raw[: ends[-1]].copy()
    text[at] = 0
    keep[at] = True
    keep[at + 1] = False
    text = text[keep[: ends[-1]]]
    if text.size != lengths.sum() + count:
        return None
    cursor.position = start + int(ends[-1])
    return str(text.data, "utf-8", "surrogateescape").split("\0")[1:]


def _one_by_one(cursor: Cursor, count: int, what: str, first: int) -> list[str]:
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
                name = f"{what}[{first + len(result)}]"
                raise cursor.too_long(name, end - begin, start, MAX_STRING)
            append(str(data[begin:end], "utf-8", "surrogateescape"))
            start = end
    except struct.error:
        cursor.position = start
        cursor.number(cursor.word, f"{what}[{first + len(result)}] length")
        raise
    cursor.position = start
    return result
