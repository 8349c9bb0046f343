"""Qwen 3 with experts: queries and keys are normed head by head, no expert is shared.

x -> norm -> attention -> + -> norm -> experts -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect_no_window, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, expert_tensors
from llmpy.arch.rope_config import rope_sections
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect_no_window(config, usually=False)
    return {
        **usual(config),
        **expert_keys(config),
        "rope.dimension_sections": rope_sections(config),
    }


def tensors(config: Config) -> list[Tensor]:
    return [*usual_tensors(config), *expert_tensors()]


@architecture("qwen3moe", "qwen3vlmoe")
class Qwen3Moe(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    normalize: bool = key("expert_weights_norm", default=True)

    checkpoints = (
        Checkpoint("qwen3moe", ("qwen3_moe",), hyperparameters, tensors),
        Checkpoint("qwen3vlmoe", ("qwen3_vl_moe_text",), hyperparameters, tensors),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention, its queries and keys normed."""
        q, k, v = self.qkv(w, x)
        turn = self.rope(neox=True)
        q = q.rms_norm(w.attn_q_norm, self.eps).rope(turn)
        k = k.rms_norm(w.attn_k_norm, self.eps).rope(turn)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
