"""Qwen3-Next: gated delta nets in most blocks, gated attention in the others, mixtures of experts.

x -> norm -> delta net or attention -> + -> norm -> experts + shared expert -> + -> ... -> logits
(Yang et al. 2025; Qwen Team 2025).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    around_zero,
    expect,
    usual,
    without_prediction,
)
from llmpy.arch.experts import Experts, Predicting, expert_keys, expert_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

UNIT_EPS = 1e-6  # of queries and keys of length 1, whatever the epsilon of the norms is


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "mlp_only_layers", None, [])
    expect(config, "decoder_sparse_step", 1)
    expect(config, "norm_topk_prob", True)
    return {
        **usual(config, rotates=0.25),
        **expert_keys(config),
        "expert_shared_feed_forward_length": config["shared_expert_intermediate_size"],
        "ssm.conv_kernel": config["linear_conv_kernel_dim"],
        "ssm.state_size": config["linear_key_head_dim"],
        "ssm.group_count": config["linear_num_key_heads"],
        "ssm.time_step_rank": config["linear_num_value_heads"],
        "ssm.inner_size": config["linear_num_value_heads"] * config["linear_value_head_dim"],
        "attention.recurrent_layers": [
            kind == "linear_attention" for kind in config["layer_types"]
        ],
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose norms are around 0; what predicts further
    tokens is left out.
    """
    at, to = "model.layers.{i}.", "blk.{i}."
    net = at + "linear_attn."

    def parts(w: Any) -> Any:
        """From q, k, v and z of each key head to all q, all k and all v, and all z."""
        d_k, d_v = config["linear_key_head_dim"], config["linear_value_head_dim"]
        n_k = config["linear_num_key_heads"]
        shared = config["linear_num_value_heads"] // n_k * d_v
        of_heads = w.reshape(n_k, 2 * d_k + 2 * shared, -1)
        q, k, v, z = np.split(of_heads, np.cumsum([d_k, d_k, shared]), axis=1)
        flat = [part.reshape(-1, w.shape[1]) for part in (q, k, v, z)]
        return np.concatenate(flat[:3]), flat[3]

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
            Tensor("model.embed_tokens", "token_embd"),
            Tensor("lm_head", "output"),
            Tensor(at + "self_attn.q_proj", to + "attn_q"),
            Tensor(at + "self_attn.k_proj", to + "attn_k"),
            Tensor(at + "self_attn.v_proj", to + "attn_v"),
            Tensor(at + "self_attn.o_proj", to + "attn_output"),
            Tensor(
                net + "in_proj_qkvz.weight",
                (to + "attn_qkv.weight", to + "attn_gate.weight"),
                parts,
            ),
            Tensor(net + "in_proj_ba", to + "ssm_ba"),
            Tensor(
                net + "conv1d.weight", to + "ssm_conv1d.weight", lambda w: w.reshape(len(w), -1)
            ),
            Tensor(net + "dt_bias", to + "ssm_dt.bias"),
            Tensor(net + "A_log", to + "ssm_a", lambda w: -np.exp(w)),
            Tensor(net + "norm", to + "ssm_norm"),
            Tensor(net + "out_proj", to + "ssm_out"),
            *expert_tensors(),
            Tensor(
                at + "mlp.shared_expert_gate", to + "ffn_gate_inp_shexp", lambda w: w.reshape(-1)
            ),
        ]
    )


@architecture("qwen3next")
class Qwen3Next(Rotary, Experts, Predicting):
    eps: float = key("attention.layer_norm_rms_epsilon")
    normalize: bool = key("expert_weights_norm", default=True)
    d_key: int = key("ssm.state_size")
    n_key: int = key("ssm.group_count")
    n_value: int = key("ssm.time_step_rank")
    inner: int = key("ssm.inner_size")
    recurrent: tuple[bool, ...] = key("attention.recurrent_layers", default=())
    interval: int = key("full_attention_interval", default=4)

    checkpoints = (Checkpoint("qwen3next", ("qwen3_next",), hyperparameters, tensors),)

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
        rope = self.rope(neox=True)
        y = q.rope(rope).attend(k.rope(rope).cached(), v.cached())
        return (y * gate.flatten().sigmoid()).linear(w.attn_output)

    def delta_net(self, w: Weights, x: Value) -> Value:
        """Linear attention with the gated delta rule; value heads share keys in equal groups."""
        keys, shared = self.n_key * self.d_key, self.n_value // self.n_key
        mixed, z = self.projected(w, x)
        q, k, v = mixed.conv(w.ssm_conv1d).silu().split(keys, keys, self.inner)
        strength, alpha = x.linear(w.ssm_ba).heads(self.n_key).split(shared, shared)
        strength = strength.flatten().sigmoid().heads(self.n_value)
        decay = alpha.flatten().add(w.ssm_dt, "bias").softplus().mul(w.ssm_a, "").exp()
        decay = decay.heads(self.n_value)

        q, k = (part.heads(self.n_key).rms_norm(None, UNIT_EPS / self.d_key) for part in (q, k))
        q = q.scale(1.0 / self.d_key).repeat(self.n_value)  # of length 1, over sqrt(d)
        k = k.scale(self.d_key**-0.5).repeat(self.n_value)
        v = v.heads(self.n_value) * strength
        y = q.delta_rule(decay, k, v, k, (k * (decay * strength)).scale(-1.0))
        y = y.rms_norm(w.ssm_norm, self.eps) * z.heads(self.n_value).silu()
        return y.flatten().linear(w.ssm_out)

    def projected(self, w: Weights, x: Value) -> tuple[Value, Value]:
        """Queries, keys and values in one, and the gate; early files have them by key head."""
        if not w.ssm_in:
            return x.linear(w.attn_qkv), x.linear(w.attn_gate)
        values = self.inner // self.n_key
        parts = x.linear(w.ssm_in).heads(self.n_key).split(self.d_key, self.d_key, values, values)
        q, k, v, z = (part.flatten() for part in parts)
        return q.concat(k).concat(v), z
