"""quantize(): a model file to a smaller one, tensor by tensor.

The plan is made and checked before anything is written; then each tensor is read, converted and
written in pieces, so that memory holds a piece and not the model.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, ffi, quant
from llmpy.checkpoint.open import open_model
from llmpy.dtypes import BY_NAME, DType
from llmpy.errors import ModelFileError
from llmpy.format import ModelFile, TensorInfo, Typed, write_gguf
from llmpy.machine.cpus import available_cpus
from llmpy.quant.recipe import KINDS, Facts, assign, fits, stored_as
from llmpy.quantization.importance import Importance, checked_importance

__all__ = [
    "QuantizeEvent",
    "facts_of",
    "kind_of",
    "quantize",
    "quantized_rows",
    "warn_of_rows",
]

_PIECE = 1 << 22  # values that are converted at once
_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "MXFP4_MOE": "MXFP4"}
_KEPT = "small or sensitive: it keeps its type"
_FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class QuantizeEvent:
    """A progress event of `quantize`.

    `kind` is "loading" once the file is open, then for each tensor "quantizing" and "quantized", or
    "skipped" with the `reason`, and "finished" at the end. `error` is the relative root mean square
    error of the tensor. The bytes are those of the tensor, in "finished" those of the files; `done`
    of `total` tensors are ready; `seconds` is the time since the call began.
    """

    kind: Literal["loading", "quantizing", "quantized", "skipped", "finished"]
    name: str
    source: str = ""
    target: str = ""
    bytes_before: int = 0
    bytes_after: int = 0
    error: float | None = None
    reason: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Task:
    """A tensor, the type it will have, the one it should have, and why it stays as it is if so."""

    info: TensorInfo
    target: DType
    wanted: DType
    reason: str = ""


def quantize(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    kind: str,
    *,
    importance: Importance | str | os.PathLike[str] | None = None,
    keep: Mapping[str, str] | None = None,
    pure: bool = False,
    architecture: str | None = None,
    n_threads: int | None = None,
    allow_requantize: bool = False,
    allow_same: bool = False,
    allow_in_place: bool = False,
    progress: Callable[[QuantizeEvent], object] | None = None,
) -> list[Path]:
    """Quantize the model at `path` to the file `out`; return the paths written.

    `kind` is a mixture: "Q4_K_M", "Q8_0", "F16", ...; `pure` gives all tensors its main type.
    `importance`: an importance matrix, as `llmpy imatrix` collects it. `keep`: types by pattern of
    tensor names ({"output.weight": "F16"}); norms and other small tensors change only where that is
    their whole name. `architecture` is for files that do not contain it. A file that was at `out`
    before is replaced once the new file is complete. Tensors whose rows are not a multiple of the
    block size get a type that fits, with a warning.

    Raises ValueError for an unknown kind or type; ModelFileError for the file, and for what an
    option must allow: quantizing a quantized model again, to the same types, or in place. An
    exception that `progress` raises cancels the call.
    """
    begin = time.perf_counter()
    source, target = checks.path("path", path), checks.path("out", out)
    name, kept, importance = kind_of(kind), _kept(keep), checked_importance(importance)
    checks.work(n_threads, progress)
    checks.flags(pure=pure, allow_requantize=allow_requantize)
    checks.flags(allow_same=allow_same, allow_in_place=allow_in_place)

    def report(kind: str, name: str, **more: Any) -> None:
        if progress is not None:
            event: Any = {"kind": kind, "name": name, **more}
            progress(QuantizeEvent(seconds=time.perf_counter() - begin, **event))

    with open_model(source, architecture=architecture) as file:
        tasks = _tasks(file, name, kept, pure, importance)
        _check_target(file, target, allow_in_place)
        _check_types(file, name, tasks, allow_requantize, allow_same)
        warn_of_rows(
            [f"{t.info.name} ({t.wanted} -> {t.target})" for t in tasks if t.target is not t.wanted]
        )
        report("loading", str(source), bytes_before=file.size, total=len(tasks))
        done, n = [0], len(tasks)

        def data(task: _Task) -> Callable[[], Iterator[NDArray[np.uint8]]]:
            return partial(_convert, file, task, importance, n_threads, report, done, n)

        written = write_gguf(
            target,
            _metadata(file, name),
            [(t.info.name, t.target, t.info.shape, data(t)) for t in tasks],
        )
        after = sum(p.stat().st_size for p in written)
        report("finished", str(target), bytes_before=file.size, bytes_after=after, done=n, total=n)
    return written


def _metadata(file: ModelFile, kind: str) -> dict[str, Any]:
    """The model's own, and what its types are now."""
    keys: dict[str, Any] = {
        key: Typed(file.kinds[key], value) if key in file.kinds else value
        for key, value in file.metadata.items()
    }
    keys["general.file_type"] = Typed("u32", KINDS[kind][1])
    keys["general.quantization_version"] = Typed("u32", 2)
    return keys


