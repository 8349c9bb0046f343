"""Safetensors: the container of Hugging Face checkpoints, in one file or in shards.

A file is a length, a JSON header of that length, and the tensors, without gaps and overlaps.
Source: the format's description in github.com/huggingface/safetensors.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.errors import ModelFileError
from llmpy.format.cursor import AGAIN, quoted
from llmpy.format.json_text import parse_object
from llmpy.format.mapped import MappedFile
from llmpy.format.sniff import guess

__all__ = ["BITS", "INDEX", "SINGLE", "Safetensors", "Stored", "open_safetensors",
           "read_header", "read_index", "write_safetensors"]  # fmt: skip

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_HEADER = 100_000_000  # the limit of the original implementation
MAX_DIMENSIONS = 32

# Bits of a value of each type.
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8,
    "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor: `size` bytes of type `dtype` (in the words of BITS) from byte `offset`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    part: int = 0


class Safetensors:
    """The open files of one checkpoint: `tensors` by name, and their bytes."""

    def __init__(self, files: list[MappedFile], tensors: Mapping[str, Stored]) -> None:
        self.files = files
        self.tensors: Mapping[str, Stored] = MappingProxyType(dict(tensors))

    def data(self, name: str) -> NDArray[np.uint8]:
        """The bytes of a tensor: a read-only view into the mapped file."""
        info = self.tensors[name]
        return self.files[info.part].view(info.offset, info.size)

    def path(self, name: str) -> Path:
        """The file that a tensor is in."""
        return self.files[self.tensors[name].part].path

    def release(self, name: str) -> None:
        """Tell the system that this tensor's pages are not needed for now."""
        info = self.tensors[name]
        self.files[info.part].release(info.offset, info.size)

    def close(self) -> None:
        """Give the maps back; arrays that `data` returned stay valid."""
        for file in self.files:
            file.close()


def open_safetensors(path: Path) -> Safetensors:
    """Open one file, or all files that the index (INDEX) at `path` names.

    Headers are read and checked against the files' sizes; data is read when it is used. Raises
    ModelFileError for whatever is wrong.
    """
    paths, listed = [path], None
    if path.name.endswith(".json"):
        listed = read_index(path)
        paths = [path.parent / name for name in sorted(set(listed.values()))]
    tensors: dict[str, Stored] = {}
    with contextlib.ExitStack() as opened:
        files = []
        for part, shard in enumerate(paths):
            file = MappedFile(shard)
            opened.callback(file.close)
            files.append(file)
            for info in read_header(file, part):
                if info.name in tensors:
                    raise ModelFileError(
                        shard, f"tensor {quoted(info.name)}", "each tensor once",
                        f"it also in {files[tensors[info.name].part].path.name}",
                    )  # fmt: skip
                tensors[info.name] = info
        for name, shard_name in (listed or {}).items():
            if name not in tensors or files[tensors[name].part].path.name != shard_name:
                raise ModelFileError(
                    path, f"weight_map {quoted(name)}", f"a tensor of {shard_name}",
                    "no such tensor in it", hint=AGAIN,
                )  # fmt: skip
        opened.pop_all()
    return Safetensors(files, tensors)


def read_index(path: Path) -> dict[str, str]:
    """Tensor name -> file name, as the index says."""
    file = MappedFile(path)
    try:
        if file.size > MAX_HEADER:
            raise ModelFileError(path, "index", f"at most {MAX_HEADER} bytes", str(file.size))
        listed = parse_object(bytes(file.buffer), path, "index").get("weight_map")
    finally:
        file.close()
    if not isinstance(listed, dict) or not listed:
        raise ModelFileError(path, "weight_map", "an object of file names", quoted(listed))
    for name, shard in listed.items():
        plain = isinstance(shard, str) and shard.endswith(".safetensors")
        if not plain or Path(shard).name != shard or "\\" in shard or "\0" in shard:
            raise ModelFileError(
                path, f"weight_map {quoted(name)}", "the name of a .safetensors file beside it",
                quoted(shard),
            )  # fmt: skip
    return listed


def read_header(file: MappedFile, part: int = 0) -> list[Stored]:
    """The tensors of one file in the order of their data, everything checked."""
    size, path = file.size, file.path
    length = int.from_bytes(file.buffer[:8], "little")
    limit = min(size - 8, MAX_HEADER)
    if not 2 <= length <= limit:
        shown, hint, _ = guess(bytes(file.buffer[:256])) or (str(length), AGAIN, False)
        expected = f"from 2 to {max(limit, 2)}"
        raise ModelFileError(path, "header length", expected, shown, offset=0, hint=hint)
    header = parse_object(file.buffer[8 : 8 + length], path, "header", offset=8, unique=True)
    header.pop("__metadata__", None)
    found = sorted(
        (_entry(path, name, entry, 8 + length, part) for name, entry in header.items()),
        key=lambda info: (info.offset, info.size),
    )
    end = 8 + length
    for info in found:
        if info.offset != end:
            raise ModelFileError(
                path, f"tensor {quoted(info.name)} data_offsets",
                "data that begins where the tensor before it ends", f"{info.offset - end:+} bytes",
                offset=info.offset, hint=AGAIN,
            )  # fmt: skip
        end += info.size
    if end != size:
        raise ModelFileError(
            path, "tensors", f"data of {size - 8 - length} bytes", f"{end - 8 - length} in the "
            f"header", offset=min(end, size), hint=AGAIN,
        )  # fmt: skip
    return found


def _entry(path: Path, name: str, entry: Any, base: int, part: int) -> Stored:
    def refuse(what: str, expected: str, found: object) -> ModelFileError:
        field = f"tensor {quoted(name)}{what}"
        return ModelFileError(path, field, expected, quoted(found), offset=8)

    def counts(key: str, most: int) -> list[int]:
        value = entry.get(key)
        right = isinstance(value, list) and len(value) <= most
        if not right or any(type(n) is not int or not 0 <= n < 1 << 48 for n in value):
            raise refuse(f" {key}", "a list of whole numbers below 2^48", value)
        return list(value)

    if not isinstance(entry, dict):
        raise refuse("", "an object", entry)
    dtype, shape = entry.get("dtype"), counts("shape", MAX_DIMENSIONS)
    if not isinstance(dtype, str) or dtype not in BITS:
        raise refuse(" dtype", f"one of {', '.join(BITS)}", dtype)
    offsets = counts("data_offsets", 2)
    bits = math.prod(shape) * BITS[dtype]
    if len(offsets) != 2 or (offsets[1] - offsets[0]) * 8 != bits:
        expected = f"its begin and end, as far apart as the bytes of {dtype} {quoted(shape)}"
        raise refuse(" data_offsets", expected, offsets)
    return Stored(name, dtype, tuple(shape), base + offsets[0], bits // 8, part)


def write_safetensors(
    path: Path, tensors: Iterable[tuple[str, str, tuple[int, ...], NDArray[Any]]]
) -> None:
    """Write (name, type, shape, data) as one file, in that order; for tests and tools.

    `data` is an array of any type whose bytes are the tensor's. Raises ValueError where they do
    not fill the shape.
    """
    header, pieces, at = {}, [], 0
    for name, dtype, shape, data in tensors:
        piece = np.ascontiguousarray(data).tobytes()
        if len(piece) * 8 != math.prod(shape) * BITS[dtype]:
            raise ValueError(f"{name}: {len(piece)} bytes do not fill {dtype} {shape}")
        offsets = [at, at + len(piece)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        pieces.append(piece)
        at += len(piece)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *pieces]))
