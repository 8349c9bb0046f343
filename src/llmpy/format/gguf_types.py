"""The value types of GGUF metadata: their numbers in the file, names, and layouts.

Source: the GGUF specification (ggml, docs/gguf.md). A kind is written "u32", "string"; an array of
it "[u32]". Arrays of arrays are "[array]": their members may differ in kind.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ALIGNMENT",
    "ARRAY",
    "MAGIC",
    "MAX_COUNT",
    "MAX_DEPTH",
    "MAX_KEY",
    "MAX_STRING",
    "SCALARS",
    "SCALAR_IDS",
    "SPLIT_KEYS",
    "STRING",
    "VERSIONS",
    "Scalar",
    "Typed",
]

MAGIC = b"GGUF"
VERSIONS = (1, 2, 3)
ALIGNMENT = 32  # of tensor data, where the file does not say otherwise

# No honest file comes near these; they keep a damaged one from filling the memory.
MAX_KEY = 65_535
MAX_STRING = 1 << 26
MAX_COUNT = 1 << 24  # members of all arrays together
MAX_DEPTH = 4

SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")  # of models in several files

STRING = 8
ARRAY = 9


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number type: `id` in the file, `name`, `code` for struct, `numpy` type code."""

    id: int
    name: str
    code: str
    numpy: str

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return struct.calcsize("<" + self.code)


@dataclass(frozen=True, slots=True)
class Typed:
    """A metadata value for writing, with its kind: `Typed("u64", 5)`, `Typed("[string]", [])`."""

    kind: str
    value: Any


SCALARS = {
    s.id: s
    for s in (
        Scalar(0, "u8", "B", "u1"),
        Scalar(1, "i8", "b", "i1"),
        Scalar(2, "u16", "H", "u2"),
        Scalar(3, "i16", "h", "i2"),
        Scalar(4, "u32", "I", "u4"),
        Scalar(5, "i32", "i", "i4"),
        Scalar(6, "f32", "f", "f4"),
        Scalar(7, "bool", "B", "u1"),
        Scalar(10, "u64", "Q", "u8"),
        Scalar(11, "i64", "q", "i8"),
        Scalar(12, "f64", "d", "f8"),
    )
}
SCALAR_IDS = {s.name: s.id for s in SCALARS.values()}
