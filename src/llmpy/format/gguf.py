"""Opening GGUF model files: versions 1, 2 and 3, either byte order, in one file or in parts.

Large models come in parts named NAME-00001-of-00003.gguf; any of them opens all.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from pathlib import Path

from llmpy import checks
from llmpy.errors import ModelFileError
from llmpy.format.container import ModelFile, TensorInfo
from llmpy.format.cursor import quoted
from llmpy.format.endian import check_swappable, to_little_endian
from llmpy.format.experts import stack_experts
from llmpy.format.gguf_read import Part, read_part
from llmpy.format.gguf_types import SPLIT_KEYS, Typed
from llmpy.format.gguf_write import write_gguf
from llmpy.format.mapped import MappedFile

__all__ = ["Typed", "open_gguf", "write_gguf"]

_PART_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


def open_gguf(path: str | os.PathLike[str]) -> ModelFile:
    """Open the GGUF file at `path`, with all its parts if it is split.

    Reads the metadata and the tensor table; tensor data is mapped and read when it is used. The
    keys that only describe the parts ("split.*") are not in the metadata.

    Raises `ModelFileError` for a damaged file, `UnsupportedModelError` if it is another format or
    has a tensor type that llmpy does not support.
    """
    with contextlib.ExitStack() as opened:
        first = _open_part(checks.path("path", path), opened)
        parts = _all_parts(first, opened) if "split.count" in first.metadata else [first]
        model = _assemble(parts)
        opened.pop_all()
        return model


def _open_part(path: Path, opened: contextlib.ExitStack) -> Part:
    file = MappedFile(path)
    opened.callback(file.close)
    return read_part(file)


def _split_number(part: Part, key: str) -> int:
    value = part.metadata.get(key)
    if type(value) is not int or value < 0:
        found = "no such key" if value is None else quoted(value)
        raise ModelFileError(
            part.file.path, f"metadata '{key}'", "an integer of 0 or more", found,
            offset=part.offsets.get(key),
        )  # fmt: skip
    return value


def _all_parts(given: Part, opened: contextlib.ExitStack) -> list[Part]:
    """Open the files around `given`, which says that it is one of several; all in order."""
    count, number = _split_number(given, "split.count"), _split_number(given, "split.no")
    if (number, count) == (0, 1):
        return [given]
    path = given.file.path
    match = _PART_NAME.fullmatch(path.name)
    named = (int(match["number"]) - 1, int(match["count"])) if match else None
    if match is None or named != (number, count) or number >= count:
        raise ModelFileError(
            path, "file name", f"NAME-{number + 1:05d}-of-{count:05d}.gguf (the file says so)",
            quoted(path.name), offset=given.offsets["split.no"],
            hint="Give all parts their original names.",
        )  # fmt: skip
    paths = [
        path.with_name(f"{match['stem']}-{i + 1:05d}-of-{count:05d}.gguf") for i in range(count)
    ]
    missing = [other.name for other in paths if not other.exists()]
    if missing:
        raise _missing(path, missing, count)
    parts = [given if i == number else _open_part(other, opened) for i, other in enumerate(paths)]
    for i, part in enumerate(parts):
        _check_part(part, i, count)
    _check_total(parts)
    return parts


def _missing(path: Path, missing: list[str], count: int) -> ModelFileError:
    listed = ", ".join(missing[:20]) + (", ..." if len(missing) > 20 else "")
    return ModelFileError(
        path, "parts", f"all {count} files in one folder", f"{len(missing)} missing: {listed}",
        hint="Get the missing files and put them beside this one.",
    )  # fmt: skip


def _check_part(part: Part, number: int, count: int) -> None:
    found = _split_number(part, "split.no"), _split_number(part, "split.count")
    if found != (number, count):
        raise ModelFileError(
            part.file.path, "metadata 'split.no' and 'split.count'",
            f"part {number + 1} of {count}", f"part {found[0] + 1} of {found[1]}",
            offset=part.offsets["split.no"], hint="The parts are of different models.",
        )  # fmt: skip


def _check_total(parts: list[Part]) -> None:
    total = sum(len(part.tensors) for part in parts)
    for part in parts:
        if "split.tensors.count" in part.metadata:
            expected = _split_number(part, "split.tensors.count")
            if expected != total:
                raise ModelFileError(
                    part.file.path, "metadata 'split.tensors.count'",
                    f"{total}, the number of tensors in all parts", str(expected),
                    offset=part.offsets["split.tensors.count"],
                    hint="The parts are of different models.",
                )  # fmt: skip


def _assemble(parts: list[Part]) -> ModelFile:
    first = parts[0]
    tensors: dict[str, TensorInfo] = {}
    for i, part in enumerate(parts):
        for name, info in part.tensors.items():
            if name in tensors:
                raise ModelFileError(
                    part.file.path, f"tensor {quoted(name)}", "each tensor once",
                    f"it also in {parts[tensors[name].part].file.path.name}",
                )  # fmt: skip
            if part.big_endian:
                check_swappable(part.file.path, info)
            tensors[name] = replace(info, part=i)
        if part.big_endian != first.big_endian:
            raise ModelFileError(
                part.file.path, "byte order", "that of the first part", "the other"
            )
    order = "big" if first.big_endian else "little"
    files = f", {len(parts)} files" if len(parts) > 1 else ""
    return ModelFile(
        [part.file for part in parts],
        f"GGUF {first.version}, {order}-endian{files}",
        {key: value for key, value in first.metadata.items() if key not in SPLIT_KEYS},
        stack_experts(first.file.path, tensors),
        kinds=first.kinds,
        offsets=first.offsets,
        adapt=to_little_endian if first.big_endian else None,
    )
