"""A position in a mapped GGUF file, and reads that never leave the file."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from llmpy.errors import ModelFileError
from llmpy.format.gguf_types import MAX_COUNT, MAX_STRING, SCALARS
from llmpy.format.mapped import MappedFile

__all__ = ["AGAIN", "Cursor", "quoted"]

AGAIN = "The file is damaged or incomplete; get it again."


def quoted(value: object) -> str:
    """A name or value from a file for an error message: printable, in quotes, not too long."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:90]}... ({len(text)} characters)"


class Cursor:
    """A position in the file, and reads that never leave it."""

    def __init__(self, file: MappedFile, version: int, big_endian: bool) -> None:
        self.path: Path = file.path
        self.data: mmap.mmap = file.buffer
        self.size = file.size
        self.position = 24 if version > 1 else 16
        self.order = ">" if big_endian else "<"
        self.word = struct.Struct(self.order + ("Q" if version > 1 else "I"))
        self.int32 = struct.Struct(self.order + "I")
        self.int64 = struct.Struct(self.order + "Q")
        self.allowance = MAX_COUNT  # of members of arrays, until the file asks for too much memory
        self.scalars = {i: struct.Struct(self.order + s.code) for i, s in SCALARS.items()}

    def error(
        self, what: str, expected: str, found: str, *, offset: int, hint: str | None = AGAIN
    ) -> ModelFileError:
        """The error about the bytes at `offset`."""
        return ModelFileError(self.path, what, expected, found, offset=offset, hint=hint)

    def number(self, layout: struct.Struct, what: str) -> Any:
        """The number at the cursor, which moves on."""
        at = self.position
        if at + layout.size > self.size:
            raise self.error(
                what, f"{layout.size} bytes", f"{self.size - at} before the file ends", offset=at
            )
        self.position = at + layout.size
        return layout.unpack_from(self.data, at)[0]

    def string(self, what: str, limit: int = MAX_STRING) -> str:
        """The string at the cursor, which moves on; refuses more than `limit` bytes."""
        at = self.position
        length = self.number(self.word, f"{what} length")
        start = self.position
        if length > self.size - start or length > limit:
            raise self.too_long(what, length, at, limit)
        self.position = start + length
        return str(self.data[start : start + length], "utf-8", "surrogateescape")

    def too_long(self, what: str, length: int, at: int, limit: int) -> ModelFileError:
        """The error about a string whose length, at byte `at`, cannot be true."""
        left = self.size - at - self.word.size
        most = f"at most {limit} bytes" if limit < left else f"at most the {left} bytes that follow"
        return self.error(f"{what} length", most, str(length), offset=at)
