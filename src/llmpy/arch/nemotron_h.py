"""Nemotron-H, Nemotron Nano 2 and Nemotron 3: blocks of one half each (NVIDIA 2025).

x -> norm -> state space, attention without positions, or relu^2 feed-forward -> + -> ... -> logits
The state spaces are those of Mamba 2; the feed-forwards may be experts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import qkv, state_space
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, expect_no_limit
from llmpy.arch.experts import Experts, Predicting, expert_keys
from llmpy.graph import Value, Weights

KINDS = {
    "M": "mamba", "linear_attention": "mamba", "mamba": "mamba", "-": "mlp", "mlp": "mlp",
    "*": "attention", "full_attention": "attention", "attention": "attention", "E": "moe",
    "moe": "moe",
}  # fmt: skip


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; blocks have 0 key heads or a feed-forward length of 0
    for what they lack.
    """
    expect(config, "mamba_hidden_act", "silu")
    least = config.get("time_step_min")  # of a step, to which it is raised
    if least is not None and not 0 <= least <= 1e-3:
        expect(config, "time_step_min", 0.001)
    expect_no_limit(config, "time_step_limit")
    pattern = config.get("hybrid_override_pattern") or config["layers_block_type"]
    for kind in pattern:
        expect({"layers_block_type": kind}, "layers_block_type", *KINDS)
    kinds = [KINDS[kind] for kind in pattern]
    moe = "moe" in kinds
    if moe:
        expect({"layers_block_type": "mlp" in kinds}, "layers_block_type", False)
    n_kv = config["num_key_value_heads"]
    experts, dense = _of_experts(config), config.get("intermediate_size")
    n_ff = config["moe_intermediate_size"] if moe else dense
    return {
        **(experts if moe else {}),
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "block_count": len(kinds),
        "feed_forward_length": [n_ff if kind in ("mlp", "moe") else 0 for kind in kinds],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": [n_kv if kind == "attention" else 0 for kind in kinds],
        "attention.key_length": config["head_dim"],
        "attention.value_length": config["head_dim"],
        "attention.layer_norm_epsilon": config["layer_norm_epsilon"],
        "attention.layer_norm_rms_epsilon": config["layer_norm_epsilon"],
        "ssm.conv_kernel": config["conv_kernel"],
        "ssm.inner_size": config["mamba_num_heads"] * config["mamba_head_dim"],
        "ssm.state_size": config["ssm_state_size"],
        "ssm.time_step_rank": config["mamba_num_heads"],
        "ssm.group_count": config["n_groups"],
        "rope.dimension_count": config["head_dim"],  # which no block uses
        "vocab_size": config["vocab_size"],
    }


