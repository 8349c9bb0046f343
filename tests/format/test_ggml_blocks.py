"""Block layouts of 2023 against a scalar reading of them, value by value."""

from __future__ import annotations

import struct
import warnings
from dataclasses import replace

import numpy as np
import pytest

import llmpy
from llmpy.errors import UnsupportedModelError
from llmpy.format import ggml_blocks
from llmpy.quant import dequantize, quantize
from tests.format.old_files import TYPES, Old, Tensor
from tests.format.tiny_old import tiny

QNT0, QNT1, QNT2 = ("GGJT", 1), ("GGJT", 2), ("GGJT", 3)
OLDEST = {"Q4_2": 4, "Q4_3": 5}
# layout -> block, float format of the scales, how many of them, bytes of fifth bits, bits of values
FORMS = {
    ("Q4_0", 0): (32, "f", 1, 0, 4),
    ("Q4_1", 0): (32, "f", 2, 0, 4),
    ("Q4_2", 0): (16, "e", 1, 0, 4),
    ("Q4_3", 0): (16, "e", 2, 0, 4),
    ("Q5_0", 0): (32, "e", 1, 4, 4),
    ("Q5_1", 0): (32, "e", 2, 4, 4),
    ("Q8_0", 0): (32, "f", 1, 0, 8),
    ("Q4_0", 1): (32, "f", 1, 0, 4),
    ("Q4_1", 1): (32, "f", 2, 0, 4),
    ("Q5_0", 1): (32, "e", 1, 4, 4),
    ("Q5_1", 1): (32, "e", 2, 4, 4),
    ("Q8_0", 1): (32, "f", 1, 0, 8),
}
forms = pytest.mark.parametrize(("name", "quantization"), FORMS)
SHAPE = (3, 64)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch):
    """So that these small tensors are adapted in several pieces too."""
    monkeypatch.setattr(ggml_blocks, "AT_ONCE", 4)


