"""dots.llm1: attention with normed queries and keys; leading dense blocks, then experts.

x -> norm -> attention -> + -> norm -> SwiGLU, or routed + shared experts -> + -> ... -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    expect,
    expect_no_window,
    usual,
    usual_tensors,
)
from llmpy.arch.experts import Experts, expert_keys, expert_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect_no_window(config)
    expect(config, "scoring_func", "noaux_tc", "sigmoid", None)
    return {**usual(config), **expert_keys(config), "expert_gating_func": 2}


def tensors(config: Config) -> list[Tensor]:
    return [*usual_tensors(config), *expert_tensors()]


@architecture("dots1")
class Dots1(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    gating: int = key("expert_gating_func", default=2)

    checkpoints = (Checkpoint("dots1", ("dots1",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention, its queries and keys normed."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        q = q.rms_norm(w.attn_q_norm, self.eps).rope(rope)
        k = k.rms_norm(w.attn_k_norm, self.eps).rope(rope)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
