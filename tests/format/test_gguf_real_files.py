"""Real files: a trained model in two versions of GGUF, vocabularies, and what is no GGUF at all."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format import Typed, open_gguf, write_gguf

STORIES = "weights/stories260K/stories260K.gguf"
STORIES_V1 = "weights/stories260K/tinyllamas-stories-260k-f32.v1.gguf"
VOCABULARIES = {
    "legacy/falcon-vocab-gguf-v2-20230918.gguf": ("GGUF 2, little-endian", 65_024),
    "legacy/llama-vocab-gguf-v1-20230819.gguf": ("GGUF 1, little-endian", 32_000),
    "vocab/ggml-vocab-deepseek-llm.gguf": ("GGUF 3, little-endian", 102_400),
    "vocab/ggml-vocab-gpt-2.gguf": ("GGUF 3, little-endian", 50_257),
    "vocab/ggml-vocab-llama-bpe.gguf": ("GGUF 3, little-endian", 128_256),
    "vocab/ggml-vocab-llama-spm.gguf": ("GGUF 3, little-endian", 32_000),
    "vocab/ggml-vocab-phi-3.gguf": ("GGUF 3, little-endian", 32_064),
    "vocab/ggml-vocab-qwen2.gguf": ("GGUF 3, little-endian", 151_936),
}


def test_the_trained_model_has_its_tensors_and_keys(shared_data):
    with open_gguf(shared_data(STORIES)) as file:
        assert len(file.tensors) == 48
        assert file.parameters == 292_800
        assert file.tensors["blk.0.ffn_down.weight"].shape == (64, 172)
        assert file.get("llama.block_count", int) == 5
        assert file.get("llama.attention.layer_norm_rms_epsilon", float) == pytest.approx(1e-5)
        assert len(file.get("tokenizer.ggml.tokens", list)) == 512
        assert file.get("tokenizer.ggml.scores", np.ndarray).dtype == np.float32


def test_version_1_holds_the_same_weights(shared_data):
    with open_gguf(shared_data(STORIES)) as new, open_gguf(shared_data(STORIES_V1)) as old:
        assert old.format == "GGUF 1, little-endian"
        assert set(old.tensors) == set(new.tensors)
        for name in ("token_embd.weight", "blk.4.ffn_down.weight", "output_norm.weight"):
            assert (old.data(name) == new.data(name)).all()


@pytest.mark.parametrize("name", VOCABULARIES)
def test_vocabularies_open(shared_data, name):
    form, n_tokens = VOCABULARIES[name]
    with open_gguf(shared_data(name)) as file:
        assert file.format == form
        assert len(file.get("tokenizer.ggml.tokens", list)) == n_tokens
        assert file.parameters == 0


def test_our_tokens_are_those_that_the_gguf_package_reads(shared_data):
    gguf = pytest.importorskip("gguf")
    path = shared_data(STORIES)
    reader = gguf.GGUFReader(path)
    with open_gguf(path) as file:
        assert (
            file.metadata["tokenizer.ggml.tokens"]
            == reader.get_field("tokenizer.ggml.tokens").contents()
        )


def test_a_large_vocabulary_is_read_fast(shared_data):
    path = shared_data("vocab/ggml-vocab-llama-bpe.gguf")
    seconds = []
    for _ in range(5):
        start = time.process_time()
        open_gguf(path).close()
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("legacy/llama-vocab-FUGG-prerelease-20230817.gguf", ModelFileError, "FUGG"),
        ("legacy/llama-vocab-dump-nomagic-20230321.bin", ModelFileError, "magic at byte 0"),
        ("legacy/llama-vocab-ggjt-v1-20230330.bin", UnsupportedModelError, "GGJT"),
        ("legacy/llama-vocab-ggmf-v1-20230321.bin", UnsupportedModelError, "GGMF"),
        ("weights/gpt-nano-sort/gpt-nano-sort-model.json", ModelFileError, "JSON"),
        ("weights/stories260K/stories260K.bin", ModelFileError, "magic"),
        ("text", ModelFileError, "folder"),
        ("README.md", ModelFileError, "text, '# Real data"),
    ],
)
def test_other_files_are_refused_by_name(shared_data, name, error, message):
    with pytest.raises(error, match=message) as caught:
        open_gguf(shared_data(name))
    assert type(caught.value) is error


def test_a_real_model_survives_rewriting_in_parts(shared_data, tmp_path):
    with open_gguf(shared_data(STORIES)) as file:
        keys = {key: Typed(file.kinds[key], value) for key, value in file.metadata.items()}
        rows = [(i.name, i.dtype, i.shape, file.data(i.name)) for i in file.tensors.values()]
        paths = write_gguf(
            tmp_path / "s.gguf", keys, rows, version=2, big_endian=True, split_max_bytes=300_000
        )
        assert len(paths) == 5
        with open_gguf(paths[3]) as copy:
            assert copy.kinds.items() >= file.kinds.items()
            assert list(copy.tensors) == list(file.tensors)
            assert all((copy.data(name) == file.data(name)).all() for name in file.tensors)
            assert {info.dtype for info in copy.tensors.values()} == {BY_NAME["F32"]}


def test_cut_anywhere_in_its_header_it_is_refused(shared_data, tmp_path):
    """Every byte, but in the three long arrays every seventh; and some cuts in the weights."""
    data = shared_data(STORIES).read_bytes()
    with open_gguf(shared_data(STORIES)) as file:
        first = min(info.offset for info in file.tensors.values())
        arrays = range(300, file.where("tokenizer.ggml.model") - 300)
    places = {*range(first), *range(first, len(data), 9_973), len(data) - 1}
    places -= {place for place in arrays if place % 7}
    path = tmp_path / "cut.gguf"
    path.write_bytes(data)
    for size in sorted(places, reverse=True):  # backwards, the file need not be written again
        os.truncate(path, size)
        with pytest.raises(ModelFileError) as caught:
            open_gguf(path)
        assert caught.value.offset is not None
        assert caught.value.offset <= size
