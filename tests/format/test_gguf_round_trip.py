"""Writing and reading again gives the same model: any version, byte order, alignment, split."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format import Typed, open_gguf, write_gguf

RANGES = {
    "u8": (0, 2**8 - 1),
    "i8": (-(2**7), 2**7 - 1),
    "u16": (0, 2**16 - 1),
    "i16": (-(2**15), 2**15 - 1),
    "u32": (0, 2**32 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "u64": (0, 2**64 - 1),
    "i64": (-(2**63), 2**63 - 1),
}
NO_BIG_ENDIAN = {"IQ2_XXS", "IQ3_XXS", "IQ1_M"}

members: dict[str, st.SearchStrategy[Any]] = {
    **{kind: st.integers(*bounds) for kind, bounds in RANGES.items()},
    "f32": st.floats(width=32),
    "f64": st.floats(),
    "bool": st.booleans(),
    "string": st.text(max_size=20),
}
lists = st.sampled_from(list(members)).flatmap(
    lambda kind: st.builds(Typed, st.just(f"[{kind}]"), st.lists(members[kind], max_size=10))
)
scalars = st.sampled_from(list(members)).flatmap(
    lambda kind: st.builds(Typed, st.just(kind), members[kind])
)
nested = st.builds(Typed, st.just("[array]"), st.lists(lists, max_size=3))
metadata = st.dictionaries(
    st.text(max_size=20).filter(lambda key: key != "general.alignment" and "split." not in key),
    scalars | lists | nested,
    max_size=8,
)


@st.composite
def tensors(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    result = []
    for name in draw(st.lists(st.text(max_size=20), max_size=6, unique=True)):
        dtype = BY_NAME[draw(st.sampled_from(sorted(set(BY_NAME) - NO_BIG_ENDIAN)))]
        outer = draw(st.lists(st.integers(1, 4), max_size=3))
        shape = (*outer, draw(st.integers(1, 4)) * dtype.block)
        size = math.prod(outer) * dtype.row_bytes(shape[-1])
        seed = draw(st.integers(0, 1000))
        data = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
        result.append((name, dtype, shape, data))
    return result


def plain(value: Any) -> Any:
    """A written or a read value as nested lists, NaN made equal to itself."""
    value = value.value if isinstance(value, Typed) else value
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, list):
        return [plain(item) for item in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("big_endian", [False, True])
@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    keys=metadata,
    rows=tensors(),
    alignment=st.sampled_from([None, 8, 32, 64]),
    split=st.sampled_from([None, 1, 2000]),
)
def test_reading_gives_what_was_written(
    tmp_path, version, big_endian, keys, rows, alignment, split
):
    paths = write_gguf(
        tmp_path / "m.gguf",
        keys,
        rows,
        version=version,
        big_endian=big_endian,
        alignment=alignment,
        split_max_bytes=split,
    )
    with open_gguf(paths[len(paths) // 2]) as file:
        found = dict(file.metadata)
        assert found.pop("general.alignment", 32) == (alignment or 32)
        assert {k: plain(v) for k, v in found.items()} == {k: plain(v) for k, v in keys.items()}
        assert {k: file.kinds[k] for k in keys} == {k: v.kind for k, v in keys.items()}
        assert list(file.tensors) == [name for name, *_ in rows]
        for name, dtype, shape, data in rows:
            info = file.tensors[name]
            assert (info.dtype, info.shape, info.size) == (dtype, shape, data.size)
            assert info.offset % (alignment or 32) == 0
            assert (file.data(name) == data).all()


ODD = ["", "\0", "a\0b", "x" * 255, "y" * 256, "é" * 128, "z" * 65_536, "\udcff", "\n", "ẞ"]


@settings(max_examples=30)
@given(
    start=st.integers(0, 300),
    odd=st.lists(st.tuples(st.integers(0, 8_999), st.sampled_from(ODD)), max_size=6),
    n=st.integers(0, 9_000),
)
def test_long_lists_of_strings_survive(tmp_path_factory, start, odd, n):
    words = [f"w{i}" for i in range(start, start + n)]
    for at, text in odd:
        if at < n:
            words[at] = text
    path = tmp_path_factory.mktemp("strings") / "m.gguf"
    write_gguf(path, {"a": 1, "words": words, "z": 2}, [])
    with open_gguf(path) as file:
        assert file.metadata["words"] == words
        assert file.metadata["z"] == 2
    path.unlink()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "bool"),
        (0, "u32"),
        (2**32 - 1, "u32"),
        (-1, "i32"),
        (2**32, "u64"),
        (2**64 - 1, "u64"),
        (-(2**31) - 1, "i64"),
        (0.5, "f32"),
        ("x", "string"),
        (np.float64(0.1), "f64"),
        (np.uint8(3), "u8"),
        ([], "[string]"),
        (["a"], "[string]"),
        ([1, -1], "[i32]"),
        ([2**31], "[u32]"),
        ([2**32], "[i64]"),
        ([2**63], "[u64]"),
        ([1, 0.5], "[f32]"),
        ((True, False), "[bool]"),
        (np.array([True]), "[bool]"),
        (np.array([1], np.int8), "[i8]"),
        ([[1], ["a"]], "[array]"),
    ],
)
def test_kinds_follow_from_the_value(tmp_path, value, kind):
    write_gguf(tmp_path / "m.gguf", {"key": value}, [])
    with open_gguf(tmp_path / "m.gguf") as file:
        assert file.kinds["key"] == kind
        assert plain(file.metadata["key"]) == plain(list(value) if type(value) is tuple else value)


def test_parts_are_named_and_filled_as_asked(tmp_path):
    f32 = BY_NAME["F32"]
    rows = [(str(i), f32, (64,), np.full(64, i, np.float32)) for i in range(5)]
    paths = write_gguf(tmp_path / "m.gguf", {"name": "x"}, rows, split_max_bytes=600)
    assert [path.name for path in paths] == [f"m-{i:05d}-of-00003.gguf" for i in (1, 2, 3)]
    for path in paths:
        with open_gguf(path) as file:
            assert file.paths == tuple(paths)
            assert file.format == "GGUF 3, little-endian, 3 files"
            assert dict(file.metadata) == {"name": "x"}
            assert [info.part for info in file.tensors.values()] == [0, 0, 1, 1, 2]
            assert file.size == sum(other.stat().st_size for other in paths)


def test_numbers_wider_than_a_byte_are_swapped_in_big_endian_files(tmp_path):
    scale = np.array([1.5], np.float16).view(np.uint8)
    block = np.concatenate([scale, np.arange(32, dtype=np.uint8)])
    path = tmp_path / "m.gguf"
    write_gguf(path, {}, [("q", BY_NAME["Q8_0"], (32,), block)], big_endian=True)
    stored = path.read_bytes()[-64:-30]
    assert stored == bytes(scale[::-1]) + bytes(range(32))
    with open_gguf(path) as file:
        assert file.format == "GGUF 3, big-endian"
        assert (file.data("q") == block).all()
        assert not file.data("q").flags.writeable


@pytest.mark.parametrize("name", sorted(NO_BIG_ENDIAN))
def test_types_without_a_big_endian_form_are_refused(tmp_path, name):
    dtype = BY_NAME[name]
    row = ("q", dtype, (256,), bytes(dtype.size))
    with pytest.raises(UnsupportedModelError, match="big-endian form"):
        write_gguf(tmp_path / "m.gguf", {}, [row], big_endian=True)


def test_data_may_come_in_pieces_from_a_function(tmp_path):
    values = np.arange(100, dtype=np.float32)
    for big_endian in (False, True):
        rows = [
            ("whole", BY_NAME["F32"], (100,), lambda: values),
            ("pieces", BY_NAME["F32"], (100,), lambda: iter(np.split(values, [7, 9, 90]))),
            ("bytes", BY_NAME["F32"], (100,), lambda: (bytes([b]) for b in values.tobytes())),
            ("columns", BY_NAME["F32"], (10, 10), values.reshape(10, 10).T),
        ]
        write_gguf(tmp_path / "m.gguf", {}, rows, big_endian=big_endian)
        with open_gguf(tmp_path / "m.gguf") as file:
            for name in ("whole", "pieces", "bytes"):
                assert file.data(name).tobytes() == values.tobytes()
            assert (file.data("columns").view("f4").reshape(10, 10).T.ravel() == values).all()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"k": Typed("u8", 256)}, "u8"),
        ({"k": Typed("u32", -1)}, "u32"),
        ({"k": Typed("u32", True)}, "u32"),
        ({"k": Typed("u32", 1.0)}, "u32"),
        ({"k": Typed("bool", 1)}, "bool"),
        ({"k": Typed("f32", 1e300)}, "f32"),
        ({"k": Typed("f32", "1")}, "f32"),
        ({"k": Typed("[u8]", [1, -1])}, "u8"),
        ({"k": Typed("[u8]", 1)}, "list"),
        ({"k": Typed("string", 1)}, "string"),
        ({"k": Typed("u33", 1)}, "kind"),
        ({"k": 2**64}, "64 bits"),
        ({"k": None}, "numbers"),
        ({"k": {}}, "numbers"),
        ({"k": [1, "a"]}, "numbers"),
        ({"k": [1, True]}, "numbers"),
        ({"k": "\ud800"}, "UTF-8"),
        ({"k": np.zeros((2, 2))}, "one dimension"),
        ({"k": [[[[[1]]]]]}, "deep"),
        ({"x" * 70_000: 1}, "65535"),
        ({1: 1}, "string"),
        ({"general.alignment": 12}, "power of two"),
        ({"general.alignment": "32"}, "power of two"),
        ({"split.count": 2}, "no such key"),
    ],
)
def test_values_that_gguf_cannot_hold_are_refused(tmp_path: Path, keys, expected):
    with pytest.raises(ModelFileError, match=expected):
        write_gguf(tmp_path / "m.gguf", keys, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("t", BY_NAME["F32"], (), b""), "dimensions"),
        (("t", BY_NAME["F32"], (0,), b""), "above 0"),
        (("t", BY_NAME["F32"], (1, 1, 1, 1, 1), bytes(4)), "dimensions"),
        (("t", BY_NAME["Q8_0"], (33,), bytes(34)), "multiple"),
        (("t", BY_NAME["F32"], (4,), bytes(15)), "found 15"),
        (("t", BY_NAME["F32"], (4,), bytes(17)), "found at least 17"),
        (("t", BY_NAME["F32"], (4,), lambda: iter([bytes(16), b"x"])), "found at least 17"),
    ],
)
@pytest.mark.parametrize("big_endian", [False, True])
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, row, expected, big_endian):
    with pytest.raises(ModelFileError, match=expected):
        write_gguf(tmp_path / "m.gguf", {}, [row], big_endian=big_endian)
    assert list(tmp_path.iterdir()) == []


def test_doubled_tensors_are_refused(tmp_path: Path):
    row = ("t", BY_NAME["F32"], (1,), bytes(4))
    with pytest.raises(ModelFileError, match="each tensor once"):
        write_gguf(tmp_path / "m.gguf", {}, [row, row])


@pytest.mark.parametrize(
    "given", [{"version": 0}, {"version": 4}, {"alignment": 0}, {"alignment": 48}, {"alignment": 4}]
)
def test_settings_out_of_range_are_refused(tmp_path: Path, given):
    with pytest.raises(ModelFileError):
        write_gguf(tmp_path / "m.gguf", {}, [], **given)


class Fault(Exception):
    pass


def fail() -> bytes:
    raise Fault


@pytest.mark.parametrize("split", [None, 100])
def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path: Path, split):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"old")
    rows = [("a", BY_NAME["F32"], (64,), bytes(256)), ("b", BY_NAME["F32"], (64,), fail)]
    with pytest.raises(Fault):
        write_gguf(path, {}, rows, split_max_bytes=split)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch):
    import os

    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1]
    )
    write_gguf(tmp_path / "m.gguf", {"a": 1}, [])
    assert events[:2] == ["fsync", "rename"]
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_writing_where_there_is_no_folder_fails_cleanly(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        write_gguf(tmp_path / "absent" / "m.gguf", {}, [])