def kind_of(kind: str) -> str:
    """The mixture of a name in any case; raises ValueError for an unknown one."""
    name = checks.text("type", kind).upper()
    name = _ALIASES.get(name, name)
    if name not in KINDS:
        raise ValueError(f"type: expected one of {', '.join(KINDS)}, found {kind!r}")
    return name


def _kept(keep: Mapping[str, str] | None) -> list[tuple[str, DType]]:
    found, keep = [], {} if keep is None else keep
    if not isinstance(keep, Mapping):
        raise checks.wrong_type("keep", "a mapping of patterns to types", keep)
    for pattern, dtype in keep.items():
        checks.text("keep", pattern)
        if checks.text(f"keep {pattern!r}", dtype).upper() not in quant.writable:
            known = ", ".join(sorted(quant.writable))
            raise ValueError(f"keep {pattern!r}: expected one of {known}, found {dtype!r}")
        found.append((pattern, BY_NAME[dtype.upper()]))
    return found


def facts_of(file: ModelFile, weighed: bool) -> Facts:
    """Return the properties that mixtures depend on; `weighed`: whether there is an importance."""
    architecture = file.get("general.architecture", str, "")

    def number(key: str) -> int:
        value = file.metadata.get(f"{architecture}.{key}", 0)
        if isinstance(value, np.ndarray) and value.size and value.dtype.kind in "iu":
            value = int(value.max())
        return value if type(value) is int and value > 0 else 0

    heads, kv = number("attention.head_count"), number("attention.head_count_kv")
    return Facts(
        architecture, number("block_count"), number("expert_count"),
        heads // kv if kv else 1, weighed,
    )  # fmt: skip


def _tasks(
    file: ModelFile,
    kind: str,
    kept: list[tuple[str, DType]],
    pure: bool,
    importance: Importance | None,
) -> list[_Task]:
    """Return the task of each tensor, in the order of the file."""
    shapes = {name: info.shape for name, info in file.tensors.items()}
    for pattern, _ in kept:
        if not any(fits(pattern, name, shape) for name, shape in shapes.items()):
            warnings.warn(
                f"keep {pattern!r}: no tensor has such a name (norms, biases and other small ones "
                f"change only by their whole name)", RuntimeWarning, stacklevel=3,
            )  # fmt: skip
    wanted = assign(kind, shapes, facts_of(file, importance is not None), kept, pure=pure)
    tasks = []
    for name, info in file.tensors.items():
        target = wanted.get(name)
        if target is None or info.dtype.is_integer:
            tasks.append(_Task(info, info.dtype, info.dtype, _KEPT))
            continue
        fitting = stored_as(target, info.shape[-1])
        same = fitting.name == info.dtype.name
        tasks.append(_Task(info, fitting, target, f"it is {fitting} already" if same else ""))
        if importance is not None:
            importance.check(file.path, name, info.shape)
    return tasks


def warn_of_rows(fallen: list[str]) -> None:
    """Name the tensors that cannot have the type that they should."""
    if fallen:
        more = f" and {len(fallen) - 4} more" if len(fallen) > 4 else ""
        warnings.warn(
            f"{len(fallen)} tensors have rows that are no whole number of blocks and get another "
            f"type: {', '.join(fallen[:4])}{more}",
            RuntimeWarning,
            stacklevel=3,
        )


def _check_target(file: ModelFile, target: Path, allowed: bool) -> None:
    if not allowed and target.exists() and any(target.samefile(path) for path in file.paths):
        raise ModelFileError(
            target, "output", "another file than the input", "the same one",
            hint="Name another file, or ask for it: --in-place (allow_in_place=True).",
        )  # fmt: skip


