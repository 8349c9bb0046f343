"""Trained RWKV models of other hands, in the container of rwkv.cpp: the logits that were published.

RWKV-4 has no name in GGUF: its wiring is here, over the operations. RWKV-7 goes through its
architecture, from GGUF and from a checkpoint.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from llmpy.dtypes import BY_NAME
from llmpy.format.gguf_write import write_gguf
from llmpy.graph import Value, Weights
from tests.arch import checkpoints
from tests.arch.steps import load, make_backend
from tests.ops.harness import Model

Array = NDArray[np.float32]
PROMPT = list(b'"in')  # tokens are bytes
NEAR = 2e-6  # of the largest logit
backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


def container(path: Path) -> dict[str, Array]:
    """The tensors of a file of rwkv.cpp: dimensions there begin with the innermost."""
    data = path.read_bytes()
    magic, _, _, _, _, dtype = struct.unpack_from("<6I", data)
    assert (magic, dtype) == (0x67676D66, 0)
    at, tensors = 24, {}
    while at < len(data):
        n_dims, n_name, _ = struct.unpack_from("<3I", data, at)
        at += 12
        shape = struct.unpack_from(f"<{n_dims}I", data, at)[::-1]
        at += 4 * n_dims
        name = data[at : at + n_name].decode()
        at += n_name
        n = math.prod(shape)
        tensors[name] = np.frombuffer(data, "<f4", n, at).reshape(shape)
        at += 4 * n
    return tensors


def near(found: Array, path: Path) -> None:
    expected = np.frombuffer(path.read_bytes(), "<f4")
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < NEAR * np.abs(expected).max()


# RWKV-4

NAMES_4 = {
    r"blocks\.0\.ln0": "token_embd_norm",
    r"ln_out": "output_norm",
    r"head": "output",
    r"blocks\.(\d+)\.ln1": r"blk.\1.attn_norm",
    r"blocks\.(\d+)\.ln2": r"blk.\1.attn_norm_2",
    r"blocks\.(\d+)\.att\.time_(first|decay)": r"blk.\1.time_mix_\2.weight",
    r"blocks\.(\d+)\.att\.time_mix_(.)": r"blk.\1.time_mix_lerp_\2.weight",
    r"blocks\.(\d+)\.ffn\.time_mix_(.)": r"blk.\1.channel_mix_lerp_\2.weight",
    r"blocks\.(\d+)\.att\.(\w+)": r"blk.\1.time_mix_\2",
    r"blocks\.(\d+)\.ffn\.(\w+)": r"blk.\1.channel_mix_\2",
}


def renamed(name: str, names: dict[str, str]) -> str:
    for pattern, to in names.items():
        if found := re.fullmatch(pattern + r"(?P<kind>\.weight|\.bias)?", name):
            return found.expand(to) + (found["kind"] or "")
    raise AssertionError(name)


def rwkv4(x: Value, w: Weights) -> Value:
    """Peng et al. 2023."""
    eps = 1e-5

    def mixed(x: Value, lerp: Weights) -> Value:
        before = x.previous()
        return before + (x - before).mul(lerp)

    x = x.layer_norm(w.token_embd_norm, eps)
    for layer in Weights(w.shapes, n_blocks=4).blk:
        y = x.layer_norm(layer.attn_norm, eps)
        r = mixed(y, layer.time_mix_lerp_r).linear(layer.time_mix_receptance).sigmoid()
        k = mixed(y, layer.time_mix_lerp_k).linear(layer.time_mix_key)
        v = mixed(y, layer.time_mix_lerp_v).linear(layer.time_mix_value)
        y = r * k.wkv4(v, layer.time_mix_first, layer.time_mix_decay)
        x = x + y.linear(layer.time_mix_output)
        y = x.layer_norm(layer.attn_norm_2, eps)
        r = mixed(y, layer.channel_mix_lerp_r).linear(layer.channel_mix_receptance).sigmoid()
        k = mixed(y, layer.channel_mix_lerp_k).linear(layer.channel_mix_key).relu()
        x = x + r * (k * k).linear(layer.channel_mix_value)
    return x.layer_norm(w.output_norm, eps).linear(w.output)


@backends
def test_rwkv4_gives_the_published_logits(backend: str, shared_data: Callable[[str], Path]) -> None:
    tensors = container(shared_data("weights/rwkv/tiny-rwkv-4v0-660K-FP32.bin"))
    table = tensors.pop("emb.weight")
    weights = {renamed(name, NAMES_4): ("F32", array) for name, array in tensors.items()}
    model = Model(make_backend(backend), table, rwkv4, weights)
    whole = model.read(PROMPT)
    near(whole[-1], shared_data("weights/rwkv/expected-logits-4v0-660K.bin"))
    np.testing.assert_array_equal(model.read(PROMPT, 1), whole)


# RWKV-7

NAMES_7 = {
    r"emb": "token_embd",
    r"blocks\.0\.ln0": "token_embd_norm",
    r"ln_out": "output_norm",
    r"head": "output",
    r"blocks\.(\d+)\.ln1": r"blk.\1.attn_norm",
    r"blocks\.(\d+)\.ln2": r"blk.\1.attn_norm_2",
    r"blocks\.(\d+)\.att\.x_rwkvag": r"blk.\1.time_mix_lerp_fused.weight",
    r"blocks\.(\d+)\.att\.([wavg][012]|k_k|k_a|r_k)": r"blk.\1.time_mix_\2.weight",
    r"blocks\.(\d+)\.att\.ln_x": r"blk.\1.time_mix_ln",
    r"blocks\.(\d+)\.att\.(\w+)": r"blk.\1.time_mix_\2",
    r"blocks\.(\d+)\.ffn\.x_k": r"blk.\1.channel_mix_lerp_k.weight",
    r"blocks\.(\d+)\.ffn\.(\w+)": r"blk.\1.channel_mix_\2",
}
SIZES = {"hidden_size": 64, "num_hidden_layers": 12, "head_dim": 64, "norm_eps": 1e-5}
CONFIG = SIZES | {"model_type": "rwkv7", "vocab_size": 256, "intermediate_size": 256} | {
    f"{part}_low_rank_dim": 32 for part in ("decay", "a", "v", "gate")
}  # fmt: skip
METADATA = {
    "general.architecture": "rwkv7", "rwkv7.context_length": 1024, "rwkv7.embedding_length": 64,
    "rwkv7.block_count": 12, "rwkv7.attention.layer_norm_epsilon": 1e-5, "rwkv7.wkv.head_size": 64,
}  # fmt: skip


@backends
def test_rwkv7_gives_the_published_logits(
    backend: str, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    tensors = container(shared_data("weights/rwkv/tiny-rwkv-7v0-834K-FP32.bin"))
    stored = []
    for name, array in tensors.items():
        target = renamed(name, NAMES_7)
        fused = target.endswith("fused.weight")
        array = array.reshape(6, 1, 1, -1) if fused else array.squeeze()
        stored.append((target, BY_NAME["F32"], array.shape, array))
    write_gguf(tmp_path / "rwkv7.gguf", METADATA, stored)
    runner = load(tmp_path / "rwkv7.gguf", make_backend(backend))
    whole = runner.whole(PROMPT)
    near(whole[-1], shared_data("weights/rwkv/expected-logits-7v0-834K.bin"))
    np.testing.assert_array_equal(runner.read(PROMPT, [1, 1, 1]), whole)


def as_checkpoint(tensors: dict[str, Array]) -> dict[str, Array]:
    """Under the names of flash-linear-attention."""
    names = {"emb": "model.embeddings", "ln_out": "model.norm", "head": "lm_head"}
    names |= {"receptance": "r_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
    names |= {"0": "2.bias", "1": "0.weight", "2": "2.weight"}
    result: dict[str, Array] = {}
    for name, array in tensors.items():
        first, *rest = name.split(".")
        if first != "blocks":
            result[f"{names[first]}.{rest[0]}"] = array
            continue
        i, part, *rest = rest
        at = f"model.layers.{i}."
        if part in ("ln0", "ln1", "ln2"):
            to = {"ln0": "pre_norm", "ln1": "attn_norm", "ln2": "ffn_norm"}[part]
            result[f"{at}{to}.{rest[0]}"] = array
        elif part == "ffn":
            result[f"{at}ffn.{'.'.join(rest)}"] = array
        elif rest[0] == "x_rwkvag":
            for letter, row in zip("rwkvag", array, strict=True):
                result[f"{at}attn.x_{letter}"] = row.reshape(1, 1, -1)
        elif rest[0] == "ln_x":
            result[f"{at}attn.g_norm.{rest[1]}"] = array
        elif re.fullmatch("[wavg][012]", rest[0]):
            letter, number = rest[0]
            result[f"{at}attn.{letter}_lora.lora.{names[number]}"] = array.squeeze()
        elif rest[0] in names:
            result[f"{at}attn.{names[rest[0]]}.weight"] = array
        else:
            shape = (1, 64) if rest[0] == "r_k" else (64,)
            result[f"{at}attn.{rest[0]}"] = array.reshape(shape)
    return result


def test_a_checkpoint_of_rwkv7_gives_the_published_logits(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    tensors = container(shared_data("weights/rwkv/tiny-rwkv-7v0-834K-FP32.bin"))
    config = CONFIG | {"tie_word_embeddings": False}
    folder = checkpoints.write(tmp_path / "rwkv7", config, as_checkpoint(tensors))
    runner = load(folder, make_backend("reference"))
    near(runner.whole(PROMPT)[-1], shared_data("weights/rwkv/expected-logits-7v0-834K.bin"))
