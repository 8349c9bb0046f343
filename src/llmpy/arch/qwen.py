"""Qwen 2, 2.5 and 3, the dense ones: Llama's wiring with biases, or with norms of each head.

Of those that see pictures (VL) the text, whose positions are the same in all sections.
x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, expect_no_window, usual, usual_tensors
from llmpy.arch.rope_config import rope_sections
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

ALWAYS_BIASED = ("attention_bias",)  # keys that the original does not look at
VISUAL = ("qwen2_vl_text", "qwen2_5_vl_text")


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; its sliding window, which no published one uses, is
    refused.
    """
    expect_no_window(config, usually=False)
    return {**usual(config), "rope.dimension_sections": rope_sections(config)}


@architecture("qwen2", "qwen2vl", "qwen3", "qwen3vl")
class Qwen(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint("qwen2", ("qwen2",), hyperparameters, usual_tensors, harmless=ALWAYS_BIASED),
        Checkpoint("qwen2vl", VISUAL, hyperparameters, usual_tensors, harmless=ALWAYS_BIASED),
        Checkpoint("qwen3", ("qwen3",), hyperparameters, usual_tensors, harmless=ALWAYS_BIASED),
        Checkpoint(
            "qwen3vl",
            ("qwen3_vl_text",),
            hyperparameters,
            usual_tensors,
            harmless=ALWAYS_BIASED,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention; Qwen 3 norms the heads of queries and keys."""
        q, k, v = self.qkv(w, x)
        if w.attn_q_norm:
            q, k = q.rms_norm(w.attn_q_norm, self.eps), k.rms_norm(w.attn_k_norm, self.eps)
        turn = self.rope(neox=True)
        return q.rope(turn).attend(k.rope(turn).cached(), v.cached()).linear(w.attn_output)
