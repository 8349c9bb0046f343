"""ERNIE 4.5 with experts: the first blocks are dense, the others add routed and shared experts.

x -> norm -> attention -> + -> norm -> SwiGLU, or routed + shared experts -> + -> ... -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, expert_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "moe_norm_min", 1e-12, None)
    n_shared, d_expert = config.get("moe_num_shared_experts") or 0, config["moe_intermediate_size"]
    return {
        **usual(config),
        **expert_keys(config),
        "expert_count": config["moe_num_experts"],
        "expert_used_count": config["moe_k"],
        "expert_shared_count": n_shared,
        "expert_shared_feed_forward_length": n_shared * d_expert or None,
        "interleave_moe_layer_step": config.get("moe_layer_interval", 1),
        "leading_dense_block_count": config.get("moe_layer_start_index", 1),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are neighbours already."""
    bias = "model.layers.{i}.mlp.moe_statics.e_score_correction_bias"
    return [
        *usual_tensors(config),
        *expert_tensors(),
        Tensor(bias, "blk.{i}.exp_probs_b.bias", lambda w: w.reshape(-1)),
    ]


@architecture("ernie4_5-moe")
class Ernie45Moe(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    gating: int = key("expert_gating_func", default=1)
    normalize: bool = key("expert_weights_norm", default=True)

    checkpoints = (
        Checkpoint(
            "ernie4_5-moe",
            ("ernie4_5_moe",),
            hyperparameters,
            tensors,
            harmless=(
                "moe_capacity",
                "moe_use_aux_free",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
