"""Metadata values -> the bytes of a GGUF file, each with its type number in front."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from llmpy.errors import ModelFileError
from llmpy.format.cursor import quoted
from llmpy.format.gguf_types import (
    ARRAY,
    MAX_COUNT,
    MAX_DEPTH,
    MAX_KEY,
    MAX_STRING,
    SCALAR_IDS,
    SCALARS,
    STRING,
    Typed,
)

__all__ = ["Encoder"]

_NUMPY_KIND = {
    "bool": "bool", "uint8": "u8", "int8": "i8", "uint16": "u16", "int16": "i16", "uint32": "u32",
    "int32": "i32", "uint64": "u64", "int64": "i64", "float32": "f32", "float64": "f64",
}  # fmt: skip
_SCALAR_INTS = ("u32", "i32", "u64", "i64")
_ARRAY_INTS = ("i32", "u32", "i64", "u64")


def _fits(kind: str, low: int, high: int) -> bool:
    bounds = np.iinfo(SCALARS[SCALAR_IDS[kind]].numpy)
    return bool(bounds.min <= low and high <= bounds.max)


class Encoder:
    """Bytes of words, strings and values for one version and byte order of GGUF."""

    def __init__(self, path: Path, version: int, big_endian: bool) -> None:
        self.path = path
        self.order = ">" if big_endian else "<"
        self.code = self.order + ("I" if version == 1 else "Q")

    def error(self, what: str, expected: str, found: object) -> ModelFileError:
        """The error about a key or value that cannot be written."""
        return ModelFileError(self.path, what, expected, quoted(found))

    def word(self, n: int, what: str) -> bytes:
        """A count or length: 4 bytes in version 1, else 8."""
        try:
            return struct.pack(self.code, n)
        except struct.error:
            raise self.error(what, "a number that GGUF 1 can hold", n) from None

    def string(self, text: str, what: str, limit: int = MAX_KEY) -> bytes:
        """A length and UTF-8; surrogate escapes become the bytes that they stand for."""
        if not isinstance(text, str):
            raise self.error(what, "a string", text)
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise self.error(what, "text that UTF-8 can hold", text) from None
        if len(data) > limit:
            raise self.error(what, f"at most {limit} bytes", text)
        return self.word(len(data), what) + data

    def value(self, value: Any, what: str) -> bytes:
        """A type number and the value."""
        kind = self.kind_of(value, what)
        value = value.value if isinstance(value, Typed) else value
        if kind.startswith("["):
            return struct.pack(self.order + "I", ARRAY) + self.array(kind[1:-1], value, what)
        if kind == "string":
            return struct.pack(self.order + "I", STRING) + self.string(value, what, MAX_STRING)
        if kind not in SCALAR_IDS:
            raise self.error(what, "a kind of GGUF value, such as 'u32' or '[string]'", kind)
        scalar = SCALARS[SCALAR_IDS[kind]]
        return struct.pack(self.order + "I", scalar.id) + self.numbers([value], kind, what)

    def kind_of(self, value: Any, what: str) -> str:
        """The kind a value is stored as, where its owner left that to us."""
        if isinstance(value, Typed):
            return value.kind
        if isinstance(value, str):
            return "string"
        if isinstance(value, np.ndarray | np.generic):
            name = _NUMPY_KIND.get(value.dtype.name)
            if name is None or value.ndim > 1:
                raise self.error(what, "numbers in at most one dimension", value)
            return f"[{name}]" if value.ndim else name
        if isinstance(value, list | tuple):
            return f"[{self._member_kind(value, what)}]"
        return self._number_kind([value], _SCALAR_INTS, what)

    def _member_kind(self, values: list[Any] | tuple[Any, ...], what: str) -> str:
        if all(isinstance(value, str) for value in values):
            return "string"
        if all(isinstance(value, list | tuple | np.ndarray | Typed) for value in values):
            return "array"
        return self._number_kind(list(values), _ARRAY_INTS, what)

    def _number_kind(self, values: list[Any], order: tuple[str, ...], what: str) -> str:
        kinds = {type(value) for value in values}
        if kinds == {bool}:
            return "bool"
        if kinds == {int}:
            for kind in order:
                if _fits(kind, min(values), max(values)):
                    return kind
            raise self.error(what, "integers of 64 bits", values)
        if kinds <= {int, float}:
            return "f32"
        raise self.error(what, "numbers, strings, or arrays of one of them", values)

    def array(self, kind: str, values: Any, what: str, depth: int = 0) -> bytes:
        """Type number of the members, their number, and the members."""
        if not isinstance(values, list | tuple | np.ndarray):
            raise self.error(what, "a list or an array", values)
        if len(values) > MAX_COUNT or depth == MAX_DEPTH:
            raise self.error(what, f"at most {MAX_COUNT} members, {MAX_DEPTH} deep", len(values))
        count = self.word(len(values), what)
        if kind == "string":
            pieces = [self.string(value, what, MAX_STRING) for value in values]
            return struct.pack(self.order + "I", STRING) + count + b"".join(pieces)
        if kind == "array":
            pieces = []
            for value in values:
                inner = self.kind_of(value, what)
                value = value.value if isinstance(value, Typed) else value
                pieces.append(self.array(inner[1:-1], value, what, depth + 1))
            return struct.pack(self.order + "I", ARRAY) + count + b"".join(pieces)
        if kind not in SCALAR_IDS:
            raise self.error(what, "a kind of GGUF value, such as 'u32' or '[string]'", kind)
        return (
            struct.pack(self.order + "I", SCALAR_IDS[kind])
            + count
            + self.numbers(values, kind, what)
        )

    def numbers(self, values: Any, kind: str, what: str) -> bytes:
        """Numbers of one kind, each checked to fit it."""
        scalar = SCALARS[SCALAR_IDS[kind]]
        if isinstance(values, np.ndarray) and _NUMPY_KIND.get(values.dtype.name) == kind:
            return values.astype(self.order + scalar.numpy).tobytes()
        return self._packed(list(values), scalar.code, kind, what)

    def _packed(self, values: list[Any], code: str, kind: str, what: str) -> bytes:
        plain = [value.item() if isinstance(value, np.generic) else value for value in values]
        allowed = {"bool": (bool,), "f32": (int, float), "f64": (int, float)}.get(kind, (int,))
        for value in plain:
            if type(value) not in allowed:
                raise self.error(what, f"a {kind}", value)
        try:
            return struct.pack(f"{self.order}{len(plain)}{code}", *plain)
        except (struct.error, OverflowError):
            raise self.error(what, f"numbers that a {kind} can hold", values) from None
