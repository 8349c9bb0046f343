"""convert(): any model that llmpy opens -> a GGUF file, its matrices in a type of choice."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, quant
from llmpy.arch.base import architectures
from llmpy.checkpoint.open import open_model
from llmpy.checkpoint.rename import stays_f32
from llmpy.dtypes import BY_NAME, DType
from llmpy.errors import ModelFileError
from llmpy.format import ModelFile, TensorInfo, Typed, open_gguf, write_gguf
from llmpy.quant.recipe import KINDS, assign, stored_as
from llmpy.quantization.work import facts_of, kind_of, quantized_rows, warn_of_rows
from llmpy.runnable import check_model

__all__ = ["ConvertEvent", "convert"]

# general.file_type of files whose matrices have one type, as that of a mixture.
FILE_TYPES = dict(reversed(KINDS.values()))
TOO_LARGE_FOR_F16 = 65520.0  # what would be rounded to infinity
VALUES_AT_ONCE = 1 << 22  # bounds the temporaries to some 50 MB


@dataclass(frozen=True, slots=True)
class ConvertEvent:
    """Progress of `convert`: "metadata" once it is read, "tensor" for each one written, "done".

    `bytes_done` of `bytes_total` tensor bytes are written; `seconds` is the time since the call
    began. `dtype` is the type that a tensor was written in.
    """

    kind: Literal["metadata", "tensor", "done"]
    name: str
    dtype: str
    bytes_done: int
    bytes_total: int
    seconds: float


def convert(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    type: str | None = None,
    architecture: str | None = None,
    n_threads: int | None = None,
    progress: Callable[[ConvertEvent], object] | None = None,
) -> Path:
    """Convert the model at `path` to the GGUF file `out`, written atomically.

    `type`: a mixture of `quantize` ("f16", "q8_0", "q4_k_m", ...), None for the types that matrices
    have. Vectors, norms and other small tensors that are usually kept in F32 become F32. A matrix
    whose rows are not a multiple of the block size gets a type that fits, and a warning names it.
    `architecture` is for files that do not contain it, as in `open_model`. `n_threads`: default all
    CPUs available to this process. An exception that `progress` raises cancels the conversion. The
    new file is opened and checked before it is renamed to `out`.

    Raises ValueError for the type; ModelFileError or UnsupportedModelError for the model, and for a
    quantized one whose blocks another type would round again.
    """
    begin = time.perf_counter()
    checks.path("path", path)
    checks.path("out", out)
    checks.work(n_threads, progress)
    kind = None if type is None else kind_of(type)
    with open_model(path, architecture=architecture) as file:
        _check(file)
        types = _types(file, kind)
        sizes = {name: _size(file.tensors[name], dtype) for name, dtype in types.items()}
        done, total = 0, sum(sizes.values())

        def report(kind: Literal["metadata", "tensor", "done"], name: str, dtype: str) -> None:
            if progress is not None:
                seconds = time.perf_counter() - begin
                progress(ConvertEvent(kind, name, dtype, done, total, seconds))

        def data(name: str) -> Iterator[NDArray[np.uint8]]:
            nonlocal done
            yield from _converted(file, file.tensors[name], types[name], n_threads)
            file.release(name)
            done += sizes[name]
            report("tensor", name, str(types[name]))

        report("metadata", str(file.path), "")
        tensors = [
            (name, types[name], info.shape, partial(data, name))
            for name, info in file.tensors.items()
        ]
        written = write_gguf(out, _metadata(file, types, kind), tensors, check=_check_written)
        report("done", str(written[0]), "")
    return written[0]


def _check(file: ModelFile) -> None:
    """Refuse what could not be loaded; vocabularies and what llmpy does not run are left alone."""
    if file.tensors and str(file.metadata.get("general.architecture")) in architectures():
        check_model(file)


def _check_written(path: Path) -> None:
    with open_gguf(path) as file:
        _check(file)


def _types(file: ModelFile, kind: str | None) -> dict[str, DType]:
    """The type that each tensor gets."""
    shapes = {name: info.shape for name, info in file.tensors.items()}
    wanted = {} if kind is None else assign(kind, shapes, facts_of(file, weighed=False))
    types, fallen = {}, []
    for name, info in file.tensors.items():
        to = wanted.get(name, info.dtype)
        if info.dtype.is_integer or info.dtype.name not in quant.readable:
            to = info.dtype
        elif stays_f32(name, info.shape):
            to = BY_NAME["F32"]
        elif not info.dtype.is_float and to is not info.dtype:
            if not to.is_float:
                raise ModelFileError(
                    file.path, f"tensor '{name}' type", "F32, F16 or BF16", str(info.dtype),
                    hint="Requantizing compounds the error: convert the original instead, or use "
                    "llmpy quantize --allow-requantize.",
                )  # fmt: skip
            to = info.dtype
        types[name] = stored_as(to, info.shape[-1])
        if types[name] is not to:
            fallen.append(f"{name} ({to} -> {types[name]})")
    warn_of_rows(fallen)
    return types


def _size(info: TensorInfo, dtype: DType) -> int:
    return info.n_values // info.shape[-1] * dtype.row_bytes(info.shape[-1])


def _converted(
    file: ModelFile, info: TensorInfo, to: DType, n_threads: int | None
) -> Iterator[NDArray[np.uint8]]:
    """The bytes of a tensor in another type, some rows at a time."""
    n = info.shape[-1]
    width = info.dtype.row_bytes(n)
    for piece in file.pieces(info.name):
        if to is info.dtype:
            yield piece
            continue
        step = max(1, VALUES_AT_ONCE // n) * width
        for start in range(0, piece.size, step):
            part = piece[start : start + step]
            if to.is_float:
                values = quant.dequantize(info.dtype, part, (part.size // width, n))
                if to.name == "F16":
                    _check_f16(file.path, info.name, values)
                yield quant.quantize(to, values)
            else:
                made, lost, _ = quantized_rows(info, to, part, None, n_threads)
                if not math.isfinite(lost):
                    raise ModelFileError(
                        file.path, f"tensor '{info.name}' values", f"numbers that {to} can hold",
                        "infinite ones, NaN, or too large ones",
                    )  # fmt: skip
                yield made


def _check_f16(path: Path, name: str, values: NDArray[np.float32]) -> None:
    """Refuse numbers that would become infinite."""
    large = np.isfinite(values) & (abs(values) >= TOO_LARGE_FOR_F16)
    if large.any():
        raise ModelFileError(
            path, f"tensor '{name}' values", "at most 65504, the largest that F16 holds",
            f"{large.sum()} like {values[large][0]:.6g}", hint="BF16 holds them.",
        )  # fmt: skip


def _metadata(file: ModelFile, types: dict[str, DType], kind: str | None) -> dict[str, Any]:
    """The model's own, and what the types are."""
    keys = {
        key: Typed(file.kinds[key], value) if key in file.kinds else value
        for key, value in file.metadata.items()
        if key not in ("general.file_type", "general.quantization_version")
    }
    shapes = {name: info.shape for name, info in file.tensors.items()}
    matrices = [t.name for name, t in types.items() if not stays_f32(name, shapes[name])]
    usual = max(set(matrices), key=matrices.count, default="F32")
    number = KINDS[kind][1] if kind else FILE_TYPES.get(usual)
    if number is not None:
        keys["general.file_type"] = number
    keys["general.quantization_version"] = 2
    return keys
