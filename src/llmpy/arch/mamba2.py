"""Mamba 2: state spaces whose heads share a step, in place of attention (Dao & Gu 2024).

Mamba 2, Codestral Mamba.
    x -> norm -> state space -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import state_space
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect_no_limit
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; what attention would need is 0."""
    expect_no_limit(config, "time_step_limit")
    return {
        "context_length": 2**20,  # there is no limit
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": config.get("layer_norm_epsilon", 1e-5),
        "ssm.conv_kernel": config["conv_kernel"],
        "ssm.inner_size": config["num_heads"] * config["head_dim"],
        "ssm.state_size": config["state_size"],
        "ssm.time_step_rank": config["num_heads"],
        "ssm.group_count": config["n_groups"],
        "vocab_size": config["vocab_size"],
    }


def tensors(config: Config) -> list[Tensor]:
    groups = config["n_groups"]
    at, to = "backbone.layers.{i}.mixer.", "blk.{i}.ssm_"
    return [
        Tensor("backbone.embeddings", "token_embd"),
        Tensor("backbone.norm_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor("backbone.layers.{i}.norm", "blk.{i}.attn_norm"),
        Tensor(at + "in_proj", to + "in"),
        Tensor(at + "conv1d.weight", to + "conv1d.weight", lambda w: w.reshape(len(w), -1)),
        Tensor(at + "conv1d", to + "conv1d"),
        Tensor(at + "dt_bias", to + "dt.bias"),
        Tensor(at + "A_log", to + "a", lambda w: -np.exp(w)[:, None]),
        Tensor(at + "D", to + "d", lambda w: w[:, None]),
        Tensor(at + "norm", to + "norm", lambda w: w.reshape(groups, -1)),
        Tensor(at + "out_proj", to + "out"),
    ]


@architecture("mamba2")
class Mamba2:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    eps: float = key("attention.layer_norm_rms_epsilon")
    inner: int = key("ssm.inner_size")
    state: int = key("ssm.state_size")
    groups: int = key("ssm.group_count")

    checkpoints = (
        Checkpoint(
            "mamba2",
            ("mamba2",),
            hyperparameters,
            tensors,
            rope_types=None,
            harmless=(
                "time_step_init_scheme",
                "time_step_floor",
                "time_step_max",
                "time_step_min",
                "time_step_rank",
                "norm_before_gate",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd)
        for layer in w.blk:
            normed = x.rms_norm(layer.attn_norm, self.eps)
            x = x + state_space(layer, normed, self.inner, self.state, self.groups, self.eps)
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)
