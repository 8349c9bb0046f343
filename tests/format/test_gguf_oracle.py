"""The `gguf` package as a second opinion: it reads what we write, and we read what it writes."""

from __future__ import annotations

import numpy as np
import pytest

from llmpy.dtypes import BY_ID, BY_NAME
from llmpy.format import open_gguf, write_gguf

gguf = pytest.importorskip("gguf")

KEYS = {
    "general.name": "a llama with ünïcode",
    "whole": 7,
    "negative": -7,
    "large": 2**40,
    "real": 0.25,
    "yes": True,
    "words": ["a", "", "ß"],
    "numbers": [1, -2, 3],
    "reals": [0.5, 1.5],
}


@pytest.fixture
def weights():
    random = np.random.default_rng(1)
    return {
        "f32": random.standard_normal((3, 64), np.float32),
        "f16": random.standard_normal((2, 5, 32), np.float32).astype(np.float16),
    }


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("version", [2, 3])
def test_it_reads_what_we_write(tmp_path, weights, version, big_endian):
    rows = [(name, BY_NAME[name.upper()], w.shape, w) for name, w in weights.items()]
    path = tmp_path / "m.gguf"
    write_gguf(
        path, {"general.architecture": "llama", **KEYS}, rows, version=version,
        big_endian=big_endian, alignment=64,
    )  # fmt: skip
    reader = gguf.GGUFReader(path)
    for key, value in KEYS.items():
        assert reader.get_field(key).contents() == value
    assert [t.name for t in reader.tensors] == list(weights)
    for tensor in reader.tensors:
        assert (tensor.data == weights[tensor.name]).all()
    assert reader.get_field("GGUF.version").contents() == version


@pytest.mark.parametrize("big_endian", [False, True])
def test_we_read_what_it_writes(tmp_path, weights, big_endian):
    path = tmp_path / "m.gguf"
    order = gguf.GGUFEndian.BIG if big_endian else gguf.GGUFEndian.LITTLE
    writer = gguf.GGUFWriter(path, "llama", endianess=order)
    for key, value in KEYS.items():
        kind = gguf.GGUFValueType.get_type(value)
        if key == "large":
            kind = gguf.GGUFValueType.UINT64
        writer.add_key_value(key, value, kind)
    for name, tensor in weights.items():
        writer.add_tensor(name, tensor.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_gguf(path) as file:
        found = dict(file.metadata)
        for key in ("numbers", "reals"):
            found[key] = found[key].tolist()
        assert found == {"general.architecture": "llama", **KEYS}
        for name, tensor in weights.items():
            assert file.tensors[name].shape == tensor.shape
            assert file.data(name).tobytes() == tensor.tobytes()


# Q8_1 is left out: it never stands in files, and the package counts 4 bytes more than ggml does.
# Of the newest types, those that the installed release has.
ITS = {kind.value for kind in gguf.GGMLQuantizationType}


@pytest.mark.parametrize(
    "dtype", [t for t in BY_ID.values() if t.id in ITS and t.name != "Q8_1"], ids=str
)
def test_it_knows_the_same_types(dtype):
    kind = gguf.GGMLQuantizationType(dtype.id)
    assert (kind.name, *gguf.GGML_QUANT_SIZES[kind]) == (dtype.name, dtype.block, dtype.size)


def test_we_know_all_of_its_types():
    assert set(BY_ID) >= ITS
