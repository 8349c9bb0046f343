"""Importance: how large the inputs of each product were, which says what an error in them costs.

Read and written in the GGUF form that llama.cpp's tools share ("NAME.in_sum2", "NAME.counts");
read in their older binary form too.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, quant
from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError
from llmpy.format import ModelFile, Typed, open_gguf, write_gguf

__all__ = ["Importance", "checked_importance", "read_importance", "write_importance"]

Floats = NDArray[np.float32]

_SUMS, _COUNTS = ".in_sum2", ".counts"
_MOST = 1 << 24  # entries, and values of an entry, of an old file


@dataclass(frozen=True)
class Importance:
    """Sums of squared matmul inputs, float32 [matrices, columns], and counts [matrices], by tensor.

    They are of `chunks` chunks of `chunk_size` tokens of the texts `datasets`.
    """

    sums: Mapping[str, Floats]
    counts: Mapping[str, Floats]
    chunks: int = 0
    chunk_size: int = 0
    datasets: Sequence[str] = field(default=())

    def of(self, name: str) -> Floats | None:
        """Return the mean squared inputs [matrices, columns]; ones for a matrix never used."""
        if name not in self.sums:
            return None
        sums, counts = self.sums[name], self.counts[name][:, None]
        used = counts > 0
        return np.where(used, sums / np.where(used, counts, 1), 1).astype(np.float32)

    def check(self, path: Path, name: str, shape: Sequence[int]) -> None:
        """Raise ModelFileError unless the sums of `name`, if any, fit a tensor of this shape."""
        if name not in self.sums:
            return
        found = self.sums[name].shape
        matrices = int(np.prod(shape[:-2], dtype=object)) if len(shape) > 2 else 1
        if found not in ((matrices, shape[-1]), (1, shape[-1])):
            raise ModelFileError(
                path, f"importance of tensor '{name}'", f"{[matrices, shape[-1]]} numbers",
                f"{list(found)}", hint="It was collected for another model.",
            )  # fmt: skip


def write_importance(path: str | os.PathLike[str], importance: Importance) -> None:
    """Write an importance matrix as GGUF, atomically."""
    path = checks.path("path", path)
    if not isinstance(importance, Importance):
        raise checks.wrong_type("importance", "an Importance", importance)
    metadata = {
        "general.type": "imatrix",
        "imatrix.datasets": Typed("[string]", list(importance.datasets)),
        "imatrix.chunk_count": Typed("u32", importance.chunks),
        "imatrix.chunk_size": Typed("u32", importance.chunk_size),
    }
    f32, tensors = BY_NAME["F32"], []
    for name in sorted(importance.sums):
        sums, counts = importance.sums[name], importance.counts[name]
        tensors.append((name + _SUMS, f32, sums.shape, sums.astype("<f4")))
        tensors.append((name + _COUNTS, f32, (len(counts), 1), counts.astype("<f4")))
    write_gguf(path, metadata, tensors)


def checked_importance(
    importance: Importance | str | os.PathLike[str] | None,
) -> Importance | None:
    """The importance, read if it is a path."""
    if importance is None or isinstance(importance, Importance):
        return importance
    return read_importance(checks.path("importance", importance))


def read_importance(path: str | os.PathLike[str]) -> Importance:
    """Read an importance matrix in either file format; raises ModelFileError for a damaged file."""
    path = checks.path("path", path)
    with path.open("rb") as file:
        modern = file.read(4) in (b"GGUF", b"FUGG")
    if not modern:
        return _read_old(path)
    with open_gguf(path) as gguf:
        return _read(gguf)


def _read(file: ModelFile) -> Importance:
    sums: dict[str, Floats] = {}
    counts: dict[str, Floats] = {}
    for name, info in file.tensors.items():
        base, end = (name.removesuffix(_SUMS), _SUMS) if name.endswith(_SUMS) else (
            name.removesuffix(_COUNTS), _COUNTS)  # fmt: skip
        if not name.endswith(end) or info.dtype.name != "F32" or len(info.shape) > 2:
            raise ModelFileError(
                file.path, f"tensor '{name}'", f"F32 NAME{_SUMS} or NAME{_COUNTS}",
                f"{info.dtype} {list(info.shape)}", hint="This is no file of importances.",
            )  # fmt: skip
        values = quant.dequantize(info.dtype, file.data(name), info.shape)
        if end == _SUMS:
            sums[base] = np.atleast_2d(values)
        else:
            counts[base] = values.reshape(-1)
    for name in sums.keys() ^ counts.keys():
        raise ModelFileError(file.path, f"importance of '{name}'", "sums and counts", "one of them")
    for name in sums:
        if len(counts[name]) not in (1, len(sums[name])):
            raise ModelFileError(
                file.path, f"tensor '{name}{_COUNTS}'", f"{len(sums[name])} numbers",
                str(len(counts[name])),
            )  # fmt: skip
        counts[name] = np.broadcast_to(counts[name], len(sums[name]))
        _check(file.path, name, sums[name], counts[name])
    return Importance(
        sums, counts,
        file.get("imatrix.chunk_count", int, 0), file.get("imatrix.chunk_size", int, 0),
        file.get("imatrix.datasets", list, []),
    )  # fmt: skip


def _check(path: Path, name: str, sums: Floats, counts: Floats) -> None:
    for what, values in (("sums", sums), ("counts", counts)):
        if not np.isfinite(values).all() or (values < 0).any():
            raise ModelFileError(
                path, f"{what} of '{name}'", "finite numbers of 0 or more", "others"
            )


def _read_old(path: Path) -> Importance:
    """int32 entries; each: length and bytes of the name, calls, n, then n float32 sums."""
    data, at = path.read_bytes(), 0

    def number(what: str, least: int) -> int:
        nonlocal at
        if at + 4 > len(data):
            raise _broken(path, what, at, "4 bytes", f"{len(data) - at}")
        value: int = struct.unpack_from("<i", data, at)[0]
        if not least <= value <= _MOST:
            raise _broken(path, what, at, f"{least} to {_MOST}", str(value))
        at += 4
        return value

    def take(n: int, what: str) -> bytes:
        nonlocal at
        if at + n > len(data):
            raise _broken(path, what, at, f"{n} bytes", f"{len(data) - at}")
        at += n
        return data[at - n : at]

    sums: dict[str, Floats] = {}
    counts: dict[str, Floats] = {}
    for _ in range(number("number of entries", 1)):
        name = take(number("length of a name", 1), "name").decode("utf-8", "surrogateescape")
        calls, n = number(f"calls of '{name}'", 0), number(f"size of '{name}'", 1)
        sums[name] = np.frombuffer(take(4 * n, f"values of '{name}'"), "<f4")[None]
        counts[name] = np.array([calls or 1], np.float32)
        _check(path, name, sums[name], counts[name])
    chunks, datasets = 0, []
    if at < len(data):
        chunks = number("number of chunks", 0)
        datasets = [take(number("length of a name", 0), "data set").decode("utf-8", "replace")]
    return Importance(sums, counts, chunks, 0, datasets)


def _broken(path: Path, what: str, at: int, expected: str, found: str) -> ModelFileError:
    return ModelFileError(
        path, f"importance: {what}", expected, found, offset=at,
        hint="This is no file of importances, or a damaged one.",
    )  # fmt: skip
