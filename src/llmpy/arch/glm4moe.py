"""GLM 4.5 and 4.6: half of each head is rotated; leading dense blocks, then experts.

Layers at the end that only predict further tokens are not run.
    x -> norm -> attention -> + -> norm -> SwiGLU, or routed + shared experts -> + -> ... -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
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
    return {
        **usual(config, rotates=0.5),
        **expert_keys(config),
        "expert_gating_func": 2,
    }


def tensors(config: Config) -> list[Tensor]:
    norm = Tensor("model.layers.{i}.post_attention_layernorm", "blk.{i}.post_attention_norm")
    return without_prediction([norm, *usual_tensors(config), *expert_tensors()], config)


@architecture("glm4moe")
class Glm4Moe(Rotary, Experts, Predicting):
    eps: float = key("attention.layer_norm_rms_epsilon")
    gating: int = key("expert_gating_func", default=2)

    checkpoints = (Checkpoint("glm4moe", ("glm4_moe",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk[: self.n_run]:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.post_attention_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention; in the larger model queries and keys are normed."""
        q, k, v = self.qkv(w, x)
        if w.attn_q_norm:
            q, k = q.rms_norm(w.attn_q_norm, self.eps), k.rms_norm(w.attn_k_norm, self.eps)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