def _check_types(
    file: ModelFile, kind: str, tasks: list[_Task], allow_requantize: bool, allow_same: bool
) -> None:
    changed = [task for task in tasks if not task.reason]
    if not changed and not allow_same:
        raise ModelFileError(
            file.path, "tensor types", f"some that {kind} changes", f"all as {kind} has them",
            hint="To write it again all the same: --allow-same (allow_same=True).",
        )  # fmt: skip
    for task in changed:
        dtype = task.info.dtype
        if dtype.name not in quant.readable:
            known = ", ".join(sorted(quant.readable))
            raise ModelFileError(
                file.path, f"tensor '{task.info.name}' type", f"one of {known}", str(dtype)
            )
        if not dtype.is_float and not allow_requantize:
            raise ModelFileError(
                file.path, f"tensor '{task.info.name}' type", "F32, F16 or BF16", str(dtype),
                hint="Requantizing compounds the error: quantize the original instead, or pass "
                "--allow-requantize (allow_requantize=True).",
            )  # fmt: skip


def _convert(
    file: ModelFile,
    task: _Task,
    importance: Importance | None,
    n_threads: int | None,
    report: Callable[..., None],
    done: list[int],
    total: int,
) -> Iterator[NDArray[np.uint8]]:
    """The tensor's new bytes, piece by piece, with events."""
    info, target = task.info, task.target
    described = {
        "source": info.dtype.name, "target": target.name, "bytes_before": info.size, "total": total
    }  # fmt: skip
    if task.reason:
        yield from file.pieces(info.name)
        done[0] += 1
        report(
            "skipped",
            info.name,
            **described,
            bytes_after=info.size,
            reason=task.reason,
            done=done[0],
        )
        file.release(info.name)
        return
    report("quantizing", info.name, **described, done=done[0])
    size, sums = 0, [0.0, 0.0]
    for part, weights in _parts(file, info, importance):
        made, lost, squares = quantized_rows(info, target, part, weights, n_threads)
        sums = [sums[0] + lost, sums[1] + squares]
        size += made.size
        yield made
    if not math.isfinite(sums[0]):
        raise ModelFileError(
            file.path, f"tensor '{info.name}' values", f"numbers that {target} can hold",
            "infinite ones, NaN, or too large ones",
            hint=f"Keep this tensor as it is: --keep {info.name}={info.dtype}.",
        )  # fmt: skip
    done[0] += 1
    error = math.sqrt(sums[0] / sums[1]) if sums[1] else 0.0
    report("quantized", info.name, **described, bytes_after=size, error=error, done=done[0])
    file.release(info.name)


def _parts(
    file: ModelFile, info: TensorInfo, importance: Importance | None
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32] | None]]:
    """Whole rows of one matrix, with what errors cost in it."""
    weights = importance.of(info.name) if importance is not None else None
    row = info.dtype.row_bytes(info.shape[-1])
    most = max(1, _PIECE // info.shape[-1])
    height = info.shape[-2] if len(info.shape) > 2 else info.n_values  # rows of a matrix, or all
    done = 0
    for piece in file.pieces(info.name):
        rows = piece.reshape(-1, row)
        while len(rows):
            matrix, at = divmod(done, height)
            n = min(most, height - at, len(rows))
            chosen = None if weights is None else weights[matrix if len(weights) > 1 else 0]
            yield rows[:n].reshape(-1), chosen
            rows, done = rows[n:], done + n


def quantized_rows(
    info: TensorInfo,
    target: DType,
    part: NDArray[np.uint8],
    weights: NDArray[np.float32] | None,
    n_threads: int | None,
) -> tuple[NDArray[np.uint8], float, float]:
    """The new bytes, and the sums of squares of what was lost and of all."""
    source, columns = info.dtype, info.shape[-1]
    if source.name not in _FLOATS:
        n = part.size // source.size * source.block
        part = quant.dequantize(source, part, (n,)).view(np.uint8)
        source = BY_NAME["F32"]
    if ffi.available() and columns % 32 == 0:
        threads = min(n_threads or available_cpus(), available_cpus(), 256)
        return quant.quantize_tensor(target, source, part, columns, weights, n_threads=threads)
    n = part.size // source.size
    values = quant.dequantize(source, part, (n // columns, columns))
    made = quant.quantize(target, values, weights).reshape(-1)
    after = quant.dequantize(target, made, values.shape)
    with np.errstate(all="ignore"):
        lost = np.square(after - values, dtype=np.float64).sum()
        return made, float(lost), float(np.square(values, dtype=np.float64).sum())
