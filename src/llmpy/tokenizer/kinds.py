"""Kinds of tokens, and how those that match text as it stands are matched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["BYTE_TOKENS", "SILENT", "Kind", "Matching"]

BYTE_TOKENS = {f"<0x{byte:02X}>": byte for byte in range(256)}


class Kind(IntEnum):
    """The kind of a token, with the numbers of `tokenizer.ggml.token_type`."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


SILENT = (Kind.CONTROL, Kind.UNKNOWN)  # which are no part of a text


@dataclass(frozen=True, slots=True)
class Matching:
    """Ids of tokens that match in special ways.

    `lstrip`: they swallow the white space before them; `rstrip`: after them; `single_word`: they
    match whole words only.
    """

    lstrip: frozenset[int] = frozenset()
    rstrip: frozenset[int] = frozenset()
    single_word: frozenset[int] = frozenset()
