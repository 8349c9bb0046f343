"""Writing GGUF files: any version, either byte order, whole or in parts, and never half a file.

A file is written beside its target under a temporary name, flushed to the disk, checked where the
caller can, and renamed, so that a failure at any point leaves what was there before. Tensor data
streams through.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import DType
from llmpy.errors import ModelFileError
from llmpy.format.container import TensorInfo
from llmpy.format.cursor import quoted
from llmpy.format.endian import check_swappable, to_little_endian
from llmpy.format.gguf_types import ALIGNMENT, MAGIC, SPLIT_KEYS, VERSIONS, Typed
from llmpy.format.gguf_value import Encoder
from llmpy.format.target import sync_folder, target_of, temporary_name

__all__ = ["write_gguf"]

_SPLIT_HINT = "The writer adds it where it writes parts."

Chunk: TypeAlias = bytes | bytearray | memoryview | NDArray[Any]
Data: TypeAlias = Chunk | Callable[[], Chunk | Iterable[Chunk]]
Tensor: TypeAlias = tuple[str, DType, tuple[int, ...], Data]


@dataclass(frozen=True)
class _Layout:
    """The layout of the file: version, byte order and alignment, and the encoder made for them."""

    version: int
    big_endian: bool
    alignment: int
    encode: Encoder

    def up(self, n: int) -> int:
        return -(-n // self.alignment) * self.alignment


def write_gguf(
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    tensors: Iterable[Tensor],
    *,
    version: int = 3,
    big_endian: bool = False,
    alignment: int | None = None,
    split_max_bytes: int | None = None,
    check: Callable[[Path], object] | None = None,
) -> list[Path]:
    """Write a model; return the paths of its files: `path`, or NAME-00001-of-00002.gguf and so on.

    `metadata` values are Python scalars, strings, lists or NumPy arrays, or `Typed(kind, value)`
    for a type of one's choice; plain ints become u32, i32, u64 or i64, the first that holds them,
    in lists the first of i32, u32, i64, u64; floats become f32. `tensors` are (name, dtype,
    row-major shape, data): little-endian bytes, or a function called when its turn comes that
    returns them, whole or as an iterable of pieces. Where all tensors take more than
    `split_max_bytes`, the model is written in parts of at most that (and at least one tensor each).
    `alignment` is the value of "general.alignment", else 32. `check` is called with each file when
    it is whole and has a temporary name; an exception cancels.

    Raises `ModelFileError` for what GGUF cannot say (a doubled name, a value out of range, bytes
    that do not fill the shape) and where no file can be (see `target_of`); the files that were
    there before are then untouched.
    """
    target = Path(path)
    if version not in VERSIONS:
        raise ModelFileError(target, "version", "1, 2 or 3", str(version))
    for key in SPLIT_KEYS:
        if key in metadata:
            raise ModelFileError(
                target, f"metadata '{key}'", "no such key", "one", hint=_SPLIT_HINT
            )
    alignment = _alignment(target, metadata, alignment)
    layout = _Layout(version, big_endian, alignment, Encoder(target, version, big_endian))
    table = [(_check(target, tensor, big_endian), tensor[3]) for tensor in tensors]
    names = [info.name for info, _ in table]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ModelFileError(target, f"tensor {quoted(twice)}", "each tensor once", "it twice")
    groups = list(_groups(table, split_max_bytes, layout))
    files = {}
    for i, group in enumerate(groups):
        final = target if len(groups) == 1 else _part_path(target, i, len(groups))
        files[final] = _part_keys(metadata, i, len(groups), len(table), alignment), group
    _write_files(files, layout, check)
    return list(files)


def _write_files(
    files: Mapping[Path, tuple[Mapping[str, Any], list[tuple[TensorInfo, Data]]]],
    layout: _Layout,
    check: Callable[[Path], object] | None,
) -> None:
    """Write all files under temporary names, and then give them their own."""
    written: list[tuple[Path, Path]] = []
    targets = [target_of(path) for path in files]
    try:
        for final, (keys, group) in zip(targets, files.values(), strict=True):
            temporary = temporary_name(final)
            written.append((temporary, final))
            with temporary.open("xb") as file:
                _write_part(file, keys, group, layout)
                file.flush()
                os.fsync(file.fileno())
        for temporary, _ in written:
            if check is not None:
                check(temporary)
        for temporary, final in written:
            temporary.replace(final)
    except BaseException:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(written[0][1].parent)


def _alignment(path: Path, metadata: Mapping[str, Any], given: int | None) -> int:
    stored = metadata.get("general.alignment")
    stored = stored.value if isinstance(stored, Typed) else stored
    if stored is not None and given is not None and stored != given:
        raise ModelFileError(path, "metadata 'general.alignment'", str(given), str(stored))
    value = stored if stored is not None else ALIGNMENT if given is None else given
    if not isinstance(value, int | np.integer) or value < 8 or value & (value - 1):
        raise ModelFileError(path, "alignment", "a power of two, 8 or more", quoted(value))
    return int(value)


def _check(path: Path, tensor: Tensor, big_endian: bool) -> TensorInfo:
    name, dtype, given, _ = tensor
    shape = tuple(int(n) for n in given)
    if not 1 <= len(shape) <= 4 or min(shape) < 1:
        raise ModelFileError(
            path, f"tensor {quoted(name)} shape", "1 to 4 dimensions above 0", str(shape)
        )
    if shape[-1] % dtype.block:
        raise ModelFileError(
            path, f"tensor {quoted(name)} row length",
            f"a multiple of {dtype}'s block of {dtype.block}", str(shape[-1]),
        )  # fmt: skip
    rows = int(np.prod(shape[:-1], dtype=object)) if len(shape) > 1 else 1
    info = TensorInfo(name, dtype, shape, 0, rows * dtype.row_bytes(shape[-1]))
    if big_endian:
        check_swappable(path, info)
    return info


def _groups(
    table: list[tuple[TensorInfo, Data]], limit: int | None, layout: _Layout
) -> Iterator[list[tuple[TensorInfo, Data]]]:
    """The tensors of each part."""
    group: list[tuple[TensorInfo, Data]] = []
    size = 0
    for info, data in table:
        if limit is not None and group and size + layout.up(info.size) > limit:
            yield group
            group, size = [], 0
        group.append((info, data))
        size += layout.up(info.size)
    yield group


def _part_path(target: Path, number: int, count: int) -> Path:
    return target.with_name(
        f"{target.name.removesuffix('.gguf')}-{number + 1:05d}-of-{count:05d}.gguf"
    )


def _part_keys(
    metadata: Mapping[str, Any], number: int, count: int, n_tensors: int, alignment: int
) -> dict[str, Any]:
    keys = dict(metadata) if number == 0 else {}
    if alignment != ALIGNMENT:
        keys.setdefault("general.alignment", Typed("u32", alignment))
    if count > 1:
        keys["split.no"] = Typed("u16", number)
        keys["split.count"] = Typed("u16", count)
        keys["split.tensors.count"] = Typed("i32", n_tensors)
    return keys


def _write_part(
    file: BinaryIO, keys: Mapping[str, Any], group: list[tuple[TensorInfo, Data]], layout: _Layout
) -> None:
    encode = layout.encode
    order = ">" if layout.big_endian else "<"
    pieces = [MAGIC, struct.pack(order + "I", layout.version)]
    pieces += [encode.word(len(group), "number of tensors"), encode.word(len(keys), "keys")]
    for key, value in keys.items():
        pieces += [encode.string(key, "metadata key"), encode.value(value, f"metadata '{key}'")]
    offset = 0
    for info, _ in group:
        pieces.append(encode.string(info.name, "tensor name"))
        pieces.append(struct.pack(order + "I", len(info.shape)))
        pieces += [
            encode.word(n, f"tensor {quoted(info.name)} dimension") for n in info.shape[::-1]
        ]
        pieces.append(struct.pack(order + "IQ", info.dtype.id, offset))
        offset += layout.up(info.size)
    header = b"".join(pieces)
    file.write(header)
    file.write(bytes(layout.up(len(header)) - len(header)))
    for info, data in group:
        _write_data(file, info, data, layout)
        file.write(bytes(layout.up(info.size) - info.size))


def _pieces(data: Data) -> Iterator[memoryview]:
    """The bytes of a tensor, piece by piece."""
    found = data() if callable(data) else data
    if isinstance(found, bytes | bytearray | memoryview | np.ndarray):
        found = [found]
    for piece in found:
        if isinstance(piece, np.ndarray):
            yield np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
        else:
            yield memoryview(piece).cast("B")


def _write_data(file: BinaryIO, info: TensorInfo, data: Data, layout: _Layout) -> None:
    size = 0
    rest = b""
    for piece in _pieces(data):
        size += len(piece)
        if size > info.size:
            break
        if not layout.big_endian:
            file.write(piece)
            continue
        rest += piece
        whole = len(rest) // info.dtype.size * info.dtype.size
        file.write(to_little_endian(info, np.frombuffer(rest[:whole], np.uint8)).data)
        rest = rest[whole:]
    if size != info.size:
        more = "at least " if size > info.size else ""
        raise ModelFileError(
            file.name, f"tensor {quoted(info.name)} data",
            f"{info.size} bytes for {info.dtype} {list(info.shape)}", f"{more}{size}",
        )  # fmt: skip