def random_blocks(name: str, quantization: int, short: bool) -> bytes:
    """Of SHAPE; with `short`, no scale needs more than a float16."""
    block, code, n_scales, fifth, bits = FORMS[name, quantization]
    rng = np.random.Generator(np.random.PCG64(3))
    out = b""
    for _ in range(SHAPE[0] * SHAPE[1] // block):
        scales = rng.standard_normal(n_scales).astype(np.float16 if short else np.float32)
        out += struct.pack(f"<{n_scales}{code}", *scales.astype(np.float64))
        out += rng.bytes(fifth + block * bits // 8)
    return out


def scalar(name: str, quantization: int, data: bytes) -> list[float]:
    """Each value of the blocks, as the C code of the time walked through them."""
    block, code, n_scales, fifth, bits = FORMS[name, quantization]
    size = struct.calcsize(f"<{n_scales}{code}")
    width = size + fifth + block * bits // 8
    found = []
    for at in range(0, len(data), width):
        scales = [np.float32(x) for x in struct.unpack_from(f"<{n_scales}{code}", data, at)]
        high = int.from_bytes(data[at + size : at + size + fifth], "little")
        codes = data[at + size + fifth : at + width]
        for i in range(block):
            if bits == 8:
                q = codes[i] - 256 * (codes[i] > 127)
            else:
                byte, shift = (
                    (codes[i // 2], 4 * (i % 2))
                    if quantization == 0
                    else (codes[i % (block // 2)], 4 * (i // (block // 2)))
                )
                q = (byte >> shift & 15) + 16 * (high >> i & 1)
                q -= 0 if n_scales == 2 else 16 if fifth else 8
            value = np.float32(q) * scales[0]
            found.append(value + scales[1] if n_scales == 2 else value)
    return found


def stored(name: str, quantization: int, short: bool) -> Old:
    container, version = (QNT0, QNT1, QNT2)[quantization]
    kind = (TYPES | OLDEST)[name]
    tensor = Tensor("output.weight", kind, SHAPE, random_blocks(name, quantization, short))
    return replace(tiny("llama"), container=container, version=version, tensors=[tensor])


def read(path) -> tuple[str, np.ndarray]:
    with llmpy.open_model(path, architecture="llama") as file:
        info = file.tensors["output.weight"]
        data = file.data("output.weight")
        assert len(data) == info.size
        assert not data.flags.writeable
        return info.dtype.name, dequantize(info.dtype, data, info.shape)


@forms
def test_the_values_are_those_of_their_time(tmp_path, name, quantization):
    old = stored(name, quantization, short=True)
    kind, found = read_quietly(old.write(tmp_path / "old.bin"))
    assert kind == ("F32" if name in OLDEST else name)
    expected = scalar(name, quantization, old.tensors[0].data)
    np.testing.assert_array_equal(found.reshape(-1), np.array(expected, np.float32))


def read_quietly(path):
    """Where a warning is expected of some cases only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*are read as F32")
        return read(path)


@pytest.mark.parametrize(("name", "quantization"), [f for f in FORMS if FORMS[f][1] == "f"])
def test_scales_that_need_float32_keep_their_values(tmp_path, name, quantization):
    old = stored(name, quantization, short=False)
    path = old.write(tmp_path / "old.bin")
    with pytest.warns(RuntimeWarning, match=f"1 tensors have {name} blocks.*read as F32"):
        kind, found = read(path)
    assert kind == "F32"
    expected = scalar(name, quantization, old.tensors[0].data)
    np.testing.assert_array_equal(found.reshape(-1), np.array(expected, np.float32))


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_the_last_version_has_the_blocks_of_today(tmp_path, kind):
    weights = np.random.Generator(np.random.PCG64(5)).standard_normal(SHAPE).astype(np.float32)
    data = quantize(kind, weights)
    tensor = Tensor("output.weight", TYPES[kind], SHAPE, data.tobytes())
    path = replace(tiny("llama"), tensors=[tensor]).write(tmp_path / "old.bin")
    with llmpy.open_model(path, architecture="llama") as file:
        np.testing.assert_array_equal(file.data("output.weight"), data.reshape(-1))


def test_the_file_type_of_an_unversioned_file_tells_the_version(tmp_path):
    old = stored("Q4_0", 1, short=True)
    header = {**old.header, "ftype": 1002}
    path = replace(old, container="GGML", header=header).write(tmp_path / "old.bin")
    kind, found = read(path)
    assert kind == "Q4_0"
    expected = scalar("Q4_0", 1, old.tensors[0].data)
    np.testing.assert_array_equal(found.reshape(-1), np.array(expected, np.float32))


def test_k_quants_came_with_the_last_version(tmp_path):
    tensor = Tensor("output.weight", TYPES["Q6_K"], (1, 256), bytes(210))
    old = replace(tiny("llama"), tensors=[tensor])
    with llmpy.open_model(old.write(tmp_path / "new.bin"), architecture="llama") as file:
        assert file.tensors["output.weight"].dtype.name == "Q6_K"
    path = replace(old, version=2).write(tmp_path / "old.bin")
    with pytest.raises(UnsupportedModelError, match=r"one of 0 \(F32\).*version 1\), found 14"):
        llmpy.open_model(path, architecture="llama")


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -1e30])
def test_scales_that_cannot_be_such_are_refused(tmp_path, scale):
    old = stored("Q4_0", 0, short=True)
    data = struct.pack("<f", scale) + old.tensors[0].data[4:]
    tensors = [replace(old.tensors[0], data=data)]
    path = replace(old, tensors=tensors).write(tmp_path / "old.bin")
    with pytest.raises(UnsupportedModelError, match="before March 2023") as caught:
        llmpy.open_model(path, architecture="llama")
    assert caught.value.offset is not None


def test_parts_share_a_type_when_one_of_them_is_widened(tmp_path):
    whole = stored("Q4_0", 1, short=False)
    narrow = stored("Q4_0", 1, short=True)
    embedding = Tensor("tok_embeddings.weight", 0, (3, 32), bytes(384))
    replace(narrow, tensors=[*narrow.tensors, embedding]).write(tmp_path / "m.bin")
    replace(whole, tensors=[*whole.tensors, embedding]).write(tmp_path / "m.bin.1")
    with pytest.warns(RuntimeWarning, match="read as F32"):
        kind, found = read(tmp_path / "m.bin")
    assert (kind, found.shape) == ("F32", (6, 64))
    expected = scalar("Q4_0", 1, narrow.tensors[0].data + whole.tensors[0].data)
    np.testing.assert_array_equal(found.reshape(-1), np.array(expected, np.float32))
