"""Opening models of the time before GGUF: GGML, GGMF and GGJT files, in one file or in parts.

They name no architecture: whoever opens one must. Large Llama models came in parts, the second
named like the first with ".1" behind it, each with its share of the rows or columns.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import BY_NAME, DType
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.container import ModelFile, TensorInfo, Value
from llmpy.format.cursor import quoted
from llmpy.format.ggml_blocks import Layout, adapted, is_plausible, keeps_blocks
from llmpy.format.ggml_models import MODELS, OldModel
from llmpy.format.ggml_read import OldPart, Stored, read_old_part
from llmpy.format.mapped import MappedFile
from llmpy.format.sniff import CONTAINERS

__all__ = ["OldFile", "open_ggml"]

Vocabulary = Callable[[str, list[bytes], "NDArray[np.float32] | None"], Mapping[str, Any]]
MAX_PARTS = 64


@dataclass(frozen=True)
class Planned:
    """The plan of a tensor: its pieces in each file, joined along `axis`, rows reordered."""

    info: TensorInfo
    layout: Layout
    stored: tuple[Stored, ...]
    axis: int = 0
    heads: int = 0


class OldFile(ModelFile):
    """An old file as a model file; `data` brings the bytes into today's form where they differ."""

    def __init__(
        self, parts: list[OldPart], metadata: Mapping[str, Value], planned: list[Planned],
        offsets: Mapping[str, int],
    ) -> None:  # fmt: skip
        files = f", {len(parts)} files" if len(parts) > 1 else ""
        super().__init__(
            [part.file for part in parts],
            parts[0].format + files,
            metadata,
            {p.info.name: p.info for p in planned},
            kinds={},
            offsets=offsets,
        )
        self._planned = {p.info.name: p for p in planned}

    def data(self, name: str) -> NDArray[np.uint8]:
        """The bytes of tensor `name`: a view where it is stored so, else a new array."""
        plan = self._planned[name]
        pieces = [
            adapted(plan.layout, self._files[i].view(s.offset, s.size), plan.info.dtype)
            for i, s in enumerate(plan.stored)
        ]
        whole = pieces[0]
        if len(pieces) > 1:
            rows = [p.reshape(s.shape[0], -1) for p, s in zip(pieces, plan.stored, strict=True)]
            whole = np.concatenate(rows, axis=plan.axis)
        if plan.heads:
            whole = whole.reshape(plan.heads, 3, -1).swapaxes(0, 1)
        whole = np.ascontiguousarray(whole).reshape(-1)
        whole.flags.writeable = False
        return whole

    def release(self, name: str) -> None:
        """Tell the system that the pages of this tensor's pieces are not needed for now."""
        for i, s in enumerate(self._planned[name].stored):
            self._files[i].release(s.offset, s.size)


def open_ggml(path: Path, architecture: str | None, vocabulary: Vocabulary) -> OldFile:
    """Open the old file at `path` as a model of `architecture`, and its other parts if it has any.

    `vocabulary` gives the tokenizer's metadata from the architecture, the tokens and their scores.
    Tensors whose blocks today's types cannot hold are widened to F32, with a warning.

    Raises ModelFileError for whatever is wrong with the file, also without an architecture;
    UnsupportedModelError for a version or a type that llmpy lacks; ValueError for an architecture
    that had no such files.
    """
    if architecture is not None and architecture not in MODELS:
        raise ValueError(
            f"architecture: old files are of {', '.join(MODELS)}, found {architecture!r}"
        )
    with contextlib.ExitStack() as opened:
        file = MappedFile(path)
        opened.callback(file.close)
        if architecture is None:
            container = CONTAINERS[bytes(file.buffer[:4])]
            raise UnsupportedModelError(
                path, "architecture", f"one of {', '.join(MODELS)}",
                f"none: {container} files do not say of which architecture they are",
                hint='Name it: llmpy.load(PATH, architecture="NAME"), or --architecture NAME',
            )  # fmt: skip
        model = MODELS[architecture]
        parts = [read_old_part(file, architecture, model)]
        for i in range(1, _n_parts(parts[0], model)):
            other = MappedFile(_part_path(path, i))
            opened.callback(other.close)
            parts.append(read_old_part(other, architecture, model))
            _check_part(parts[0], parts[-1])
        planned = [_plan(parts, model, stored) for stored in parts[0].tensors.values()]
        planned = _named(parts[0], [p for p in planned if p.info.name])
        _warn_of_widened(path, planned)
        metadata, offsets = _metadata(parts[0], architecture, model, planned)
        metadata |= vocabulary(architecture, parts[0].tokens, parts[0].scores)
        result = OldFile(parts, metadata, planned, offsets)
        opened.pop_all()
        return result


