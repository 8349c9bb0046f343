"""Files with experts, latents or heads in other layouts than ours, or with more than is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from llmpy.backends.reference.backend import ReferenceBackend
from llmpy.checkpoint.open import open_model
from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError
from llmpy.format import write_gguf
from llmpy.format.safetensors import write_safetensors
from llmpy.quant import dequantize
from tests.arch import checkpoints
from tests.arch.steps import Logits, load

Arrays = dict[str, NDArray[np.float32]]


@dataclass
class Parts:
    """What a file is made of."""

    metadata: dict[str, Any]
    arrays: Arrays


Change = Callable[[Parts], None]


def logits(folder: Path, name: str, change: Change) -> tuple[Logits, Logits]:
    """Of a golden's model with its GGUF file changed: what it gives, and what it should."""
    golden = checkpoints.load_golden(name)
    weights = golden.weights(checkpoints.spec(name))
    with open_model(checkpoints.write(folder / name, golden.about["config"], weights)) as file:
        arrays = {n: file.data(n).view("<f4").reshape(t.shape) for n, t in file.tensors.items()}
        parts = Parts(dict(file.metadata), arrays)
    change(parts)
    rows = [(n, BY_NAME["F32"], a.shape, a.copy()) for n, a in parts.arrays.items()]
    path = folder / "changed.gguf"
    write_gguf(path, parts.metadata, rows)
    tokens = list(checkpoints.prompt(golden.logits.shape[1]))
    return load(path, ReferenceBackend()).whole(tokens), golden.logits


def near(found: Logits, expected: Logits) -> bool:
    return bool(np.abs(found - expected).max() < 2e-4 * np.abs(expected).max())


