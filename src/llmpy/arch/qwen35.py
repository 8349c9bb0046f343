"""Qwen 3.5, its text: gated delta nets in most blocks, gated attention in the others.

x -> norm -> delta net or attention -> + -> norm -> swiglu or experts -> + -> ... -> logits
The delta rule is that of Qwen3-Next (Yang et al. 2025); files have value heads in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import (
    Array,
    Checkpoint,
    Config,
    Tensor,
    around_zero,
    usual,
    usual_tensors,
    without_prediction,
)
from llmpy.arch.experts import Experts, Predicting, expert_keys, expert_tensors
from llmpy.arch.rope_config import rope_sections
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

UNIT_EPS = 1e-6  # of queries and keys of length 1, whatever the epsilon of the norms is


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; positions of text are the same in all sections of the
    rotation.
    """
    n, every = config["num_hidden_layers"], config.get("full_attention_interval") or 4
    usually = ["linear" if (i + 1) % every else "full" for i in range(n)]
    types = config.get("layer_types") or usually
    return {
        **usual(config, rotates=0.25),
        **(_of_experts(config) if "num_experts" in config else {}),
        "rope.dimension_sections": rope_sections(config, usually=(11, 11, 10)),
        "ssm.conv_kernel": config["linear_conv_kernel_dim"],
        "ssm.state_size": config["linear_key_head_dim"],
        "ssm.group_count": config["linear_num_key_heads"],
        "ssm.time_step_rank": config["linear_num_value_heads"],
        "ssm.inner_size": config["linear_num_value_heads"] * config["linear_value_head_dim"],
        "attention.recurrent_layers": [kind.startswith("linear") for kind in types],
    }


def _of_experts(config: Config) -> dict[str, Any]:
    shared = config["shared_expert_intermediate_size"]
    return {**expert_keys(config), "expert_shared_feed_forward_length": shared}


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose norms are around 0; what predicts further
    tokens is left out.
    """
    at, to = "model.layers.{i}.", "blk.{i}."
    net, tiled = at + "linear_attn.", _tiled(config)
    n_values = config["linear_num_value_heads"] * config["linear_value_head_dim"]

    def last(w: Array) -> Array:
        """Queries and keys as they are, then the values."""
        w = w.reshape(len(w), -1)
        return np.concatenate([w[:-n_values], tiled(w[-n_values:])])

    norms = {
        "model.norm": "output_norm",
        at + "input_layernorm": to + "attn_norm",
        at + "post_attention_layernorm": to + "post_attention_norm",
        at + "self_attn.q_norm": to + "attn_q_norm",
        at + "self_attn.k_norm": to + "attn_k_norm",
    }
    return without_prediction(
        [
            *around_zero(norms),
            Tensor(net + "in_proj_qkv", to + "attn_qkv", last),
            Tensor(net + "in_proj_z", to + "attn_gate", tiled),
            Tensor(net + "in_proj_b", to + "ssm_beta", tiled),
            Tensor(net + "in_proj_a", to + "ssm_alpha", tiled),
            Tensor(net + "conv1d.weight", to + "ssm_conv1d.weight", last),
            Tensor(net + "dt_bias", to + "ssm_dt.bias", tiled),
            Tensor(net + "A_log", to + "ssm_a", lambda w: -np.exp(tiled(w))),
            Tensor(net + "norm", to + "ssm_norm"),
            Tensor(net + "out_proj", to + "ssm_out", lambda w: np.ascontiguousarray(tiled(w.T).T)),
            *expert_tensors(),
            Tensor(
                at + "mlp.shared_expert_gate", to + "ffn_gate_inp_shexp", lambda w: w.reshape(-1)
            ),
            *usual_tensors(config),
        ]
    )


def _tiled(config: Config) -> Callable[[Array], Array]:
    """Rows of value heads from groups that share a key to one head of each group in turn."""
    n_key, n_value = config["linear_num_key_heads"], config["linear_num_value_heads"]

    def change(w: Array) -> Array:
        groups = w.reshape(n_key, n_value // n_key, len(w) // n_value, *w.shape[1:])
        return np.ascontiguousarray(groups.swapaxes(0, 1)).reshape(w.shape)

    return change


@architecture("qwen35", "qwen35moe")
class Qwen35(Rotary, Experts, Predicting):
    eps: float = key("attention.layer_norm_rms_epsilon")
    n_expert: int = key("expert_count", default=0, least=0)
    n_used: int = key("expert_used_count", default=0, least=0)
    normalize: bool = key("expert_weights_norm", default=True)
    d_key: int = key("ssm.state_size")
    n_key: int = key("ssm.group_count")
    n_value: int = key("ssm.time_step_rank")
    inner: int = key("ssm.inner_size")
    recurrent: tuple[bool, ...] = key("attention.recurrent_layers", default=())
    interval: int = key("full_attention_interval", default=4)

    checkpoints = (
        Checkpoint("qwen35", ("qwen3_5_text",), hyperparameters, tensors),
        Checkpoint("qwen35moe", ("qwen3_5_moe_text",), hyperparameters, tensors),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for i, layer in enumerate(w.blk[: self.n_run]):
            recurrent = self.recurrent[i] if self.recurrent else (i + 1) % self.interval != 0
            mix = self.delta_net if recurrent else self.attention
            x = x + mix(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.post_attention_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention, whose result is gated by a part of its queries."""
        q, gate = x.linear(w.attn_q).heads(self.n_head).split(self.d_head, self.d_head)
        q = q.rms_norm(w.attn_q_norm, self.eps)
        k = x.linear(w.attn_k).heads(self.n_kv).rms_norm(w.attn_k_norm, self.eps)
        v = x.linear(w.attn_v).heads(self.n_kv)
        turn = self.rope(neox=True)
        y = q.rope(turn).attend(k.rope(turn).cached(), v.cached())
        return (y * gate.flatten().sigmoid()).linear(w.attn_output)

    def delta_net(self, w: Weights, x: Value) -> Value:
        """Linear attention with the gated delta rule; key heads serve value heads in turn."""
        n, keys = self.n_value, self.n_key * self.d_key
        q, k, v = x.linear(w.attn_qkv).conv(w.ssm_conv1d).silu().split(keys, keys, self.inner)
        strength = x.linear(w.ssm_beta).sigmoid().heads(n)
        alpha = x.linear(w.ssm_alpha).add(w.ssm_dt, "bias").softplus()
        decay = alpha.mul(w.ssm_a, "").exp().heads(n)

        q, k = (part.heads(self.n_key).rms_norm(None, UNIT_EPS / self.d_key) for part in (q, k))
        q = self.in_turn(q.scale(1.0 / self.d_key))  # of length 1, over sqrt(d)
        k = self.in_turn(k.scale(self.d_key**-0.5))
        v = v.heads(n) * strength
        y = q.delta_rule(decay, k, v, k, (k * (decay * strength)).scale(-1.0))
        y = y.rms_norm(w.ssm_norm, self.eps) * x.linear(w.attn_gate).heads(n).silu()
        return y.flatten().linear(w.ssm_out)

    def in_turn(self, x: Value) -> Value:
        """All heads, and all again, until there is one for each value head."""
        once = every = x.flatten()
        for _ in range(self.n_value // self.n_key - 1):
            every = every.concat(once)
        return every.heads(self.n_value)
