"""Which weights a checkpoint's folder has, and what it is where it has none that will do."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmpy.arch.checkpoint import Checkpoint, Tensor
from llmpy.checkpoint.huggingface import CheckpointFile, open_checkpoint
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.safetensors import write_safetensors

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
RULES = [Tensor("model.embed_tokens", "token_embd"), Tensor("lm_head", "output")]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def store(path: Path, value: float, *names: str, dtype: str = "F32") -> None:
    data = np.full((2, 4), value, np.float32)
    if dtype != "F32":
        data = np.ones((2, 4), {"F8_E4M3": np.uint8, "I32": np.int32, "U32": np.uint32}[dtype])
    write_safetensors(path, [(name, dtype, (2, 4), data) for name in names])


def opened(folder: Path, **config: Any) -> CheckpointFile:
    (folder / "config.json").write_text(json.dumps({"model_type": "toy", **config}))
    toy = Checkpoint("toy", ("toy",), lambda _: {}, lambda _: RULES)
    return open_checkpoint(folder, {"toy": toy}, lambda *_: {})


def first(file: CheckpointFile, name: str = "token_embd.weight") -> float:
    return float(file.data(name).view(np.float32)[0])


def index(folder: Path, shard: str) -> None:
    content = {"weight_map": {"model.embed_tokens.weight": shard}}
    (folder / INDEX).write_text(json.dumps(content))


def test_a_stale_index_does_not_win(tmp_path: Path) -> None:
    store(tmp_path / "model-00001-of-00001.safetensors", 1, "model.embed_tokens.weight")
    store(tmp_path / SINGLE, 2, "model.embed_tokens.weight")
    index(tmp_path, "model-00001-of-00001.safetensors")
    with pytest.warns(RuntimeWarning, match=r"index\.json: it names model-00001.*beside it"):
        assert first(opened(tmp_path)) == 2


@pytest.mark.parametrize("text", ["{}", "no JSON"])
def test_an_index_that_is_not_read_may_be_damaged(text: str, tmp_path: Path) -> None:
    store(tmp_path / SINGLE, 2, "model.embed_tokens.weight")
    (tmp_path / INDEX).write_text(text)
    with pytest.warns(RuntimeWarning, match=r"index\.json: it names nothing that can be read"):
        assert first(opened(tmp_path)) == 2


def test_an_index_of_the_file_itself_is_no_contradiction(tmp_path: Path) -> None:
    store(tmp_path / SINGLE, 2, "model.embed_tokens.weight")
    index(tmp_path, SINGLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert first(opened(tmp_path)) == 2


def test_the_index_counts_where_there_is_no_single_file(tmp_path: Path) -> None:
    store(tmp_path / "model-00001-of-00001.safetensors", 1, "model.embed_tokens.weight")
    index(tmp_path, "model-00001-of-00001.safetensors")
    assert first(opened(tmp_path)) == 1


@pytest.mark.parametrize("config", [{"tie_word_embeddings": True}, {}])
def test_a_head_that_is_tied_is_the_embedding_too(config: dict[str, Any], tmp_path: Path) -> None:
    store(tmp_path / SINGLE, 3, "lm_head.weight")
    file = opened(tmp_path, **config)
    assert list(file.tensors) == ["token_embd.weight"]
    assert first(file) == 3


def test_a_head_that_is_not_tied_is_no_embedding(tmp_path: Path) -> None:
    store(tmp_path / SINGLE, 3, "lm_head.weight")
    assert list(opened(tmp_path, tie_word_embeddings=False).tensors) == ["output.weight"]


@pytest.mark.parametrize(
    ("names", "tied", "warned"),
    [
        (["model.embed_tokens.weight"], False, True),
        (["model.embed_tokens.weight"], True, False),
        (["model.embed_tokens.weight", "lm_head.weight"], False, False),
        (["embed_tokens.weight"], False, False),  # saved without a head: it makes vectors
    ],
)
def test_a_head_that_is_missing_is_warned_of(
    names: list[str], tied: bool, warned: bool, tmp_path: Path
) -> None:
    store(tmp_path / SINGLE, 3, *names)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened(tmp_path, tie_word_embeddings=tied)
    assert ["lm_head.weight is missing" in str(w.message) for w in caught] == [True] * warned


@pytest.mark.parametrize(
    ("config", "dtype", "names", "method"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "I32", ["a.qweight"], "GPTQ"),
        ({"quantization_config": {"quant_method": "awq"}}, "I32", ["a.qweight"], "AWQ"),
        ({"quantization_config": {"load_in_4bit": True}}, "I32", ["a.weight"], "bitsandbytes"),
        ({"quantization_config": {"quant_method": "hqq"}}, "I32", ["a.weight"], "hqq"),
        ({"quantization": {"bits": 4, "group_size": 64}}, "U32", ["a.weight"], "MLX"),
        ({"quantization_config": {"quant_method": "fp8"}}, "F8_E4M3", ["a.weight"], "FP8"),
        ({"quantization_config": {"quant_method": []}}, "F8_E4M3", ["a.weight"], "FP8"),
        ({}, "F8_E4M3", ["a.weight"], "FP8"),
        ({}, "I32", ["a.qweight", "a.g_idx"], "GPTQ or AWQ"),
        ({}, "I32", ["a.weight", "a.weight.absmax"], "bitsandbytes"),
        ({}, "U32", ["a.weight", "a.scales"], "MLX"),
    ],
)
def test_the_method_of_quantized_weights_is_named(
    config: dict[str, Any], dtype: str, names: list[str], method: str, tmp_path: Path
) -> None:
    store(tmp_path / SINGLE, 1, *names, dtype=dtype)
    with pytest.raises(UnsupportedModelError, match=f"{dtype}, quantized by {method}") as caught:
        opened(tmp_path, **config)
    assert "GGUF" in str(caught.value.hint)


def test_plain_weights_of_a_quantized_configuration_open(tmp_path: Path) -> None:
    store(tmp_path / SINGLE, 4, "model.embed_tokens.weight")
    assert first(opened(tmp_path, quantization_config={"quant_method": "gptq"})) == 4


@pytest.mark.parametrize("config", [False, True])
@pytest.mark.parametrize(
    ("files", "found", "hint"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "a PEFT adapter", "base model"),
        (["mmproj-x.gguf", "x-Q4_0.gguf"], "mmproj-x.gguf, x-Q4_0.gguf", "the file itself.*x-Q4_0"),
        (["params.json", "tokenizer.model"], "params.json", "for transformers"),
    ],
)
def test_what_a_folder_is_instead(
    files: list[str], found: str, hint: str, config: bool, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"{}")
    if config:
        (tmp_path / "config.json").write_text('{"model_type": "toy"}')
    toy = Checkpoint("toy", ("toy",), lambda _: {}, lambda _: RULES)
    with pytest.raises(ModelFileError, match=f"found {found}") as caught:
        open_checkpoint(tmp_path, {"toy": toy}, lambda *_: {})
    assert caught.match(hint)


@pytest.mark.parametrize("name", [SINGLE, "config.json", "generation_config.json", INDEX])
def test_a_pointer_is_not_what_it_stands_for(name: str, tmp_path: Path) -> None:
    store(tmp_path / SINGLE, 1, "model.embed_tokens.weight")
    opened(tmp_path)
    if name == INDEX:
        (tmp_path / SINGLE).unlink()
    (tmp_path / name).write_bytes(POINTER)
    toy = Checkpoint("toy", ("toy",), lambda _: {}, lambda _: RULES)
    with pytest.raises(ModelFileError, match=r"Git LFS pointer.*git lfs pull"):
        open_checkpoint(tmp_path, {"toy": toy}, lambda *_: {})


def test_a_web_page_in_place_of_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / SINGLE).write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(ModelFileError, match="found a web page"):
        opened(tmp_path)