def test_mixtral_with_a_tensor_an_expert(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        for name in [n for n in m.arrays if "_exps." in n]:
            for e, expert in enumerate(m.arrays.pop(name)):
                m.arrays[name.replace("_exps.", f".{e}.")] = expert

    assert near(*logits(tmp_path, "mixtral", change))


def test_starcoder_with_many_key_heads_as_its_checkpoint_has_them(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        m.metadata["starcoder.attention.head_count_kv"] = 1
        for i in range(2):
            for kind in ("weight", "bias"):
                w = m.arrays[f"blk.{i}.attn_qkv.{kind}"]
                heads = w.reshape(3, 4, -1, *w.shape[1:]).swapaxes(0, 1)
                m.arrays[f"blk.{i}.attn_qkv.{kind}"] = heads.reshape(w.shape)

    assert near(*logits(tmp_path, "starcoder-mha", change))


def test_gate_and_up_of_experts_in_one_tensor(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        for i in range(2):
            parts = [m.arrays.pop(f"blk.{i}.ffn_{part}_exps.weight") for part in ("gate", "up")]
            m.arrays[f"blk.{i}.ffn_gate_up_exps.weight"] = np.concatenate(parts, axis=1)

    assert near(*logits(tmp_path, "qwen3moe", change))


def test_the_gate_of_a_shared_expert_as_a_vector(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        for name in [n for n in m.arrays if "gate_inp_shexp" in n]:
            m.arrays[name] = m.arrays[name].reshape(-1)

    assert near(*logits(tmp_path, "qwen2moe", change))


@pytest.mark.parametrize("name", ["deepseek-v2-lite", "deepseek-v3"])
def test_latents_that_are_expanded_before_they_are_cached(tmp_path: Path, name: str) -> None:
    def change(m: Parts) -> None:
        length, value = (
            m.metadata.pop(f"deepseek2.attention.{part}_length_mla") for part in ("key", "value")
        )
        m.metadata["deepseek2.attention.key_length"] = length
        m.metadata["deepseek2.attention.value_length"] = value
        m.metadata["deepseek2.attention.head_count_kv"] = m.metadata[
            "deepseek2.attention.head_count"
        ]
        for name in [n for n in m.arrays if "attn_k_b" in n]:
            k = m.arrays.pop(name).swapaxes(1, 2)
            v = m.arrays.pop(name.replace("attn_k_b", "attn_v_b"))
            both = np.concatenate([k, v], axis=1)
            m.arrays[name.replace("attn_k_b", "attn_kv_b")] = both.reshape(-1, k.shape[2])

    assert near(*logits(tmp_path, name, change))


@pytest.mark.parametrize("name", ["glm4moe", "deepseek-v3"])
def test_layers_that_predict_further_tokens_are_not_run(tmp_path: Path, name: str) -> None:
    def change(m: Parts) -> None:
        architecture = m.metadata["general.architecture"]
        m.metadata[f"{architecture}.block_count"] = 4
        m.metadata[f"{architecture}.nextn_predict_layers"] = 1
        m.arrays |= {n.replace("blk.2.", "blk.3."): a for n, a in m.arrays.items() if "blk.2." in n}
        m.arrays["blk.3.nextn.eh_proj.weight"] = np.ones((4, 8), np.float32)

    assert near(*logits(tmp_path, name, change))


def test_layers_that_predict_are_left_out_of_checkpoints(tmp_path: Path) -> None:
    golden = checkpoints.load_golden("glm4moe")
    config = {**golden.about["config"], "num_nextn_predict_layers": 1}
    weights = golden.weights(checkpoints.spec("glm4moe"))
    more = {
        n.replace(".2.", ".3."): a for n, a in weights.items() if n.startswith("model.layers.2.")
    }
    more["model.layers.3.eh_proj.weight"] = np.ones((4, 8), np.float32)
    more["model.layers.3.shared_head.norm.weight"] = np.ones(8, np.float32)
    runner = load(checkpoints.write(tmp_path / "x", config, weights | more), ReferenceBackend())
    found = runner.whole(list(checkpoints.prompt(golden.logits.shape[1])))
    assert near(found, golden.logits)


def test_a_file_without_its_shared_experts_is_refused(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        for name in [n for n in m.arrays if "_shexp" in n]:
            del m.arrays[name]

    with pytest.raises(ModelFileError, match="ffn_gate_shexp"):
        logits(tmp_path, "deepseek-v3", change)


def test_another_number_of_experts_than_the_metadata_says_is_refused(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        m.metadata["qwen3moe.expert_count"] = 6

    with pytest.raises(ModelFileError, match="has 8 experts"):
        logits(tmp_path, "qwen3moe", change)


def test_an_unknown_gating_function_is_refused(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        m.metadata["dots1.expert_gating_func"] = 4

    with pytest.raises(ModelFileError, match="not 4"):
        logits(tmp_path, "dots1", change)


def test_queries_that_grow_in_long_texts_are_refused(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        m.metadata["deepseek2.attention.temperature_scale"] = 0.1
        m.metadata["deepseek2.attention.temperature_length"] = 512

    with pytest.raises(ModelFileError, match="grow after 512 tokens"):
        logits(tmp_path, "deepseek-v3", change)


def test_a_file_that_leaves_no_layer_to_run_is_refused(tmp_path: Path) -> None:
    def change(m: Parts) -> None:
        m.metadata["glm4moe.nextn_predict_layers"] = 3

    with pytest.raises(ModelFileError, match="3 of 3 layers"):
        logits(tmp_path, "glm4moe", change)


def packed(shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Codes and scales of random MXFP4 weights, as checkpoints of gpt-oss have them."""
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, (*shape[:-1], shape[-1] // 32, 16), np.uint8)
    return codes, rng.integers(116, 123, codes.shape[:-1], np.uint8)


def unpacked(codes: NDArray[np.uint8], scales: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Their values: two neighbours a byte, the first in the low bits (OCP MX, 2023)."""
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
    table = np.concatenate([table, -table])
    values = np.stack([table[codes & 15], table[codes >> 4]], axis=-1)
    values = values.reshape(*codes.shape[:-1], 32)
    scaled = np.ldexp(values, scales.astype(np.int32)[..., None] - 127)
    return scaled.reshape(*codes.shape[:2], -1).astype(np.float32)


def test_experts_of_gpt_oss_stay_mxfp4(tmp_path: Path) -> None:
    golden = checkpoints.load_golden("gpt-oss")
    folder = checkpoints.write(tmp_path / "x", golden.about["config"], {})
    weights = golden.weights(checkpoints.spec("gpt-oss"))
    stored, values = {}, {}
    for name, array in weights.items():
        if not name.endswith((".gate_up_proj", ".down_proj")):
            stored[name] = ("F32", array)
            continue
        codes, scales = packed((array.shape[0], array.shape[2], array.shape[1]))
        stored |= {f"{name}_blocks": ("U8", codes), f"{name}_scales": ("U8", scales)}
        values[name.split(".")[2] + name.rsplit(".")[-1]] = unpacked(codes, scales)
    rows = [(name, dtype, a.shape, a) for name, (dtype, a) in stored.items()]
    write_safetensors(folder / "model.safetensors", rows)
    with open_model(folder) as file:
        for part, expected in (
            ("gate", values["0gate_up_proj"][:, ::2]),
            ("up", values["0gate_up_proj"][:, 1::2]),
            ("down", values["0down_proj"]),
        ):
            name = f"blk.0.ffn_{part}_exps.weight"
            info = file.tensors[name]
            assert info.dtype.name == "MXFP4"
            found = dequantize(info.dtype, file.data(name), info.shape)
            np.testing.assert_array_equal(found, expected)
    assert np.isfinite(load(folder, ReferenceBackend()).whole([1, 5, 9])).all()
