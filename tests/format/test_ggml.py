"""Files from before GGUF: every container and architecture, parts, and what is refused."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

import llmpy
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format import open_gguf
from tests.format.old_files import Old, Tensor, second_reader
from tests.format.tiny_old import ARCHITECTURES, N_FF, N_LAYER, N_VOCAB, D, H, tiny

CONTAINERS = [("GGML", 0), ("GGMF", 1), ("GGJT", 1), ("GGJT", 2), ("GGJT", 3)]
architectures = pytest.mark.parametrize("architecture", ARCHITECTURES)


def open_old(path, architecture):
    return llmpy.open_model(path, architecture=architecture)


def values(file, name):
    info = file.tensors[name]
    kind = {"F32": "<f4", "F16": "<f2"}[info.dtype.name]
    return file.data(name).view(kind).reshape(info.shape).astype(np.float32)


def refusal(tmp_path, data: bytes, architecture="llama") -> ModelFileError:
    path = tmp_path / "refused.bin"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        open_old(path, architecture)
    return caught.value


@pytest.mark.parametrize("name", ["ggmf-v1-20230321", "ggjt-v1-20230330"])
def test_genuine_vocabularies_are_those_of_today(shared_data, name):
    path = shared_data(f"legacy/llama-vocab-{name}.bin")
    today = open_gguf(shared_data("vocab/ggml-vocab-llama-spm.gguf")).metadata
    with open_old(path, "llama") as file:
        assert file.format == {"ggmf": "GGMF v1", "ggjt": "GGJT v1"}[name[:4]]
        assert file.get("llama.embedding_length", int) == 4096
        assert file.get("llama.block_count", int) == 32
        for key in ("tokens", "scores", "token_type", "bos_token_id", "eos_token_id"):
            key = f"tokenizer.ggml.{key}"
            np.testing.assert_array_equal(file.metadata[key], today[key])


def test_a_genuine_vocabulary_encodes_as_today(shared_data):
    path = shared_data("legacy/llama-vocab-ggmf-v1-20230321.bin")
    old = llmpy.load_tokenizer(path, architecture="llama")
    today = llmpy.load_tokenizer(shared_data("vocab/ggml-vocab-llama-spm.gguf"))
    text = shared_data("text/tinyshakespeare.txt").read_text("utf-8")[:20_000]
    assert old.encode(text) == today.encode(text)


@pytest.mark.parametrize(
    "name", ["llama-vocab-dump-nomagic-20230321.bin", "llama-vocab-FUGG-prerelease-20230817.gguf"]
)
def test_what_only_looks_old_is_refused(shared_data, name):
    with pytest.raises(ModelFileError, match="magic"):
        open_old(shared_data(f"legacy/{name}"), "llama")


def test_a_model_of_rwkv_cpp_is_named(shared_data):
    with pytest.raises(UnsupportedModelError, match=r"found 100.*rwkv\.cpp"):
        open_old(shared_data("weights/rwkv/tiny-rwkv-4v0-660K-FP32.bin"), "llama")


@architectures
@pytest.mark.parametrize(("container", "version"), CONTAINERS)
def test_all_tensors_are_read_as_a_second_reader_reads_them(
    tmp_path, architecture, container, version
):
    path = tiny(architecture, container, version, "F16").write(tmp_path / "old.bin")
    expected = second_reader(path, architecture)
    with open_old(path, architecture) as file:
        assert file.format == container + (f" v{version}" if version else "")
        assert len(file.tensors) == len(expected)
        for info, array in zip(file.tensors.values(), expected.values(), strict=True):
            found = values(file, info.name)
            if architecture == "gptneox" and "attn_qkv" in info.name:
                array = array.reshape(H, 3, -1).swapaxes(0, 1).reshape(array.shape)
            np.testing.assert_array_equal(found, array, info.name)


@architectures
def test_the_header_becomes_metadata(tmp_path, architecture):
    path = tiny(architecture).write(tmp_path / "old.bin")
    with open_old(path, architecture) as file:
        assert file.get("general.architecture", str) == architecture
        assert file.get(f"{architecture}.embedding_length", int) == D
        assert file.get(f"{architecture}.block_count", int) == N_LAYER
        assert file.get(f"{architecture}.attention.head_count", int) == H
        n_ff = N_FF if architecture == "llama" else 4 * D
        assert file.get(f"{architecture}.feed_forward_length", int) == n_ff
        assert len(file.get("tokenizer.ggml.tokens", list)) == N_VOCAB
        at = file.where(f"{architecture}.embedding_length")
        assert struct.unpack_from("<i", path.read_bytes(), at) == (D,)


def test_heads_of_keys_are_counted_in_their_tensor(tmp_path):
    with open_old(tiny("llama").write(tmp_path / "old.bin"), "llama") as file:
        assert file.get("llama.attention.head_count_kv", int) == H // 2


def test_falcon_40b_has_two_norms(tmp_path):
    old = tiny("falcon")
    tensors = []
    for t in old.tensors:
        if "input_layernorm" in t.name:
            tensors.append(replace(t, name=t.name.replace("input_layernorm", "ln_mlp")))
            t = replace(t, name=t.name.replace("input_layernorm", "ln_attn"))
        tensors.append(t)
    with open_old(replace(old, tensors=tensors).write(tmp_path / "old.bin"), "falcon") as file:
        assert {"blk.0.attn_norm.weight", "blk.1.attn_norm_2.bias"} <= file.tensors.keys()


def test_buffers_that_are_no_weights_are_left_out(tmp_path):
    old = tiny("gptj")
    mask = Tensor("transformer.h.0.attn.bias", 0, (4,), bytes(16))
    path = replace(old, tensors=[*old.tensors, mask]).write(tmp_path / "old.bin")
    with open_old(path, "gptj") as file:
        assert len(file.tensors) == len(old.tensors)


def split(old: Old, count: int) -> list[Old]:
    """A Llama in parts, as its first converters left it: some tensors by column, others by row."""
    parts: list[list[Tensor]] = [[] for _ in range(count)]
    for t in old.tensors:
        array = np.frombuffer(t.data, "<f4").reshape(t.shape)
        columns = any(n in t.name for n in ("tok_embeddings", "attention.wo", "w2"))
        pieces = [array] * count
        if array.ndim > 1:
            pieces = np.split(array, count, axis=1 if columns else 0)
        for part, piece in zip(parts, pieces, strict=True):
            part.append(replace(t, shape=piece.shape, data=piece.tobytes()))
    return [replace(old, tensors=tensors) for tensors in parts]


@pytest.mark.parametrize("count", [2, 4])
def test_parts_are_joined(tmp_path, count):
    whole = tiny("llama", "GGMF", 1)
    for i, part in enumerate(split(whole, count)):
        part.write(tmp_path / ("model.bin" + (f".{i}" if i else "")))
    whole.write(tmp_path / "whole.bin")
    with (
        open_old(tmp_path / "model.bin", "llama") as joined,
        open_old(tmp_path / "whole.bin", "llama") as one,
    ):
        assert joined.format == f"GGMF v1, {count} files"
        assert len(joined.paths) == count
        assert joined.tensors.keys() == one.tensors.keys()
        for name in one.tensors:
            np.testing.assert_array_equal(values(joined, name), values(one, name), name)


def test_a_missing_part_is_named(tmp_path):
    split(tiny("llama"), 2)[0].write(tmp_path / "model.bin")
    with pytest.raises(ModelFileError, match=r"model\.bin\.1: file: expected an existing file"):
        open_old(tmp_path / "model.bin", "llama")


def test_parts_of_different_models_are_refused(tmp_path):
    first, second = split(tiny("llama"), 2)
    first.write(tmp_path / "model.bin")
    replace(second, header={**second.header, "n_mult": 64}).write(tmp_path / "model.bin.1")
    with pytest.raises(ModelFileError, match="different models"):
        open_old(tmp_path / "model.bin", "llama")


def test_without_an_architecture_the_choices_are_listed(tmp_path):
    path = tiny("gptj").write(tmp_path / "old.bin")
    with pytest.raises(UnsupportedModelError) as caught:
        llmpy.open_model(path)
    for name in (*ARCHITECTURES, "GGJT", "--architecture", "llmpy.load"):
        assert name in str(caught.value)


def test_an_architecture_without_such_files_is_a_value_error(tmp_path):
    path = tiny("gptj").write(tmp_path / "old.bin")
    with pytest.raises(ValueError, match="old files are of bloom, falcon"):
        open_old(path, "gemma")


@architectures
def test_another_architecture_is_doubted(tmp_path, architecture):
    path = tiny(architecture).write(tmp_path / "old.bin")
    for other in ARCHITECTURES:
        if other != architecture:
            with pytest.raises(ModelFileError) as caught:
                open_old(path, other)
            assert "architecture" in str(caught.value) or f"no {other} model" in str(caught.value)


def test_an_architecture_that_a_gguf_file_contradicts_is_refused(shared_data):
    path = shared_data("weights/stories260K/stories260K.gguf")
    with pytest.raises(ModelFileError, match=r"general\.architecture.*'gptj'"):
        open_old(path, "gptj")
    open_old(path, "llama").close()


def test_open_gguf_says_what_opens_it(tmp_path):
    path = tiny("llama").write(tmp_path / "old.bin")
    with pytest.raises(UnsupportedModelError, match=r"a GGJT file.*llmpy\.open_model"):
        open_gguf(path)


def test_every_cut_is_refused(tmp_path):
    old = tiny("gptj")
    data = replace(old, tensors=old.tensors[:2]).bytes()
    end = len(data) - sum(len(t.data) for t in old.tensors[:2])
    cuts = {*range(4, end, 97), *range(end, len(data), 10_007), len(data) - 1}
    for cut in sorted(cuts):
        error = refusal(tmp_path, data[:cut], "gptj")
        assert error.offset is not None
        assert error.offset <= cut


@pytest.mark.parametrize(
    ("change", "field", "found"),
    [
        ({"version": 4}, "version", "4"),
        ({"container": "GGMF", "version": 2}, "version", "2"),
        ({"n_embd": -1}, "header n_embd", "4294967295"),
        ({"n_head": 0}, "header n_head", "0"),
        ({"n_vocab": 2**31 - 1}, "header n_vocab", "2147483647"),
        ({"ftype": 3002}, "header file_type", "3"),
    ],
)
def test_a_bad_header_is_refused(tmp_path, change, field, found):
    old = tiny("llama")
    own = {k: v for k, v in change.items() if k in ("version", "container")}
    header = {**old.header, **{k: v for k, v in change.items() if k not in own}}
    error = refusal(tmp_path, replace(old, header=header, **own).bytes())
    assert (error.field, error.found) == (field, found)


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        (Tensor("norm.weight", 0, (0,), b""), "tensor dimension 0"),
        (Tensor("norm.weight", 0, (2**30, 2**30), b""), "size"),
        (Tensor("norm.weight", 9, (32,), bytes(36)), "type"),
        (Tensor("norm.weight", 2, (33,), bytes(36)), "row length"),
        (Tensor("norm.weights", 0, (4,), bytes(16)), "tensor 'norm.weights'"),
        (Tensor("blk.0.attn_q.weight", 0, (4,), bytes(16)), "tensor 'blk.0.attn_q.weight'"),
        (Tensor("n" * 2000, 0, (4,), bytes(16)), "tensor name length"),
    ],
)
def test_a_bad_tensor_is_refused(tmp_path, tensor, field):
    error = refusal(tmp_path, replace(tiny("llama"), tensors=[tensor]).bytes())
    assert field in error.field
    assert error.offset is not None


def test_a_tensor_that_comes_twice_is_refused(tmp_path):
    old = tiny("llama")
    error = refusal(tmp_path, replace(old, tensors=[old.tensors[1]] * 2).bytes())
    assert error.expected == "each tensor once"
