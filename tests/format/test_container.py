"""What every open model file offers: typed metadata, views of tensors, release and close."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError
from llmpy.format import ModelFile, Typed, open_gguf, write_gguf

METADATA = {
    "whole": 7,
    "negative": -7,
    "real": 0.5,
    "nan": math.nan,
    "inf": math.inf,
    "yes": True,
    "name": "a llama",
    "words": ["a", "b"],
    "numbers": np.arange(5, dtype=np.int16),
    "odd numbers": np.array([1, math.nan], np.float32),
    "nested": [[1, 2], ["x"]],
}


@pytest.fixture
def weights() -> np.ndarray:
    return np.arange(64 * 4096, dtype=np.float32).reshape(64, 4096)


@pytest.fixture
def file(tmp_path: Path, weights: np.ndarray) -> ModelFile:
    path = tmp_path / "model.gguf"
    write_gguf(
        path,
        METADATA,
        [
            ("a", BY_NAME["F32"], weights.shape, weights),
            ("b", BY_NAME["F32"], (3,), np.ones(3, np.float32)),
        ],
    )
    return open_gguf(path)


@pytest.mark.parametrize(
    ("key", "kind", "value"),
    [
        ("whole", int, 7),
        ("whole", float, 7.0),
        ("negative", int, -7),
        ("real", float, 0.5),
        ("yes", bool, True),
        ("name", str, "a llama"),
        ("words", list, ["a", "b"]),
    ],
)
def test_get_gives_the_value_of_the_asked_kind(file, key, kind, value):
    found = file.get(key, kind)
    assert found == value
    assert type(found) is kind


def test_get_gives_numbers_as_an_array(file):
    assert file.get("numbers", np.ndarray).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("yes", int),
        ("yes", float),
        ("whole", bool),
        ("real", int),
        ("whole", str),
        ("name", int),
        ("numbers", list),
        ("words", np.ndarray),
        ("nested", list),
        ("nan", float),
        ("inf", float),
        ("odd numbers", np.ndarray),
    ],
)
def test_get_refuses_another_kind_and_says_where(file, key, kind):
    with pytest.raises(ModelFileError, match=f"metadata '{key}' at byte") as caught:
        file.get(key, kind)
    assert caught.value.offset == file.where(key)
    assert caught.value.found.startswith(file.kinds[key])


def test_get_lets_nan_pass_when_asked(file):
    assert math.isnan(file.get("nan", float, finite=False))


def test_get_without_default_needs_the_key(file):
    with pytest.raises(ModelFileError, match="no such key"):
        file.get("absent", int)


def test_get_gives_the_default_for_an_absent_key_only(file):
    assert file.get("absent", int, 3) == 3
    assert file.get("absent", int, None) is None
    with pytest.raises(ModelFileError):
        file.get("name", int, 3)


def test_where_is_the_offset_of_the_value(file):
    raw = file.path.read_bytes()
    at = file.where("whole")
    assert raw[at : at + 4] == (7).to_bytes(4, "little")
    assert file.where("absent") is None


def test_kinds_are_those_of_the_file(file):
    assert file.kinds["whole"] == "u32"
    assert file.kinds["negative"] == "i32"
    assert file.kinds["words"] == "[string]"
    assert file.kinds["numbers"] == "[i16]"
    assert file.kinds["nested"] == "[array]"


def test_metadata_and_arrays_cannot_be_changed(file):
    with pytest.raises(TypeError):
        file.metadata["whole"] = 8  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        file.metadata["numbers"][0] = 9


def test_data_is_a_read_only_view_of_the_file(file, weights):
    view = file.data("a")
    assert view.dtype == np.uint8
    assert not view.flags.writeable
    assert not view.flags.owndata
    assert (view.view(np.float32).reshape(weights.shape) == weights).all()


def test_data_of_an_unknown_tensor_is_a_key_error(file):
    with pytest.raises(KeyError):
        file.data("c")


def test_released_pages_can_be_read_again(file):
    view = file.data("a")
    before = view.sum()
    file.release("a")
    file.release("b")
    file.release_all()
    assert view.sum() == before


def test_release_lets_go_of_the_memory(file):
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip("needs /proc")

    def resident() -> int:
        lines = smaps.read_text().splitlines()
        (start,) = (i for i, line in enumerate(lines) if line.endswith(str(file.path)))
        (rss,) = (line for line in lines[start : start + 10] if line.startswith("Rss:"))
        return int(rss.split()[1])

    file.data("a").sum()
    full = resident()
    file.release("a")
    assert full >= 1024
    assert resident() <= full - 1000


def test_views_outlive_close(file, weights):
    view = file.data("a")
    file.close()
    assert view.view(np.float32)[-1] == weights[-1, -1]
    assert file.metadata["whole"] == 7


def test_data_after_close_is_an_error(file):
    with file:
        pass
    file.close()
    with pytest.raises(ModelFileError, match="closed"):
        file.data("a")


def test_counts(file):
    assert file.parameters == 64 * 4096 + 3
    assert file.size == file.path.stat().st_size
    assert file.paths == (file.path,)
    assert file.format == "GGUF 3, little-endian"


def test_tensors_are_described_row_major_in_file_order(file):
    assert list(file.tensors) == ["a", "b"]
    info = file.tensors["a"]
    assert (info.dtype, info.shape, info.size) == (BY_NAME["F32"], (64, 4096), 64 * 4096 * 4)


def test_bytes_that_are_no_utf8_survive(tmp_path):
    odd = b"\xff\xc3 a".decode("utf-8", "surrogateescape")
    write_gguf(tmp_path / "m.gguf", {"odd": odd, "list": Typed("[string]", [odd])}, [])
    with open_gguf(tmp_path / "m.gguf") as file:
        assert file.get("odd", str).encode("utf-8", "surrogateescape") == b"\xff\xc3 a"
        assert file.get("list", list) == [odd]
