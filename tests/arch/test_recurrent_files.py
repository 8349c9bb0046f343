"""Files of recurrent models in the layouts of other writers: the same logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from llmpy.checkpoint.open import open_model
from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError
from llmpy.format.gguf_write import write_gguf
from tests.arch import checkpoints
from tests.arch.steps import Logits, load, make_backend

Array = NDArray[np.float32]
Tensors = dict[str, Array]
Metadata = dict[str, Any]
TOKENS = [int(token) for token in checkpoints.prompt(264)]


def converted(name: str, folder: Path) -> tuple[Metadata, Tensors]:
    """The tiny model of that name as our converter makes it."""
    golden = checkpoints.load_golden(name)
    at = folder / name
    checkpoints.write(at, golden.about["config"], golden.weights(checkpoints.spec(name)))
    with open_model(at) as file:
        keys = {k: v for k, v in file.metadata.items() if not k.startswith("tokenizer")}
        tensors = {
            name: np.array(file.data(name)).view(np.float32).reshape(info.shape)
            for name, info in file.tensors.items()
        }
    return keys, tensors


def logits(folder: Path, metadata: Mapping[str, Any], tensors: Tensors) -> Logits:
    stored = [(n, BY_NAME["F32"], a.shape, np.ascontiguousarray(a)) for n, a in tensors.items()]
    write_gguf(folder / "model.gguf", metadata, stored)
    return load(folder / "model.gguf", make_backend("reference")).whole(TOKENS)


def near(found: Logits, name: str) -> None:
    golden = checkpoints.load_golden(name).logits
    assert np.abs(found - golden).max() < 2e-5 * np.abs(golden).max()


def qwen3next_by_key_head(_: Metadata, tensors: Tensors) -> None:
    """Early files have queries, keys, values and gates of each key head together."""
    for i in (0, 2):
        qkv = tensors.pop(f"blk.{i}.attn_qkv.weight")
        gate = tensors.pop(f"blk.{i}.attn_gate.weight")
        q, k, v = np.split(qkv, [32, 64])
        by_head = [part.reshape(2, -1, 48) for part in (q, k, v, gate)]
        tensors[f"blk.{i}.ssm_in.weight"] = np.concatenate(by_head, axis=1).reshape(-1, 48)


def qwen3next_by_interval(metadata: Metadata, _: Tensors) -> None:
    """Every second block has attention."""
    del metadata["qwen3next.attention.recurrent_layers"]
    metadata["qwen3next.full_attention_interval"] = 2


def qwen3next_that_predicts(metadata: Metadata, tensors: Tensors) -> None:
    """One more block, which is not run."""
    metadata["qwen3next.block_count"] = 4
    metadata["qwen3next.nextn_predict_layers"] = 1
    metadata["qwen3next.attention.recurrent_layers"] = [True, False, True, False]
    for name in [n for n in tensors if n.startswith("blk.1.")]:
        tensors[name.replace("blk.1.", "blk.3.")] = tensors[name]
    tensors["blk.3.nextn.eh_proj.weight"] = np.ones((48, 96), np.float32)


def shared_gate_as_a_row(_: Metadata, tensors: Tensors) -> None:
    for name in [n for n in tensors if n.endswith("ffn_gate_inp_shexp.weight")]:
        tensors[name] = tensors[name].reshape(1, -1)


def ffn_norm_with_its_usual_name(_: Metadata, tensors: Tensors) -> None:
    for i in range(2):
        tensors[f"blk.{i}.ffn_norm.weight"] = tensors.pop(f"blk.{i}.ffn_norm")


def mamba_of_old(metadata: Metadata, _: Tensors) -> None:
    del metadata["mamba.ssm.dt_b_c_rms"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("qwen3_next", qwen3next_by_key_head),
        ("qwen3_next", qwen3next_by_interval),
        ("qwen3_next", qwen3next_that_predicts),
        ("qwen3_next", shared_gate_as_a_row),
        ("falcon_h1", ffn_norm_with_its_usual_name),
        ("mamba", mamba_of_old),
    ],
)
def test_other_layouts_give_the_same_logits(
    name: str, change: Callable[[Metadata, Tensors], None], tmp_path: Path
) -> None:
    metadata, tensors = converted(name, tmp_path)
    change(metadata, tensors)
    near(logits(tmp_path, metadata, tensors), name)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("mamba", "mamba.ssm.inner_size", 81),
        ("mamba", "mamba.ssm.state_size", 0),
        ("mamba", "mamba.ssm.time_step_rank", 4),
        ("mamba2", "mamba2.ssm.group_count", 4),
        ("mamba2", "mamba2.ssm.state_size", 1 << 30),
        ("falcon_h1", "falcon-h1.ssm.inner_size", 128),
        ("lfm2", "lfm2.attention.head_count_kv", [0, 2]),
        ("lfm2", "lfm2.attention.head_count_kv", [0, 0, 2]),
        ("lfm2", "lfm2.attention.head_count_kv", [0, -2, 0]),
        ("qwen3_next", "qwen3next.ssm.group_count", 3),
        ("qwen3_next", "qwen3next.ssm.group_count", 8),
        ("qwen3_next", "qwen3next.ssm.time_step_rank", 1),
        ("qwen3_next", "qwen3next.ssm.state_size", 1 << 30),
        ("qwen3_next", "qwen3next.attention.recurrent_layers", [True, True, False]),
        ("qwen3_next", "qwen3next.attention.recurrent_layers", [True]),
    ],
)
def test_metadata_that_do_not_fit_are_refused(
    name: str, key: str, value: Any, tmp_path: Path
) -> None:
    metadata, tensors = converted(name, tmp_path)
    assert key in metadata
    with pytest.raises(ModelFileError):
        logits(tmp_path, metadata | {key: value}, tensors)


def test_a_wrong_convolution_is_refused(tmp_path: Path) -> None:
    metadata, tensors = converted("mamba", tmp_path)
    tensors["blk.0.ssm_conv1d.weight"] = tensors["blk.0.ssm_conv1d.weight"][:, :1]
    with pytest.raises(ModelFileError, match=r"expected shape \(80, 2 or more\)"):
        logits(tmp_path, metadata, tensors)
