"""Ling and Ring 2: normed queries and keys, rotated in part; experts chosen out of the best groups.

x -> norm -> attention -> + -> norm -> SwiGLU, or routed + shared experts -> + -> ... -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual, usual_tensors
from llmpy.arch.experts import (
    Experts,
    Predicting,
    expert_keys,
    expert_tensors,
    without_prediction,
)
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "score_function", "sigmoid", None)
    return {
        **usual(config, rotates=0.5),
        **expert_keys(config),
        "expert_gating_func": 2,
        "expert_shared_count": config["num_shared_experts"],
        "expert_shared_feed_forward_length": config.get("moe_shared_expert_intermediate_size")
        or config["moe_intermediate_size"],
    }


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    rules = [
        Tensor("model.word_embeddings", "token_embd"),
        Tensor(at + "attention.query_key_value", to + "attn_qkv"),
        Tensor(at + "attention.dense", to + "attn_output"),
        Tensor(at + "attention.query_layernorm", to + "attn_q_norm"),
        Tensor(at + "attention.key_layernorm", to + "attn_k_norm"),
        Tensor(at + "mlp.gate.expert_bias", to + "exp_probs_b.bias"),
        *usual_tensors(config),
        *expert_tensors(),
    ]
    return without_prediction(rules, config)


@architecture("bailingmoe2")
class BailingMoe2(Rotary, Experts, Predicting):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint(
            "bailingmoe2",
            ("BailingMoeV2ForCausalLM", "bailing_moe_v2"),
            hyperparameters,
            tensors,
            harmless=("moe_shared_expert_intermediate_size",),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk[: self.n_run]:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention, its queries and keys normed."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        q = q.rms_norm(w.attn_q_norm, self.eps).rope(rope)
        k = k.rms_norm(w.attn_k_norm, self.eps).rope(rope)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
