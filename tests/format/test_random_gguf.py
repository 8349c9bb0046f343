"""The tool that makes models with random weights: types, shapes, vocabularies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llmpy.dtypes import BY_NAME
from llmpy.format import open_gguf
from tools import random_gguf as tool


def make(path: Path, *arguments: str):
    tool.main([*arguments[:1], str(path), *arguments[1:]])
    return open_gguf(path)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_matrices_have_the_asked_type_and_norms_f32(tmp_path, dtype):
    with make(tmp_path / "m.gguf", "tiny", "--type", dtype) as file:
        for info in file.tensors.values():
            expected = "F32" if len(info.shape) == 1 else dtype.upper()
            assert info.dtype == BY_NAME[expected]
        assert file.size < 400_000


def test_the_same_seed_gives_the_same_file(tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        make(tmp_path / name, "tiny", "--seed", seed).close()
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_mixture_has_its_experts(tmp_path):
    with make(tmp_path / "m.gguf", "tiny-mixtral", "--type", "f32") as file:
        assert file.get("llama.expert_count", int) == 4
        assert file.get("llama.expert_used_count", int) == 2
        assert file.tensors["blk.1.ffn_down_exps.weight"].shape == (4, 64, 96)
        assert file.tensors["blk.1.ffn_gate_inp.weight"].shape == (4, 64)


def test_the_made_up_vocabulary_has_specials_bytes_and_unique_pieces(tmp_path):
    with make(tmp_path / "m.gguf", "tiny") as file:
        tokens = file.get("tokenizer.ggml.tokens", list)
        types = file.get("tokenizer.ggml.token_type", np.ndarray)
    assert tokens[:4] == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert len(set(tokens)) == len(tokens) == 320
    assert types.tolist() == [2, 3, 3] + [6] * 256 + [1] * 61


def test_a_vocabulary_is_taken_over_from_another_file(shared_data, tmp_path):
    vocabulary = shared_data("vocab/ggml-vocab-gpt-2.gguf")
    with (
        make(tmp_path / "m.gguf", "tiny", "--vocab", str(vocabulary)) as file,
        open_gguf(vocabulary) as source,
    ):
        assert file.tensors["token_embd.weight"].shape == (50_257, 64)
        assert file.get("llama.vocab_size", int) == 50_257
        for key in source.metadata:
            if key.startswith("tokenizer."):
                assert file.kinds[key] == source.kinds[key]
                assert np.array_equal(file.metadata[key], source.metadata[key])


def test_encodings_come_close_to_the_values():
    x = np.random.default_rng(3).standard_normal((8, 64), np.float32)
    assert np.abs(tool.to_f16(x).astype("f4") - x).max() < 2e-3
    bf16 = (tool.to_bf16(x).astype(np.uint32) << 16).view(np.float32)
    assert (np.abs(bf16 - x) <= np.abs(x) / 256).all()
    blocks = tool.to_q8_0(x)
    scale = blocks[:, :2].copy().view(np.float16).astype("f4")
    assert np.abs(scale * blocks[:, 2:].view(np.int8) - x.reshape(-1, 32)).max() < 0.02
    blocks = tool.to_q4_0(x)
    scale = blocks[:, :2].copy().view(np.float16).astype("f4")
    low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
    near = scale * (np.hstack([low, high]).astype("f4") - 8)
    assert (np.abs(near - x.reshape(-1, 32)) <= np.abs(scale) * 1.01).all()


def test_blocks_of_zeros_stay_zeros():
    zeros = np.zeros((1, 32), np.float32)
    assert not tool.to_q8_0(zeros).any()
    assert not tool.to_q4_0(zeros)[:, :2].copy().view(np.float16).any()


def test_the_gguf_package_encodes_the_same():
    gguf = pytest.importorskip("gguf")
    x = np.random.default_rng(4).standard_normal((4, 64), np.float32)
    for name, encode in (("Q8_0", tool.to_q8_0), ("Q4_0", tool.to_q4_0)):
        kind = gguf.GGMLQuantizationType[name]
        assert (gguf.quants.quantize(x, kind).ravel() == encode(x).ravel()).all()


def test_outliers_are_in_the_inputs_and_weights_make_up_for_them(tmp_path):
    outliers = Path(tool.__file__).with_name("outliers_smollm2.json")
    arguments = ("small", "--type", "f32", "--outliers", str(outliers))
    with make(tmp_path / "m.gguf", *arguments) as file:
        norm = file.data("blk.1.attn_norm.weight").view(np.float32)
        query = file.data("blk.1.attn_q.weight").view(np.float32).reshape(512, 512)
    sizes = np.abs(norm) / np.median(np.abs(norm))
    assert sizes.max() > 20
    contributions = np.abs(norm) * np.sqrt(np.mean(query**2, axis=0))
    assert contributions.max() < 2.5 * contributions.min()


def test_a_mixture_with_outliers_is_refused(tmp_path):
    outliers = Path(tool.__file__).with_name("outliers_smollm2.json")
    with pytest.raises(ValueError, match="without experts"):
        make(tmp_path / "m.gguf", "tiny-mixtral", "--outliers", str(outliers))
