"""Rules of checkpoints that the goldens do not show."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import checkpoints
from llmpy.arch.checkpoint import Tensor, ungrouped

SIZES = {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8,
    "rms_norm_eps": 1e-6, "vocab_size": 10,
}  # fmt: skip


def rule(kind: str, config: dict[str, Any], source: str) -> Tensor:
    """The first rule of a model_type that takes this name."""
    return next(t for t in checkpoints()[kind].tensors(config) if t.source == source)


def test_rows_in_groups_become_all_queries_all_keys_all_values() -> None:
    rows = ["q0", "q1", "k0", "v0", "q2", "q3", "k1", "v1"]  # heads of two values, four queries
    w = np.array([f"{row}{half}" for row in rows for half in "ab"])
    expected = ["q0", "q1", "q2", "q3", "k0", "k1", "v0", "v1"]
    assert ungrouped(w, 4, 2).tolist() == [f"{row}{half}" for row in expected for half in "ab"]


def test_the_output_rows_of_baichuan_2_have_length_one() -> None:
    second = {**SIZES, "vocab_size": 125_696, "max_position_embeddings": 16}
    change = rule("baichuan", second, "lm_head").change
    assert change is not None
    w = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    np.testing.assert_allclose(change(w), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    assert rule("baichuan", {**SIZES, "max_position_embeddings": 16}, "lm_head").change is None


def test_baichuan_13b_calls_its_context_by_another_name() -> None:
    metadata = checkpoints()["baichuan"].metadata({**SIZES, "model_max_length": 4096})
    assert metadata["context_length"] == 4096


def test_nomic_bert_trusts_the_trained_context_of_its_first_configurations() -> None:
    metadata = checkpoints()["nomic_bert"].metadata(
        {
            "n_embd": 8, "n_layer": 2, "n_head": 2, "n_inner": 8, "layer_norm_epsilon": 1e-12,
            "rotary_emb_base": 1000, "n_positions": 8192, "max_trained_positions": 2048,
            "vocab_size": 10, "activation_function": "swiglu", "prenorm": False,
        }
    )  # fmt: skip
    assert metadata["context_length"] == 2048
    assert metadata["rope.freq_base"] == 1000.0
    assert metadata["feed_forward_length"] == 8
