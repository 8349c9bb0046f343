"""MiniMax M2: queries and keys normed whole and rotated in part; all experts are routed.

x -> norm -> attention -> + -> norm -> experts -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, numbered_experts
from llmpy.arch.rope_config import rotated_dims
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; the part of a head that is rotated has two names."""
    width = config["head_dim"]
    expect(config, "scoring_func", "sigmoid", None)
    expect(config, "qk_norm_type", "per_layer", None)
    expect(config, "shared_intermediate_size", 0, None)
    expect({"attn_type_list": set(config.get("attn_type_list") or [1])}, "attn_type_list", {1})
    return {
        **usual(config, rotates=1.0),
        **expert_keys(config),
        "expert_feed_forward_length": config["intermediate_size"],
        "expert_gating_func": 2,
        "rope.dimension_count": rotated_dims(config, config.get("rotary_dim", width) / width),
    }


def tensors(config: Config) -> list[Tensor]:
    return [*usual_tensors(config), *numbered_experts("model.layers.{i}.block_sparse_moe.")]


@architecture("minimax-m2")
class MiniMaxM2(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    normalize: bool = key("expert_weights_norm", default=True)

    checkpoints = (
        Checkpoint(
            "minimax-m2", ("minimax_m2",), hyperparameters, tensors, harmless=("layernorm_*",)
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention over normed queries and keys."""
        q = x.linear(w.attn_q).rms_norm(w.attn_q_norm, self.eps).heads(self.n_head)
        k = x.linear(w.attn_k).rms_norm(w.attn_k_norm, self.eps).heads(self.n_kv)
        v = x.linear(w.attn_v).heads(self.n_kv)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
