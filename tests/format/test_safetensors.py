"""Safetensors: what is written is read, and whatever is wrong with a file is named."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmpy.errors import ModelFileError
from llmpy.format.safetensors import INDEX, open_safetensors, write_safetensors

A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([1, 2, 3], np.uint16)


def write(path: Path) -> Path:
    write_safetensors(path, [("a", "F32", (2, 3), A), ("b", "BF16", (3,), B)])
    return path


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def refused(tmp_path: Path, data: bytes) -> ModelFileError:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        open_safetensors(path)
    return caught.value


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = open_safetensors(write(tmp_path / "x.safetensors"))
    assert file.tensors["a"].shape == (2, 3)
    assert file.tensors["b"].dtype == "BF16"
    np.testing.assert_array_equal(file.data("a").view(np.float32).reshape(2, 3), A)
    np.testing.assert_array_equal(file.data("b").view(np.uint16), B)


def test_empty_tensors_and_metadata_are_allowed(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}, "e": entry("F32", [0, 7], [0, 0])}
    (tmp_path / "x").write_bytes(file_of(header))
    assert open_safetensors(tmp_path / "x").tensors["e"].size == 0


EIGHT = bytes(8)
WRONG = {
    "no header": (b"", "file"),
    "half a length": (b"\x10\0\0", "header length"),
    "a length over the end": (file_of({}, length=1 << 40), "header length"),
    "a length of zero": (file_of({}, length=0), "header length"),
    "no JSON": (file_of(b"{'a': 1}"), "header"),
    "no UTF-8": (file_of(b'{"\xff": 1}'), "header"),
    "a list": (file_of([1, 2]), "header"),
    "deep JSON": (file_of(b'{"a":' + b"[" * 100_000), "header"),
    "a huge number": (file_of(b'{"a":' + b"9" * 5000 + b"}"), "header"),
    "a name twice": (file_of(b'{"a":{},"a":{}}'), "header"),
    "an entry that is a number": (file_of({"a": 1}), "tensor 'a'"),
    "an unknown type": (file_of({"a": entry("F7")}, EIGHT), "tensor 'a' dtype"),
    "a type that is a list": (file_of({"a": entry([])}, EIGHT), "tensor 'a' dtype"),
    "no shape": (file_of({"a": {"dtype": "F32"}}), "tensor 'a' shape"),
    "a negative shape": (file_of({"a": entry(shape=[-2])}, EIGHT), "tensor 'a' shape"),
    "a fraction in the shape": (file_of({"a": entry(shape=[2.0])}, EIGHT), "tensor 'a' shape"),
    "a bool in the shape": (file_of({"a": entry(shape=[True])}, EIGHT), "tensor 'a' shape"),
    "a huge shape": (file_of({"a": entry(shape=[1 << 60])}, EIGHT), "tensor 'a' shape"),
    "a shape whose product is huge": (
        file_of({"a": entry(shape=[1 << 40] * 30)}, EIGHT), "tensor 'a' data_offsets",
    ),
    "three offsets": (file_of({"a": entry(offsets=[0, 8, 8])}, EIGHT), "data_offsets"),
    "offsets the wrong way": (file_of({"a": entry(offsets=[8, 0])}, EIGHT), "data_offsets"),
    "offsets of another size": (file_of({"a": entry(offsets=[0, 4])}, EIGHT), "data_offsets"),
    "a gap": (file_of({"a": entry(offsets=[4, 12])}, bytes(12)), "data_offsets"),
    "an overlap": (
        file_of({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)), "data_offsets",
    ),
    "bytes that nobody has": (file_of({"a": entry()}, bytes(12)), "tensors"),
    "data behind the end": (file_of({"a": entry()}, bytes(4)), "tensors"),
    "half a byte": (file_of({"a": entry("F4", [3], [0, 1])}, b"\0"), "data_offsets"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(what: str, tmp_path: Path) -> None:
    data, field = WRONG[what]
    error = refused(tmp_path, data)
    assert field in error.field
    assert "x.safetensors" in str(error)


def sharded(folder: Path, index: Any) -> Path:
    write_safetensors(folder / "m-1.safetensors", [("a", "F32", (2, 3), A)])
    write_safetensors(folder / "m-2.safetensors", [("b", "BF16", (3,), B)])
    path = folder / INDEX
    path.write_text(json.dumps(index))
    return path


GOOD = {"a": "m-1.safetensors", "b": "m-2.safetensors"}


def test_shards_are_one_model(tmp_path: Path) -> None:
    file = open_safetensors(sharded(tmp_path, {"weight_map": GOOD}))
    assert set(file.tensors) == {"a", "b"}
    np.testing.assert_array_equal(file.data("b").view(np.uint16), B)
    assert file.path("b").name == "m-2.safetensors"


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({}, "weight_map"),
        ([], "weight_map"),
        ({**GOOD, "c": "m-1.safetensors"}, "no such tensor"),
        ({**GOOD, "a": "m-2.safetensors", "b": "m-1.safetensors"}, "no such tensor"),
        ({**GOOD, "a": "m-3.safetensors"}, "no such file"),
        ({**GOOD, "a": "../m-1.safetensors"}, "beside it"),
        ({**GOOD, "a": "/m-1.safetensors"}, "beside it"),
        ({**GOOD, "a": "..\\m-1.safetensors"}, "beside it"),
        ({**GOOD, "a": "m-1\0.safetensors"}, "beside it"),
        ({**GOOD, "a": 1}, "beside it"),
        ({**GOOD, "a": "config.json"}, "beside it"),
    ],
)
def test_a_wrong_index_is_named(listed: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=message):
        open_safetensors(sharded(tmp_path, {"weight_map": listed}))


def test_one_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    path = sharded(tmp_path, {"weight_map": GOOD})
    write(tmp_path / "m-2.safetensors")
    with pytest.raises(ModelFileError, match="each tensor once"):
        open_safetensors(path)


def mutants(data: bytes) -> Iterator[bytes]:
    """Every truncation, every byte of the header flipped, and numbers replaced."""
    for n in range(len(data)):
        yield data[:n]
        for bit in (1, 16, 128):
            yield data[:n] + bytes([data[n] ^ bit]) + data[n + 1 :]
    for found in (b"0", b"2", b"3", b"6", b"24", b"30"):
        for new in (b"-1", b"1e9", b"99999999999999999999", b"null", b"[]", b'"x"', b"{}"):
            text = data[8:].replace(found, new)
            yield file_of(text[: text.rindex(b"}") + 1], text[text.rindex(b"}") + 1 :])


def outcome(path: Path, data: bytes) -> str:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    try:
        file = open_safetensors(path)
        for name, info in file.tensors.items():
            assert file.data(name).size == info.size
        file.close()
        return "opened"
    except ModelFileError as error:
        str(error).encode()
        return "refused"


def test_every_mutant_opens_or_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "x.safetensors").read_bytes()
    start, path = time.process_time(), tmp_path / "m"
    found = [outcome(path, mutant) for mutant in mutants(data)]
    assert time.process_time() - start < 20
    assert found.count("refused") > 500
    assert found.count("opened") > 50


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "U8", "?"]) | JSON,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-1, 32), max_size=3) | JSON,
    },
)


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(header=st.dictionaries(st.text(max_size=3), ENTRY | JSON, max_size=3), n=st.integers(0, 40))
def test_any_header_is_read_or_refused(tmp_path: Path, header: Any, n: int) -> None:
    assert outcome(tmp_path / "m", file_of(header, bytes(n))) in ("opened", "refused")
