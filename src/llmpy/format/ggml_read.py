"""One file of the time before GGUF: its header, vocabulary and tensors, all checked before use.

Layout: magic; version (not GGML); the header of the architecture; tokens, with scores in GGMF and
GGJT; then tensors to the end of the file, each with its type, dimensions and name in front, and
in GGJT aligned to 32 bytes. Source: the loaders of llama.cpp and llm.rs, 2023.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.cursor import AGAIN, Cursor, quoted
from llmpy.format.ggml_blocks import Layout, layouts
from llmpy.format.ggml_models import OldModel
from llmpy.format.gguf_types import MAX_COUNT
from llmpy.format.mapped import MappedFile
from llmpy.format.sniff import CONTAINERS

__all__ = ["OldPart", "Stored", "read_old_part"]

VERSIONS = {"GGMF": (1,), "GGJT": (1, 2, 3)}
MAX_NAME = 1024
MAX_TOKEN = 1 << 16
ALIGNMENT = 32
FACTOR = 1000  # the file type is this times the quantization version, plus the type


@dataclass(frozen=True)
class Stored:
    """A tensor in one file; `shape` is row-major."""

    name: str
    layout: Layout
    shape: tuple[int, ...]
    offset: int
    size: int
    record: int
    """Where its name, type and dimensions begin."""


@dataclass
class OldPart:
    """The content of one old file. `tensors` are under the names that it gives them."""

    file: MappedFile
    container: str
    version: int
    header: dict[str, float] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    tokens: list[bytes] = field(default_factory=list)
    scores: NDArray[np.float32] | None = None
    quantization: int = 0
    tensors: dict[str, Stored] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """Container and version, as people call them."""
        return self.container + (f" v{self.version}" if self.version else "")


class OldCursor(Cursor):
    """A position in an old file: all counts and lengths have 32 bits, little-endian."""

    def __init__(self, file: MappedFile, hint: str) -> None:
        super().__init__(file, version=1, big_endian=False)
        self.position = 0
        self.hint = hint

    def error(
        self, what: str, expected: str, found: str, *, offset: int, hint: str | None = AGAIN
    ) -> ModelFileError:
        """The error about the bytes at `offset`; its usual hint doubts the architecture too."""
        hint = self.hint if hint == AGAIN else hint
        return super().error(what, expected, found, offset=offset, hint=hint)

    def bytes(self, length: int, what: str, most: int) -> bytes:
        """The next `length` bytes; refuses more than `most` or than there are."""
        start = self.position
        left = self.size - start
        if length > min(most, left):
            raise self.error(
                f"{what} length", f"at most {min(most, left)} bytes", str(length), offset=start
            )
        self.position = start + length
        return self.data[start : self.position]


def read_old_part(file: MappedFile, architecture: str, model: OldModel) -> OldPart:
    """Read header, vocabulary and tensor records of an old file, but no tensor data.

    Raises ModelFileError, or UnsupportedModelError for a version or a type that llmpy lacks.
    """
    hint = f"The file is damaged, or no {architecture} model"
    cursor = OldCursor(file, hint)
    container = CONTAINERS[bytes(file.buffer[:4])]
    cursor.position = 4
    part = OldPart(file, container, _version(cursor, container))
    _read_header(cursor, part, model)
    _read_tokens(cursor, part)
    known = layouts(part.quantization)
    while cursor.position < cursor.size:
        _read_tensor(cursor, part, known)
    return part


def _version(cursor: OldCursor, container: str) -> int:
    if container == "GGML":
        return 0
    version = int(cursor.number(cursor.int32, "version"))
    if version not in VERSIONS[container]:
        known = ", ".join(map(str, VERSIONS[container]))
        hint = "It is a model of rwkv.cpp" if version in (100, 101) else "The file is damaged"
        raise UnsupportedModelError(
            cursor.path, "version", f"{container} version {known}", str(version), offset=4,
            hint=hint,
        )  # fmt: skip
    return version


def _read_header(cursor: OldCursor, part: OldPart, model: OldModel) -> None:
    """Counts of 1 or more; the file type and the numbers of few rotated dimensions may be 0."""
    for declared in model.header:
        kind, _, name = declared.rpartition(":")
        at = cursor.position
        layout = cursor.scalars[6] if kind == "f" else cursor.int32
        value = cursor.number(layout, f"header {name}")
        if kind == "f" and not math.isfinite(value):
            raise cursor.error(f"header {name}", "a finite number", str(value), offset=at)
        if kind == "b" and value > 1:
            raise cursor.error(f"header {name}", "a bool, 0 or 1", str(value), offset=at)
        least = 0 if name in ("file_type", "n_rot") else 1
        if not kind and not least <= value < 1 << 31:
            expected = f"{least} or more, and below 2**31"
            raise cursor.error(f"header {name}", expected, str(value), offset=at)
        if part.header.setdefault(name, value) != value:  # some say the vocabulary's size twice
            expected = f"{part.header[name]}, as before"
            raise cursor.error(f"header {name}", expected, str(value), offset=at)
        part.offsets.setdefault(name, at)
    part.quantization = _quantization(cursor, part)


def _quantization(cursor: OldCursor, part: OldPart) -> int:
    """The version of the block layouts: from the file type or, if greater, the container."""
    file_version = int(part.header["file_type"]) // FACTOR
    if file_version > 2:
        raise UnsupportedModelError(
            cursor.path, "header file_type", "quantization version 0, 1 or 2", str(file_version),
            offset=part.offsets["file_type"], hint=cursor.hint,
        )  # fmt: skip
    return max(file_version, part.version - 1 if part.container == "GGJT" else 0)


def _read_tokens(cursor: OldCursor, part: OldPart) -> None:
    count, scored = int(part.header["n_vocab"]), part.container != "GGML"
    most = min(MAX_COUNT, (cursor.size - cursor.position) // (8 if scored else 4))
    if count > most:
        raise cursor.error(
            "header n_vocab", f"at most {most} (what fits in the file)", str(count),
            offset=part.offsets["n_vocab"],
        )  # fmt: skip
    scores = np.zeros(count, np.float32)
    single = struct.Struct("<f")
    for i in range(count):
        length = cursor.number(cursor.int32, f"token {i} length")
        part.tokens.append(cursor.bytes(length, f"token {i}", MAX_TOKEN))
        if scored:
            at = cursor.position
            scores[i] = cursor.number(single, f"token {i} score")
            if not math.isfinite(scores[i]):
                raise cursor.error(f"token {i} score", "a finite number", str(scores[i]), offset=at)
    part.scores = scores if scored else None


def _read_shape(cursor: OldCursor, n_dims: int) -> tuple[int, ...]:
    dims: list[int] = []
    for i in range(n_dims):
        at = cursor.position
        dims.append(cursor.number(cursor.int32, f"tensor dimension {i}"))
        if not 0 < dims[-1] < 1 << 31 or math.prod(dims) >= 1 << 63:
            expected = "a size above 0, and below 2**63 values in all"
            raise cursor.error(f"tensor dimension {i}", expected, str(dims[-1]), offset=at)
    return tuple(reversed(dims))


def _read_tensor(cursor: OldCursor, part: OldPart, known: dict[int, Layout]) -> None:
    """One record, and past its data."""
    record = cursor.position
    n_dims, length, number = (
        int(cursor.number(cursor.int32, f"tensor {what}"))
        for what in ("number of dimensions", "name length", "type")
    )
    if not 1 <= n_dims <= 4:
        raise cursor.error("tensor number of dimensions", "1 to 4", str(n_dims), offset=record)
    shape = _read_shape(cursor, n_dims)
    name = cursor.bytes(length, "tensor name", MAX_NAME).decode("utf-8", "surrogateescape")
    what = f"tensor {quoted(name)}"
    if name in part.tensors:
        raise cursor.error(what, "each tensor once", "it a second time", offset=record)
    layout = known.get(number)
    if layout is None:
        types = ", ".join(f"{i} ({x.name})" for i, x in known.items())
        raise UnsupportedModelError(
            cursor.path, f"{what} type",
            f"one of {types} (quantization version {part.quantization})", str(number),
            offset=record + 8, hint=cursor.hint,
        )  # fmt: skip
    if shape[-1] % layout.block:
        expected = f"a multiple of {layout.name}'s block of {layout.block}"
        raise cursor.error(f"{what} row length", expected, str(shape[-1]), offset=record)
    step = ALIGNMENT if part.container == "GGJT" else 1
    start = -(-cursor.position // step) * step
    size = math.prod(shape) // layout.block * layout.size
    if size > cursor.size - start:
        raise cursor.error(
            f"{what} size", f"at most the {max(0, cursor.size - start)} bytes that follow",
            f"{size} bytes for {layout.name} {list(shape)}", offset=record,
        )  # fmt: skip
    part.tensors[name] = Stored(name, layout, shape, start, size, record)
    cursor.position = start + size
