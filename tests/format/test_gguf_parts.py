"""Models in several files: any part opens all, and what does not belong together is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError
from llmpy.format import open_gguf, write_gguf
from tests.format.mutants import U32, Pair, build, scalar


def word(n: int) -> bytes:
    return struct.pack("<Q", n)


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    rows = [(str(i), BY_NAME["F32"], (64,), bytes(256)) for i in range(4)]
    return write_gguf(tmp_path / "m.gguf", {"a": 1}, rows, split_max_bytes=256)


def refuse_parts(path: Path, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        open_gguf(path)


def test_each_missing_part_is_named(parts):
    parts[0].unlink()
    parts[2].unlink()
    names = f"2 missing: {parts[0].name}, {parts[2].name}"
    refuse_parts(parts[1], names)


def test_a_renamed_part_is_refused(parts):
    other = parts[1].rename(parts[1].with_name("model.gguf"))
    refuse_parts(other, "NAME-00002-of-00004.gguf.*original names")


def test_swapped_parts_are_refused(parts):
    spare = parts[1].with_name("spare")
    parts[1].rename(spare)
    parts[2].rename(parts[1])
    spare.rename(parts[2])
    refuse_parts(parts[1], "file name")
    refuse_parts(parts[0], "part 2 of 4, found part 3 of 4")


def test_parts_that_hold_the_same_tensor_are_refused(parts):
    data = parts[1].read_bytes().replace(word(1) + b"1", word(1) + b"0")
    parts[1].write_bytes(data)
    refuse_parts(parts[2], "tensor '0': expected each tensor once, found it also in m-00001")


def test_parts_of_different_models_are_refused(parts):
    keys = {"split.no": 1, "split.count": 4, "split.tensors.count": 4}
    pairs = [Pair(key, *scalar(U32, n)) for key, n in keys.items()]
    parts[1].write_bytes(build(pairs, [], b""))
    refuse_parts(parts[0], r"split.tensors.count.*expected 3")


def test_parts_of_another_byte_order_are_refused(parts, tmp_path):
    rows = [(str(i), BY_NAME["F32"], (64,), bytes(256)) for i in range(4)]
    (tmp_path / "big").mkdir()
    path = tmp_path / "big" / "m.gguf"
    swapped = write_gguf(path, {}, rows, big_endian=True, split_max_bytes=256)
    swapped[1].replace(parts[1])
    refuse_parts(parts[0], "byte order")


def test_a_damaged_part_is_named(parts):
    parts[3].write_bytes(parts[3].read_bytes()[:-1])
    refuse_parts(parts[0], f"{parts[3].name}: tensor '3' offset")
