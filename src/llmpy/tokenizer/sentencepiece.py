"""The model files of sentencepiece: a reader for the few fields of the protobuf that matter.

Source: the protobuf encoding, and sentencepiece_model.proto of github.com/google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["SentencePiece", "read_sentencepiece"]

MAX_PIECES = 1 << 22
UNIGRAM, BPE = 1, 2
_WIDTH = {1: 8, 5: 4}  # wire type -> bytes of a number of fixed length


@dataclass
class SentencePiece:
    """Pieces with scores and kinds (the numbers are those of GGUF), and how text is normalised."""

    tokens: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    unigram: bool = True
    space_prefix: bool = True
    one_space: bool = True
    charsmap: bytes = b""


def read_sentencepiece(data: bytes) -> SentencePiece:
    """The vocabulary in `data`; raises ValueError, with the byte, for what is no such file."""
    found = SentencePiece()
    for number, value, at in _fields(data, 0, len(data)):
        if number == 1 and isinstance(value, tuple):
            _piece(data, value, found)
        elif number == 2 and isinstance(value, tuple):
            for inner, content, _ in _fields(data, *value):
                if inner == 3 and isinstance(content, int):
                    if content not in (UNIGRAM, BPE):
                        raise ValueError(f"byte {at}: a model of kind {content}, not 1 or 2")
                    found.unigram = content == UNIGRAM
        elif number == 3 and isinstance(value, tuple):
            for inner, content, _ in _fields(data, *value):
                if inner == 2 and isinstance(content, tuple):
                    found.charsmap = data[slice(*content)]
                elif inner == 3:
                    found.space_prefix = bool(content)
                elif inner == 4:
                    found.one_space = bool(content)
    if not found.tokens:
        raise ValueError("no pieces")
    return found


def _piece(data: bytes, span: tuple[int, int], found: SentencePiece) -> None:
    token, score, kind = "", 0.0, 1
    for number, value, at in _fields(data, *span):
        if number == 1 and isinstance(value, tuple):
            try:
                token = data[slice(*value)].decode()
            except UnicodeDecodeError:
                raise ValueError(f"byte {at}: a piece that is no UTF-8") from None
        elif number == 2 and isinstance(value, float):
            score = value
        elif number == 3 and isinstance(value, int):
            kind = value
    if not 1 <= kind <= 6 or len(found.tokens) >= MAX_PIECES:
        raise ValueError(f"byte {span[0]}: a piece of kind {kind}, number {len(found.tokens)}")
    found.tokens.append(token)
    found.scores.append(score)
    found.kinds.append(kind)


def _fields(
    data: bytes, at: int, end: int
) -> Iterator[tuple[int, int | float | tuple[int, int], int]]:
    """(number, value, place) of each field in `data[at:end]`; of bytes, from where to where."""
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        value: int | float | tuple[int, int]
        if wire == 0:
            value, at = _varint(data, at, end)
        elif wire == 2:
            length, at = _varint(data, at, end)
            value = (at, at + length)
            at += length
        elif wire in _WIDTH:
            at += _WIDTH[wire]
            code = "<d" if wire == 1 else "<f"
            value = struct.unpack_from(code, data, at - _WIDTH[wire])[0] if at <= end else 0.0
        else:
            raise ValueError(f"byte {start}: no protobuf (wire type {wire})")
        if at > end or number == 0:
            raise ValueError(f"byte {start}: a field that reaches over the end")
        yield number, value, start


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError(f"byte {at}: a number that does not end")
