"""DeepSeek V2 and V3, and relatives: multi-head latent attention (DeepSeek-AI 2024) and experts.

A session remembers one latent a token, which serves all heads as key and as value:
    latent = norm(part of kv) | rope(rest);  q' = k_b q | rope(q);  y = v_b attend(q', latent)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import (
    Array,
    Checkpoint,
    Config,
    Tensor,
    expect,
    paired,
    usual,
    usual_tensors,
)
from llmpy.arch.experts import (
    Experts,
    Predicting,
    expert_keys,
    expert_tensors,
    without_prediction,
)
from llmpy.arch.rope_config import rope
from llmpy.arch.rotary import Rotary
from llmpy.errors import GraphError
from llmpy.graph import Value, Weights

MODEL_TYPES = ("deepseek_v2", "deepseek_v3", "glm4_moe_lite", "kimi_k2", "youtu")
LATENT_EPS = 1e-6  # of the norms of latents, whatever the model's others have


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; lengths are those of the latent, and beside them
    those of the heads.
    """
    rank, d_rot = config["kv_lora_rank"], config["qk_rope_head_dim"]
    expect(config, "qk_head_dim", config["qk_nope_head_dim"] + d_rot, None)
    experts = expert_keys(config)
    if "n_routed_experts" not in config:  # all blocks are dense
        experts |= {"leading_dense_block_count": config["num_hidden_layers"]}
        experts |= {"expert_feed_forward_length": config["intermediate_size"]}
    second = config["model_type"] == "deepseek_v2"
    expect(config, "scoring_func", "softmax" if second else "sigmoid", None)
    if not second:
        expect(config, "topk_method", "noaux_tc", None)
    if second and config.get("topk_method", "greedy") == "greedy":  # V2-Lite: groups do not count
        experts |= {"expert_group_count": None, "expert_group_used_count": None}
    keys, rope_settings = usual(config), rope(config)
    every = rope_settings.get("mscale_all_dim")
    if every and not rope_settings.get("mscale") and keys.get("rope.scaling.type") == "yarn":
        usually = 1 + 0.1 * math.log(max(keys["rope.scaling.factor"], 1.0))
        keys["rope.scaling.yarn_attn_factor"] = keys["rope.scaling.yarn_attn_factor"] or usually
    return {
        **keys,
        **experts,
        "expert_gating_func": 1 if second else 2,
        "expert_shared_count": config.get("n_shared_experts") or 0,
        "attention.head_count_kv": 1,
        "attention.q_lora_rank": config.get("q_lora_rank"),
        "attention.kv_lora_rank": rank,
        "attention.key_length": rank + d_rot,
        "attention.value_length": rank,
        "attention.key_length_mla": config["qk_nope_head_dim"] + d_rot,
        "attention.value_length_mla": config["v_head_dim"],
        "rope.dimension_count": d_rot,
        "rope.scaling.yarn_log_multiplier": 0.1 * every if every else None,
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint: the matrix that expands latents is cut, so that
    queries can absorb it.
    """
    n_head, rank = config["num_attention_heads"], config["kv_lora_rank"]
    d_nope, d_value, d_rot = (config[f"{part}_head_dim"] for part in ("qk_nope", "v", "qk_rope"))
    halves = config.get("rope_interleave") is False

    def expansion(w: Array) -> tuple[Array, Array]:
        heads = w.reshape(n_head, d_nope + d_value, rank)
        return np.ascontiguousarray(heads[:, :d_nope].swapaxes(1, 2)), heads[:, d_nope:]

    def pairs(n: int) -> Any:
        return (lambda w: paired_ends(w, n, d_rot)) if halves else None

    at, to = "model.layers.{i}.self_attn.", "blk.{i}.attn_"
    rules = [
        Tensor(at + "q_proj", to + "q", pairs(n_head)),
        Tensor(at + "q_a_proj", to + "q_a"),
        Tensor(at + "q_a_layernorm", to + "q_a_norm"),
        Tensor(at + "q_b_proj", to + "q_b", pairs(n_head)),
        Tensor(at + "kv_a_proj_with_mqa", to + "kv_a_mqa", pairs(1)),
        Tensor(at + "kv_a_layernorm", to + "kv_a_norm"),
        Tensor(at + "kv_b_proj.weight", (to + "k_b.weight", to + "v_b.weight"), expansion),
        *usual_tensors(config),
        *expert_tensors(),
    ]
    return without_prediction(rules, config)


def paired_ends(w: Array, n_head: int, d_rot: int) -> Array:
    """The last `d_rot` rows of each head from halves that are rotated together to pairs."""
    heads = w.reshape(n_head, -1, *w.shape[1:]).copy()
    ends = heads[:, -d_rot:]
    heads[:, -d_rot:] = paired(ends.reshape(-1, *w.shape[1:]), n_head).reshape(ends.shape)
    return heads.reshape(w.shape)


@architecture("deepseek2")
class Deepseek2(Rotary, Experts, Predicting):
    eps: float = key("attention.layer_norm_rms_epsilon")
    n_expert: int = key("expert_count", default=0, least=0)
    n_used: int = key("expert_used_count", default=0, least=0)
    rank: int = key("attention.kv_lora_rank")
    d_value: int = key("attention.value_length", default="d_head")
    d_head_mla: int = key("attention.key_length_mla", default="d_head")
    d_value_mla: int = key("attention.value_length_mla", default="d_value")
    rope_dims: int = key("rope.dimension_count")
    temperature: float = key("attention.temperature_scale", default=0.0)
    temperature_from: int = key("attention.temperature_length", default=8192)
    log_multiplier: float = key("rope.scaling.yarn_log_multiplier", default=0.0)

    checkpoints = (
        Checkpoint("deepseek2", MODEL_TYPES, hyperparameters, tensors, rope_types=("yarn",)),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        if self.temperature and tokens.graph.n_ctx > self.temperature_from:
            raise GraphError(
                f"queries that grow after {self.temperature_from} tokens; load with n_ctx of that"
            )
        x = self.embed(w, tokens)
        for layer in w.blk[: self.n_run]:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Latent attention; files from before 2025 have the expansion whole, and cache heads."""
        d_nope = self.d_head_mla - self.rope_dims
        if d_nope < 1:
            raise GraphError(f"heads of {self.d_head_mla} with {self.rope_dims} rotated values")
        rope = self.rope(neox=False)
        if self.log_multiplier and rope.scaling == "yarn":
            rope = replace(rope, temperature=self.yarn_temperature or 1.0)
        if w.attn_q_a:
            q = x.linear(w.attn_q_a).rms_norm(w.attn_q_a_norm, LATENT_EPS).linear(w.attn_q_b)
        else:
            q = x.linear(w.attn_q)
        q, q_rot = q.heads(self.n_head).split(d_nope, self.rope_dims)
        latent, k_rot = x.linear(w.attn_kv_a_mqa).split(self.rank, self.rope_dims)
        latent = latent.rms_norm(w.attn_kv_a_norm, LATENT_EPS)
        q_rot, k_rot = q_rot.rope(rope), k_rot.heads(1).rope(rope)
        if w.attn_kv_b:
            heads = latent.linear(w.attn_kv_b).heads(self.n_head)
            k, v = heads.split(d_nope, self.d_value_mla)
            k = k.concat(k_rot.repeat(self.n_head))
            y = q.concat(q_rot).attend(k.cached(), v.cached(), scale=self.scale())
            return y.linear(w.attn_output)
        memory = latent.heads(1).concat(k_rot).cached()
        q = q.linear_heads(w.attn_k_b).concat(q_rot)
        y = q.attend(memory, memory, scale=self.scale()).heads(self.n_head).slice(0, self.rank)
        return y.linear_heads(w.attn_v_b).flatten().linear(w.attn_output)

    def scale(self) -> float:
        """Return the scale of the scores: 1/sqrt(d), larger where YaRN stretches the context."""
        scale = 1.0 / math.sqrt(self.d_head_mla)
        if self.rope_scaling == "yarn" and self.rope_factor > 1:
            scale *= (1.0 + self.log_multiplier * math.log(self.rope_factor)) ** 2
        return scale