def _part_path(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _n_parts(part: OldPart, model: OldModel) -> int:
    """Parts of a model: its embedding is split by column, so that the first one tells."""
    width = int(part.header["n_embd"])
    for stored in part.tensors.values():
        if model.columns and model.target(stored.name) == model.columns[0]:
            count, rest = divmod(width, stored.shape[-1])
            if rest == 0 and 1 < count <= MAX_PARTS:
                return count
    return 1


def _check_part(first: OldPart, other: OldPart) -> None:
    def what(part: OldPart) -> tuple[object, ...]:
        return part.format, part.header, part.tokens, set(part.tensors)

    if what(first) != what(other):
        raise ModelFileError(
            other.file.path, "part", f"the same header, vocabulary and tensors as in "
            f"{first.file.path.name}", "others", hint="The parts are of different models.",
        )  # fmt: skip


def _plan(parts: list[OldPart], model: OldModel, stored: Stored) -> Planned:
    """Name, type and shape in GGUF of a stored tensor; the name is empty for what is left out."""
    path, what = parts[0].file.path, f"tensor {quoted(stored.name)}"
    name = model.target(stored.name)
    if name is None:
        raise ModelFileError(
            path, what, "a tensor of the architecture that was given", "one that it does not have",
            offset=stored.record, hint="Is it of another architecture?",
        )  # fmt: skip
    pieces = tuple(part.tensors[stored.name] for part in parts)
    if any((p.layout, p.shape) != (stored.layout, stored.shape) for p in pieces):
        raise ModelFileError(path, what, "the same type and shape in each part", "others")
    shape, axis = stored.shape, 0
    if len(parts) == 1 or len(shape) == 1:
        pieces = pieces[:1]
    else:
        axis = len(shape) - 1 if name.endswith(model.columns) else 0
        shape = tuple(n * len(parts) if i == axis else n for i, n in enumerate(shape))
    heads = int(parts[0].header["n_head"]) if name.endswith(model.fused) else 0
    if heads and shape[0] % (3 * heads):
        raise ModelFileError(
            path, f"{what} rows", f"a multiple of 3 * {heads} heads", str(shape[0]),
            offset=stored.record,
        )  # fmt: skip
    dtype = _dtype(parts, stored.layout, pieces)
    size = math.prod(shape) // dtype.block * dtype.size
    info = TensorInfo(name, dtype, shape, stored.offset, size)
    return Planned(info, stored.layout, pieces, axis, heads)


def _dtype(parts: list[OldPart], layout: Layout, pieces: tuple[Stored, ...]) -> DType:
    """Today's type if it holds the very values, which takes a look at all scales; else F32."""
    if layout.today is not None and not layout.wide:
        return layout.today
    exact = True
    for part, s in zip(parts, pieces, strict=False):
        data = part.file.view(s.offset, s.size)
        if not is_plausible(layout, data):
            raise UnsupportedModelError(
                part.file.path, f"tensor {quoted(s.name)}", f"{layout.name} blocks of "
                f"quantization version {part.quantization}", "scales that no weights have",
                offset=s.offset, hint="The file is damaged, or from before March 2023; "
                "make the model again from its original weights.",
            )  # fmt: skip
        exact = exact and keeps_blocks(layout, data)
        part.file.release(s.offset, s.size)
    return layout.today if exact and layout.today is not None else BY_NAME["F32"]


def _named(part: OldPart, planned: list[Planned]) -> list[Planned]:
    """The same, after a look for two stored tensors that mean one."""
    seen: dict[str, Planned] = {}
    for p in planned:
        other = seen.setdefault(p.info.name, p)
        if other is not p:
            raise ModelFileError(
                part.file.path, f"tensor {quoted(p.stored[0].name)}", "each tensor once",
                f"it also as {quoted(other.stored[0].name)}", offset=p.stored[0].record,
            )  # fmt: skip
    return planned


def _warn_of_widened(path: Path, planned: list[Planned]) -> None:
    widened = [p for p in planned if p.info.dtype.name == "F32" != p.layout.name]
    if widened:
        size = sum(p.info.size for p in widened) / 1e9
        names = ", ".join(sorted({p.layout.name for p in widened}))
        warnings.warn(
            f"{path.name}: {len(widened)} tensors have {names} blocks of a version that no type of "
            f"today can hold, and are read as F32, which takes {size:.1f} GB; "
            f"`llmpy convert` with --type q8_0 makes a smaller file",
            RuntimeWarning,
            stacklevel=5,
        )


def _metadata(
    part: OldPart, architecture: str, model: OldModel, planned: list[Planned]
) -> tuple[dict[str, Value], dict[str, int]]:
    """The header under GGUF's keys with what shapes tell, and where in the file these stand."""
    header = part.header
    values: dict[str, Value] = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": part.file.path.stem,
    }
    offsets: dict[str, int] = {}
    for key, source in model.keys.items():
        value: Value = header[source] if isinstance(source, str) else source
        if isinstance(source, str):
            offsets[f"{architecture}.{key}"] = part.offsets[source]
        if f"b:{source}" in model.header:
            value = bool(value)
        values[f"{architecture}.{key}"] = value
    shapes = {p.info.name: p.info.shape for p in planned}
    if (up := shapes.get("blk.0.ffn_up.weight")) is not None:
        values[f"{architecture}.feed_forward_length"] = up[0]
    keys = shapes.get("blk.0.attn_k.weight")
    d_head = header["n_embd"] // header["n_head"]
    if architecture == "llama" and keys is not None and d_head and keys[0] % d_head == 0:
        values["llama.attention.head_count_kv"] = int(keys[0] // d_head)
    return values, offsets