def _of_experts(config: Config) -> dict[str, Any]:
    shared = config.get("moe_shared_expert_intermediate_size")
    return {
        "general.architecture": "nemotron_h_moe",
        **expert_keys(config),
        "expert_shared_feed_forward_length": shared,
        "expert_gating_func": 2,
        "moe_latent_size": config.get("moe_latent_size"),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, old ones with "backbone." before all names."""
    groups, rules = config["n_groups"], [Tensor("lm_head", "output")]
    for top in ("backbone.", "model."):
        at, to = top + "layers.{i}.mixer.", "blk.{i}."
        rules += [
            Tensor(top + "embeddings", "token_embd"),
            Tensor(top + "norm_f", "output_norm"),
            Tensor(top + "layers.{i}.norm", to + "attn_norm"),
            Tensor(at + "in_proj", to + "ssm_in"),
            Tensor(at + "conv1d.weight", to + "ssm_conv1d.weight", lambda w: w.reshape(len(w), -1)),
            Tensor(at + "conv1d", to + "ssm_conv1d"),
            Tensor(at + "dt_bias", to + "ssm_dt.bias"),
            Tensor(at + "A_log", to + "ssm_a", lambda w: -np.exp(w)[:, None]),
            Tensor(at + "D", to + "ssm_d", lambda w: w[:, None]),
            Tensor(at + "norm", to + "ssm_norm", lambda w: w.reshape(groups, -1)),
            Tensor(at + "out_proj", to + "ssm_out"),
            Tensor(at + "q_proj", to + "attn_q"),
            Tensor(at + "k_proj", to + "attn_k"),
            Tensor(at + "v_proj", to + "attn_v"),
            Tensor(at + "o_proj", to + "attn_output"),
            Tensor(at + "up_proj", to + "ffn_up"),
            Tensor(at + "down_proj", to + "ffn_down"),
            Tensor(at + "gate", to + "ffn_gate_inp"),
            Tensor(at + "gate.e_score_correction_bias", to + "exp_probs_b.bias"),
            Tensor(at + "fc1_latent_proj", to + "ffn_latent_down"),
            Tensor(at + "fc2_latent_proj", to + "ffn_latent_up"),
        ]
        for part in ("up", "down"):
            rules += [
                Tensor(f"{at}experts.{part}_proj", f"{to}ffn_{part}_exps.weight"),
                Tensor(at + f"experts.{{e}}.{part}_proj", f"{to}ffn_{part}_exps"),
                Tensor(f"{at}shared_experts.{part}_proj", f"{to}ffn_{part}_shexp"),
            ]
    return rules


@architecture("nemotron_h", "nemotron_h_moe")
class NemotronH(Experts, Predicting):
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_head: int = key("attention.head_count")
    n_kv: tuple[int, ...] = key("attention.head_count_kv", least=0)  # 0: no attention there
    eps: float = key("attention.layer_norm_epsilon")
    eps_rms: float = key("attention.layer_norm_rms_epsilon", default="eps")
    inner: int = key("ssm.inner_size")
    state: int = key("ssm.state_size")
    groups: int = key("ssm.group_count")
    n_expert: int = key("expert_count", default=0, least=0)
    n_used: int = key("expert_used_count", default=0, least=0)

    checkpoints = (
        Checkpoint(
            "nemotron_h",
            ("nemotron_h",),
            hyperparameters,
            tensors,
            activation=("relu2",),
            rope_types=None,
            harmless=(
                "time_step_init_scheme",
                "time_step_floor",
                "time_step_max",
                "time_step_min",
                "intermediate_size",
                "moe_*",
                "n_group",
                "topk_group",
                "n_routed_experts",
                "n_shared_experts",
                "norm_topk_prob",
                "num_experts_per_tok",
                "routed_scaling_factor",
                "rope_theta",
                "partial_rotary_factor",
                "attention_head_dim",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd)
        for layer, n_kv in zip(w.blk[: self.n_run], self.n_kv, strict=False):
            y = x.rms_norm(layer.attn_norm, self.eps_rms)
            if layer.ssm_in:
                x = x + self.mix(layer, y)
            elif n_kv:
                x = x + self.attention(layer, y, n_kv)
            else:
                x = x + self.feed_forward(layer, y)
        return x.rms_norm(w.output_norm, self.eps_rms).linear(w.output or w.token_embd)

    def mix(self, w: Weights, x: Value) -> Value:
        """A state space."""
        return state_space(w, x, self.inner, self.state, self.groups, self.eps_rms)

    def attention(self, w: Weights, x: Value, n_kv: int) -> Value:
        """Grouped-query attention; the state spaces know the order of tokens."""
        q, k, v = qkv(w, x, self.n_head, n_kv)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """A plain one, or those that a router chooses and one that is always there."""
        if not w.ffn_gate_inp:
            return squared(x, w.ffn_up, w.ffn_down)
        return self.routed(w, x) + squared(x, w.ffn_up_shexp, w.ffn_down_shexp)

    def routed(self, w: Weights, x: Value, activation: str = "relu") -> Value:
        """Experts without a gate, perhaps of fewer values: relu(u)^2 is relu(u) gating u."""
        bias = f"{w.exp_probs_b.name}.bias"
        router_weights = x.linear(w.ffn_gate_inp).route(
            self.n_used,
            gating="sigmoid",
            normalize=self.normalize,
            factor=self.factor or 1.0,
            bias=bias if bias in w.shapes else "",
            groups=(self.n_group or 1, self.n_group_used or 1),
        )
        inner = x.linear(w.ffn_latent_down) if w.ffn_latent_down else x
        up, down = w.ffn_up_exps, w.ffn_down_exps
        y = inner.moe(router_weights, up, up, down, self.n_used, activation)
        return y.linear(w.ffn_latent_up) if w.ffn_latent_up else y


def squared(x: Value, up: Weights, down: Weights) -> Value:
    """down(relu(up x)^2) (So et al. 2021)."""
    y = x.linear(up).relu()
    return (y * y).linear(down)
