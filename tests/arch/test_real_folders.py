"""Folders as the hub has them: configurations that leave out what transformers supplies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.arch.base import build
from llmpy.checkpoint.open import open_model
from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format import ModelFile, open_gguf, write_gguf
from llmpy.graph.show import show
from llmpy.runnable import check_model
from tests.arch import checkpoints
from tests.arch.steps import Logits, load, make_backend

Weights = Mapping[str, Any]
TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 7, "vocab_size": 264}
LEANING = {**TEXT, "model_type": "gemma3_text", "sliding_window": 16}  # as in Gemma 3 4B


def golden(name: str) -> tuple[dict[str, Any], dict[str, Any], Logits]:
    """Configuration, weights, and the original's logits."""
    found = checkpoints.load_golden(name)
    weights = found.weights(checkpoints.spec(name))
    return dict(found.about["config"]), dict(weights), found.logits


def logits(folder: Path) -> Logits:
    return load(folder, make_backend("reference")).whole(list(checkpoints.prompt(264)))


def wired(file: ModelFile) -> str:
    return show(build(file, {name: info.shape for name, info in file.tensors.items()})[1])


SEEING = {"visual.patch_embed.proj.weight": np.zeros((2, 2), np.float32)}
SECTIONS = {"mrope_section": [4, 2, 2]}


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl"])
@pytest.mark.parametrize("form", ["flat", "nested", "nested names"])
def test_of_qwen2_vl_the_text_runs_in_every_form(kind: str, form: str, tmp_path: Path) -> None:
    config, weights, expected = golden("qwen2vl")
    del config["rope_parameters"], config["architectures"]
    config |= {"rope_theta": 10000.0, "rope_scaling": {"type": "mrope", **SECTIONS}}
    if form == "nested names":
        weights = {n.replace("model.", "model.language_model."): w for n, w in weights.items()}
    changed = {**config, "model_type": kind, "vision_config": {"model_type": kind}}
    if form != "flat":
        changed["text_config"] = {**config, "model_type": f"{kind}_text"}
    folder = checkpoints.write(tmp_path / kind, changed, {**weights, **SEEING})
    found = logits(folder)
    assert np.abs(found - expected).max() < 2e-4 * np.abs(expected).max()


def gemma3(folder: Path, text: dict[str, Any], heads: int, kv: int, width: int) -> Path:
    """A multimodal folder with tensors of these heads."""
    shapes = {"embed_tokens": (264, 64), "norm": (64,)}
    for i in range(7):
        at = f"layers.{i}."
        norms = ("input", "post_attention", "pre_feedforward", "post_feedforward")
        shapes |= {f"{at}{norm}_layernorm": (64,) for norm in norms}
        shapes |= {f"{at}self_attn.{part}_norm": (width,) for part in "qk"}
        shapes |= {f"{at}self_attn.{part}_proj": (kv * width, 64) for part in "kv"}
        shapes |= {f"{at}self_attn.q_proj": (heads * width, 64)}
        shapes |= {f"{at}self_attn.o_proj": (64, heads * width), f"{at}mlp.down_proj": (64, 96)}
        shapes |= {f"{at}mlp.{part}_proj": (96, 64) for part in ("gate", "up")}
    weights = {
        f"language_model.model.{n}.weight": np.ones(s, np.float32) for n, s in shapes.items()
    }
    return checkpoints.write(folder, {"model_type": "gemma3", "text_config": text}, weights)


