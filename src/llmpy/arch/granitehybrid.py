"""Granite 4: most blocks a state space (Mamba 2), the others attention that knows no positions.

x -> norm -> state space or attention -> + -> norm -> swiglu or experts -> + -> ... -> logits
Constant factors on embeddings, scores, residual branches and logits, as in Granite 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import qkv, state_space
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    expect_no_limit,
    usual,
    usual_tensors,
)
from llmpy.arch.experts import Experts, expert_keys, gate_and_up
from llmpy.graph import Rope, Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; blocks without attention have 0 key heads. Some are
    Granite 3.
    """
    expect_no_limit(config, "time_step_limit")
    n_kv = config["num_key_value_heads"]
    attends = [kind in ("attention", "full_attention") for kind in config["layer_types"]]
    shared = config["shared_intermediate_size"]
    routed = config.get("num_local_experts")
    experts = expert_keys(config)
    rotates = config.get("position_embedding_type") == "rope"
    third = "granitemoe" if routed else "granite"
    return {
        "general.architecture": third if all(attends) and rotates else None,
        **usual(config),
        **(experts if routed else {"feed_forward_length": shared}),
        "attention.head_count_kv": [n_kv if each else 0 for each in attends],
        "expert_shared_feed_forward_length": shared if routed else None,
        "rope.scaling.finetuned": rotates,
        "attention.scale": config.get("attention_multiplier"),
        "embedding_scale": config.get("embedding_multiplier"),
        "residual_scale": config.get("residual_multiplier"),
        "logit_scale": config.get("logits_scaling"),
        "ssm.conv_kernel": config["mamba_d_conv"],
        "ssm.inner_size": config["mamba_expand"] * config["hidden_size"],
        "ssm.state_size": config["mamba_d_state"],
        "ssm.time_step_rank": config["mamba_n_heads"],
        "ssm.group_count": config["mamba_n_groups"],
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose gate and up are one matrix; without experts
    the shared one is all.
    """
    at, to = "model.layers.{i}.", "blk.{i}."
    moe, mamba = at + "block_sparse_moe.", at + "mamba."
    shared = "_shexp" if config.get("num_local_experts") else ""
    routed = (to + "ffn_gate_exps.weight", to + "ffn_up_exps.weight")
    both = tuple(f"{to}ffn_{part}{shared}.weight" for part in ("gate", "up"))
    return [
        *usual_tensors(config, pairs=True),
        Tensor(mamba + "in_proj", to + "ssm_in"),
        Tensor(mamba + "conv1d.weight", to + "ssm_conv1d.weight", lambda w: w.reshape(len(w), -1)),
        Tensor(mamba + "conv1d", to + "ssm_conv1d"),
        Tensor(mamba + "dt_bias", to + "ssm_dt.bias"),
        Tensor(mamba + "A_log", to + "ssm_a", lambda w: -np.exp(w)[:, None]),
        Tensor(mamba + "D", to + "ssm_d", lambda w: w[:, None]),
        Tensor(mamba + "norm", to + "ssm_norm", lambda w: w.reshape(config["mamba_n_groups"], -1)),
        Tensor(mamba + "out_proj", to + "ssm_out"),
        Tensor(moe + "router.layer", to + "ffn_gate_inp"),
        Tensor(moe + "router", to + "ffn_gate_inp"),
        Tensor(moe + "input_linear.weight", routed, gate_and_up),
        Tensor(moe + "experts.gate_up_proj", routed, gate_and_up),
        Tensor(moe + "output_linear", to + "ffn_down_exps"),
        Tensor(moe + "experts.down_proj", to + "ffn_down_exps.weight"),
        Tensor(at + "shared_mlp.input_linear.weight", both, gate_and_up),
        Tensor(at + "shared_mlp.output_linear", f"{to}ffn_down{shared}"),
    ]


@architecture("granitehybrid")
class GraniteHybrid(Experts):
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_head: int = key("attention.head_count")
    n_kv: tuple[int, ...] = key("attention.head_count_kv", least=0)  # 0: no attention there
    eps: float = key("attention.layer_norm_rms_epsilon")
    rotates: bool = key("rope.scaling.finetuned", default=True)
    rope_base: float = key("rope.freq_base", default=10_000.0, least=1, most=3e38)
    inner: int = key("ssm.inner_size")
    state: int = key("ssm.state_size")
    groups: int = key("ssm.group_count")
    n_expert: int = key("expert_count", default=0, least=0)
    n_used: int = key("expert_used_count", default=0, least=0)
    normalize: bool = key("expert_weights_norm", default=True)
    scale: float = key("attention.scale", default=0.0)
    embedding_scale: float = key("embedding_scale", default=0.0)
    residual_scale: float = key("residual_scale", default=0.0)
    logit_scale: float = key("logit_scale", default=1.0, least=1e-30)

    checkpoints = (Checkpoint("granitehybrid", ("granitemoehybrid",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        """Wire the whole model; a factor of 0 is none."""
        branch = self.residual_scale or 1.0
        x = tokens.embed(w.token_embd).scale(self.embedding_scale or 1.0)
        for layer, n_kv in zip(w.blk, self.n_kv, strict=True):
            y = x.rms_norm(layer.attn_norm, self.eps)
            x = x + (self.attention(layer, y, n_kv) if n_kv else self.mix(layer, y)).scale(branch)
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps)).scale(branch)
        y = x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)
        return y.scale(1.0 / self.logit_scale)

    def mix(self, w: Weights, x: Value) -> Value:
        """A state space."""
        return state_space(w, x, self.inner, self.state, self.groups, self.eps)

    def attention(self, w: Weights, x: Value, n_kv: int) -> Value:
        """Grouped-query attention with a scale of its own, rotary in a few relatives."""
        q, k, v = qkv(w, x, self.n_head, n_kv)
        if self.rotates:
            rope = Rope(q.shape[1], self.rope_base, neox=False)
            q, k = q.rope(rope), k.rope(rope)
        return q.attend(k.cached(), v.cached(), scale=self.scale or None).linear(w.attn_output)
