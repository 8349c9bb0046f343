"""Mamba: selective state spaces in place of attention and feed-forward (Gu & Dao 2023).

Mamba, and Falcon-Mamba, which brings steps and maps to a mean square of 1.
    x -> norm -> (values, gate) -> conv -> scan -> * silu(gate) -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; what attention would need is 0."""
    eps = config.get("layer_norm_epsilon", 1e-5)
    expect(config, "mixer_rms_eps", eps, None)
    return {
        "context_length": 2**20,  # there is no limit
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": eps,
        "ssm.conv_kernel": config["conv_kernel"],
        "ssm.inner_size": config["intermediate_size"],
        "ssm.state_size": config["state_size"],
        "ssm.time_step_rank": config["time_step_rank"],
        "ssm.dt_b_c_rms": config["model_type"] == "falcon_mamba",
        "vocab_size": config["vocab_size"],
    }


def tensors(_: Config) -> list[Tensor]:
    at, to = "backbone.layers.{i}.mixer.", "blk.{i}.ssm_"
    return [
        Tensor("backbone.embeddings", "token_embd"),
        Tensor("backbone.norm_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor("backbone.layers.{i}.norm", "blk.{i}.attn_norm"),
        Tensor(at + "in_proj", to + "in"),
        Tensor(at + "conv1d.weight", to + "conv1d.weight", lambda w: w.reshape(len(w), -1)),
        Tensor(at + "conv1d", to + "conv1d"),
        Tensor(at + "x_proj", to + "x"),
        Tensor(at + "dt_proj", to + "dt"),
        Tensor(at + "A_log", to + "a", lambda w: -np.exp(w)),
        Tensor(at + "D", to + "d"),
        Tensor(at + "out_proj", to + "out"),
    ]


@architecture("mamba")
class Mamba:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    eps: float = key("attention.layer_norm_rms_epsilon")
    inner: int = key("ssm.inner_size")
    state: int = key("ssm.state_size")
    rank: int = key("ssm.time_step_rank")
    normed: bool = key("ssm.dt_b_c_rms", default=False)

    checkpoints = (
        Checkpoint(
            "mamba",
            ("mamba", "falcon_mamba"),
            hyperparameters,
            tensors,
            rope_types=None,
            harmless=(
                "time_step_init_scheme",
                "time_step_floor",
                "time_step_max",
                "time_step_min",
                "time_step_scale",
                "d_inner",
                "d_model",
                "n_layer",
                "ssm_cfg",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd)
        for layer in w.blk:
            x = x + self.mixer(layer, x.rms_norm(layer.attn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def mixer(self, w: Weights, x: Value) -> Value:
        """State space in which each value is a head."""
        values, gate = x.linear(w.ssm_in).split(self.inner, self.inner)
        values = values.conv(w.ssm_conv1d).silu()
        parts = values.linear(w.ssm_x).split(self.rank, self.state, self.state)
        if self.normed:
            parts = [part.rms_norm(None, self.eps) for part in parts]
        dt, b, c = parts
        dt = dt.linear(w.ssm_dt).softplus()
        y = values.heads(self.inner).scan(dt, b.heads(1), c.heads(1), w.ssm_a, w.ssm_d)
        return (y.flatten() * gate.silu()).linear(w.ssm_out)