def test_what_gemma3_leaves_out_is_what_transformers_supplies(tmp_path: Path) -> None:
    rope = {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    whole = {
        **LEANING, **rope, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "query_pre_attn_scalar": 256,
        "rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window_pattern": 6,
    }  # fmt: skip
    leaning = gemma3(tmp_path / "leaning", {**LEANING, **rope}, 8, 4, 256)
    with open_model(leaning) as a, open_model(gemma3(tmp_path / "whole", whole, 8, 4, 256)) as b:
        assert wired(a) == wired(b)
        assert a.metadata["gemma3.context_length"] == 131072


def test_what_is_said_counts_and_not_the_default(tmp_path: Path) -> None:
    changed = {**LEANING, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    with open_model(gemma3(tmp_path / "x", changed, 2, 1, 32)) as file:
        wired(file)
        assert file.metadata["gemma3.attention.head_count"] == 2


def test_the_text_of_llava_is_the_llama_that_transformers_means(tmp_path: Path) -> None:
    config = {
        "model_type": "llava",
        "tie_word_embeddings": False,
        "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24},
        "text_config": {"model_type": "llama", "rms_norm_eps": 1e-5, "vocab_size": 264},
    }
    weights = {
        "language_model.model.embed_tokens.weight": np.zeros((264, 8), np.float32),
        "language_model.lm_head.weight": np.zeros((264, 8), np.float32),
    }
    with open_model(checkpoints.write(tmp_path / "llava", config, weights)) as file:
        keys = {k.removeprefix("llama."): v for k, v in file.metadata.items()}
    expected = {
        "embedding_length": 4096, "block_count": 32, "feed_forward_length": 11008,
        "attention.head_count": 32, "context_length": 2048,
        "attention.layer_norm_rms_epsilon": float(np.float32(1e-5)),
    }  # fmt: skip
    assert {key: keys[key] for key in expected} == expected


def test_a_head_alone_runs_where_it_is_tied_and_so_does_what_convert_makes(tmp_path: Path) -> None:
    config, weights, expected = golden("llama")
    weights["lm_head.weight"] = weights.pop("model.embed_tokens.weight")
    folder = checkpoints.write(tmp_path / "tied", config, weights)
    written = llmpy.convert(folder, tmp_path / "tied.gguf")
    for path in (folder, written):
        assert np.abs(logits(path) - expected).max() < 2e-4 * np.abs(expected).max()


def test_a_missing_key_is_named_as_config_json_has_it(tmp_path: Path) -> None:
    config, weights, _ = golden("baichuan")
    del config["rms_norm_eps"]
    folder = checkpoints.write(tmp_path / "x", config, weights, "baichuan")
    with pytest.raises(ModelFileError, match=r"config\.json: rms_norm_eps: expected this key"):
        llmpy.convert(folder, tmp_path / "x.gguf")
    assert not (tmp_path / "x.gguf").exists()


TENSOR = np.zeros((2, 32), np.float32)


@pytest.mark.parametrize(
    ("keys", "tensor", "message"),
    [
        ({"general.type": "adapter", "general.architecture": "llama"}, "a", "an adapter"),
        ({"general.type": "mmproj", "general.architecture": "clip"}, "v.a", "a projector"),
        ({"general.architecture": "clip"}, "v.a", "a projector"),
        ({"general.type": "imatrix"}, "a.in_sum2", "an importance matrix"),
        ({"general.architecture": "gemma3"}, "v.blk.0.a.weight", "sees or hears too, such as 'v.b"),
        ({"general.architecture": "mllama"}, "mm.0.weight", "sees or hears too, such as 'mm.0"),
    ],
)
def test_a_file_that_is_no_model_of_text_says_what_it_is(
    keys: dict[str, Any], tensor: str, message: str, tmp_path: Path
) -> None:
    write_gguf(tmp_path / "m.gguf", keys, [(tensor, BY_NAME["F32"], TENSOR.shape, TENSOR)])
    with (
        open_gguf(tmp_path / "m.gguf") as file,
        pytest.raises(UnsupportedModelError, match=message),
    ):
        check_model(file)
    with pytest.raises(UnsupportedModelError, match=message):
        llmpy.load(tmp_path / "m.gguf", backend="reference")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "path: expected the path or name of a model, found an empty one"),
        ("Qwen/Qwen3-0.6B", r"name: .* found none\. llmpy pull Qwen/Qwen3-0\.6B downloads it"),
        ("unsloth/x-GGUF:Q4_K_M", "llmpy pull unsloth/x-GGUF:Q4_K_M downloads it"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B", "llmpy pull https://huggingface.co/Qwen"),
        ("hf://Qwen/Qwen3-0.6B", "llmpy pull hf://Qwen/Qwen3-0"),
        ("absent", "name: expected a file, a folder or an installed model, found none"),
    ],
)
def test_what_is_no_path_is_told_from_one(path: str, message: str) -> None:
    for opens in (llmpy.load, llmpy.load_tokenizer):
        with pytest.raises(ModelFileError, match=message):
            opens(path)


@pytest.mark.parametrize("path", ["models/x.gguf", "absent.gguf", "/a/b"])
def test_a_path_without_a_file_is_no_name_of_the_hub(path: str) -> None:
    with pytest.raises(ModelFileError, match=f"^{path}: file: "):
        llmpy.load(path)


def test_a_folder_of_that_name_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("org/name").mkdir(parents=True)
    with pytest.raises(ModelFileError, match=r"config\.json"):
        llmpy.load("org/name")


@pytest.mark.parametrize("name", [[1, 2], [], 7, ["llama"]])
def test_an_architecture_that_is_no_text_is_refused(name: Any, tmp_path: Path) -> None:
    keys = {"general.architecture": name, "general.type": name}
    write_gguf(tmp_path / "m.gguf", keys, [("a", BY_NAME["F32"], TENSOR.shape, TENSOR)])
    with pytest.raises(ModelFileError, match=r"general\.architecture: expected the name"):
        llmpy.load(tmp_path / "m.gguf", backend="reference")
    llmpy.convert(tmp_path / "m.gguf", tmp_path / "n.gguf")
