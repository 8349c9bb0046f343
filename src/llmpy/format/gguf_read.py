"""One GGUF file: its header, metadata and tensor table, every number checked before it is used.

Layout: magic, version, number of tensors, number of keys; the keys with their values; the tensor
table; padding to the alignment; tensor data. Version 1 has 32-bit counts and lengths, 2 and 3 have
64-bit ones. Source: the GGUF specification (ggml, docs/gguf.md).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from llmpy.dtypes import BY_ID
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.container import TensorInfo, Value
from llmpy.format.cursor import AGAIN, Cursor, quoted
from llmpy.format.gguf_types import (
    ALIGNMENT,
    ARRAY,
    MAGIC,
    MAX_DEPTH,
    MAX_KEY,
    SCALARS,
    STRING,
    VERSIONS,
)
from llmpy.format.mapped import MappedFile
from llmpy.format.sniff import looks_like
from llmpy.format.strings import read_strings
from llmpy.strings import Strings

__all__ = ["Part", "read_part"]

_GONE = "This type was removed from GGUF; get a newer conversion of the model."
_ARRAY_COST = 64  # of an array in an array, against the allowance that a plain value takes 1 of
_REMOVED_TYPES = {4, 5, 31, 32, 33, 36, 37, 38}


@dataclass
class Part:
    """The content of one GGUF file."""

    file: MappedFile
    version: int = 3
    big_endian: bool = False
    metadata: dict[str, Value | Strings] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)


def _kind_name(kind: int) -> str:
    return "string" if kind == STRING else SCALARS[kind].name if kind in SCALARS else "array"


def _read_kind(cursor: Cursor, what: str) -> int:
    at = cursor.position
    kind = int(cursor.number(cursor.int32, what))
    if kind not in SCALARS and kind not in (STRING, ARRAY):
        raise cursor.error(what, "a GGUF value type, 0 to 12", str(kind), offset=at)
    return kind


def _read_value(
    cursor: Cursor, kind: int, what: str, depth: int = 0
) -> tuple[Value | Strings, str]:
    """The value at the cursor and the name of its kind."""
    if kind == STRING:
        return cursor.string(what), "string"
    if kind == ARRAY:
        return _read_array(cursor, what, depth)
    at = cursor.position
    value: Value = cursor.number(cursor.scalars[kind], what)
    name = SCALARS[kind].name
    if name == "bool":
        if value not in (0, 1):
            raise cursor.error(what, "a bool, 0 or 1", str(value), offset=at)
        value = bool(value)
    return value, name


def _read_array(cursor: Cursor, what: str, depth: int) -> tuple[Value | Strings, str]:
    if depth == MAX_DEPTH:
        raise cursor.error(
            what, f"arrays nested at most {MAX_DEPTH} deep", "a deeper one", offset=cursor.position
        )
    member = _read_kind(cursor, f"{what} type of members")
    at = cursor.position
    count = cursor.number(cursor.word, f"{what} number of members")
    smallest = {STRING: cursor.word.size, ARRAY: 4 + cursor.word.size}
    width = SCALARS[member].size if member in SCALARS else smallest[member]
    left = (cursor.size - cursor.position) // width
    allowed = cursor.allowance // (_ARRAY_COST if member == ARRAY else 1)
    if count > min(left, allowed):
        why = "what fits in the file" if left <= allowed else "the limit for a file's metadata"
        raise cursor.error(
            f"{what} number of members", f"at most {min(left, allowed)} ({why})",
            str(count), offset=at,
        )  # fmt: skip
    cursor.allowance -= count * (_ARRAY_COST if member == ARRAY else 1)
    kind = f"[{_kind_name(member)}]"
    if member == STRING:
        return read_strings(cursor, count, what), kind
    if member == ARRAY:
        inner = (_read_array(cursor, f"{what}[{i}]", depth + 1)[0] for i in range(count))
        return [value.all() if isinstance(value, Strings) else value for value in inner], kind
    return _read_numbers(cursor, member, count, what), kind


def _read_numbers(cursor: Cursor, member: int, count: int, what: str) -> Value:
    scalar = SCALARS[member]
    at = cursor.position
    cursor.position = at + count * scalar.size
    array = np.frombuffer(cursor.data[at : cursor.position], cursor.order + scalar.numpy)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if scalar.name == "bool":
        if count and array.max() > 1:
            wrong = int(np.argmax(array > 1))
            raise cursor.error(
                f"{what}[{wrong}]", "a bool, 0 or 1", str(array[wrong]), offset=at + wrong
            )
        array = array.astype(np.bool_)
    array.flags.writeable = False
    return array


def _read_metadata(cursor: Cursor, part: Part, count: int) -> None:
    for i in range(count):
        at = cursor.position
        key = cursor.string(f"metadata key {i}", MAX_KEY)
        what = f"metadata {quoted(key)}"
        if key in part.metadata:
            raise cursor.error(what, "each key once", "it a second time", offset=at, hint=None)
        kind = _read_kind(cursor, f"{what} type")
        part.offsets[key] = cursor.position
        part.metadata[key], part.kinds[key] = _read_value(cursor, kind, what)


def _read_shape(cursor: Cursor, what: str) -> tuple[int, ...]:
    at = cursor.position
    n_dims = cursor.number(cursor.int32, f"{what} number of dimensions")
    if not 1 <= n_dims <= 4:
        raise cursor.error(f"{what} number of dimensions", "1 to 4", str(n_dims), offset=at)
    dims = []
    for i in range(n_dims):
        at = cursor.position
        dims.append(cursor.number(cursor.word, f"{what} dimension {i}"))
        if dims[-1] == 0 or math.prod(dims) >= 1 << 63:
            raise cursor.error(
                f"{what} dimension {i}", "a size above 0, and below 2**63 values in all",
                str(dims[-1]), offset=at,
            )  # fmt: skip
    return tuple(reversed(dims))


def _read_tensor(cursor: Cursor, what: str, name: str) -> tuple[TensorInfo, int]:
    """One row of the tensor table, with its offset still relative, and where that offset stands."""
    shape = _read_shape(cursor, what)
    at = cursor.position
    number = cursor.number(cursor.int32, f"{what} type")
    dtype = BY_ID.get(number)
    if dtype is None:
        hint = _GONE if number in _REMOVED_TYPES else "Get the model in another quantization."
        raise UnsupportedModelError(
            cursor.path, f"{what} type", "a known tensor type", str(number), offset=at, hint=hint
        )
    if shape[-1] % dtype.block:
        raise cursor.error(
            f"{what} row length", f"a multiple of {dtype}'s block of {dtype.block}",
            str(shape[-1]), offset=at,
        )  # fmt: skip
    size = math.prod(shape[:-1]) * dtype.row_bytes(shape[-1])
    if size > cursor.size:
        raise cursor.error(
            f"{what} size", f"at most the file's {cursor.size} bytes",
            f"{size} bytes for {dtype} {list(shape)}", offset=at,
        )  # fmt: skip
    at = cursor.position
    offset = cursor.number(cursor.int64, f"{what} offset")
    return TensorInfo(name, dtype, shape, offset, size), at


def _read_tensors(cursor: Cursor, part: Part, count: int) -> None:
    table: list[tuple[TensorInfo, int]] = []
    names: set[str] = set()
    for i in range(count):
        at = cursor.position
        name = cursor.string(f"tensor {i} name", MAX_KEY)
        what = f"tensor {quoted(name)}"
        if name in names:
            raise cursor.error(what, "each tensor once", "it a second time", offset=at, hint=None)
        names.add(name)
        table.append(_read_tensor(cursor, what, name))
    alignment = _alignment(cursor, part)
    start = -(-cursor.position // alignment) * alignment
    for info, at in table:
        what = f"tensor {quoted(info.name)} offset"
        if info.offset % alignment:
            raise cursor.error(
                what, f"a multiple of the alignment {alignment}", str(info.offset), offset=at
            )
        if start + info.offset + info.size > cursor.size:
            room = cursor.size - start - info.size
            most = f"at most {room}" if room >= 0 else "a file that is long enough"
            raise cursor.error(
                what, f"{most} (its {info.size} bytes lie inside the file)",
                str(info.offset), offset=at,
            )  # fmt: skip
        part.tensors[info.name] = TensorInfo(
            info.name, info.dtype, info.shape, start + info.offset, info.size
        )
    _refuse_overlap(cursor, part, {info.name: at for info, at in table})


def _alignment(cursor: Cursor, part: Part) -> int:
    value = part.metadata.get("general.alignment", ALIGNMENT)
    if type(value) is not int or value < 8 or value & (value - 1):
        raise cursor.error(
            "metadata 'general.alignment'", "a power of two, 8 or more", quoted(value),
            offset=part.offsets["general.alignment"],
        )  # fmt: skip
    return value


def _refuse_overlap(cursor: Cursor, part: Part, places: dict[str, int]) -> None:
    ordered = sorted(part.tensors.values(), key=lambda info: info.offset)
    for before, info in itertools.pairwise(ordered):
        if info.offset < before.offset + before.size:
            raise cursor.error(
                f"tensor {quoted(info.name)} offset",
                f"bytes behind those of {quoted(before.name)}", "bytes that overlap them",
                offset=places[info.name],
            )  # fmt: skip


def _header(file: MappedFile) -> tuple[int, bool]:
    """The version, and whether the file is big-endian."""
    head = file.buffer[:8]
    if head[:4] != MAGIC:
        raise looks_like(file)
    for order, big_endian in (("<", False), (">", True)):
        if len(head) == 8 and struct.unpack(order + "I", head[4:])[0] in VERSIONS:
            return struct.unpack(order + "I", head[4:])[0], big_endian
    if len(head) < 8:
        found = f"{len(head) - 4} bytes before the file ends"
        raise ModelFileError(file.path, "version", "4 bytes", found, offset=4, hint=AGAIN)
    found = str(struct.unpack("<I", head[4:])[0])
    raise UnsupportedModelError(
        file.path, "version", "GGUF version 1, 2 or 3", found, offset=4,
        hint="The file is damaged, or newer than this llmpy.",
    )  # fmt: skip


def _counts(cursor: Cursor) -> Iterator[tuple[str, int]]:
    """Numbers of tensors and of keys; each takes some bytes, so the file's size bounds both."""
    word = cursor.word.size
    cursor.position = 8
    for what, smallest in (("tensors", 2 * word + 4 + 4 + 8), ("metadata keys", word + 4 + 1)):
        at = cursor.position
        count = cursor.number(cursor.word, f"number of {what}")
        most = max(0, cursor.size - 8 - 2 * word) // smallest
        if count > most:
            raise cursor.error(
                f"number of {what}", f"at most {most} (what fits in the file)",
                str(count), offset=at,
            )  # fmt: skip
        yield what, count


def read_part(file: MappedFile) -> Part:
    """Read the header, metadata and tensor table of a GGUF file, but no tensor data.

    Raises `ModelFileError`, or `UnsupportedModelError` where the file asks for a version or a
    tensor type that llmpy lacks.
    """
    version, big_endian = _header(file)
    part = Part(file, version, big_endian)
    cursor = Cursor(file, version, big_endian)
    counts = dict(_counts(cursor))
    _read_metadata(cursor, part, counts["metadata keys"])
    _alignment(cursor, part)
    _read_tensors(cursor, part, counts["tensors"])
    return part
