"""Qwen 1.5 and 2 with experts: routed ones, and a shared one that each token turns up or down.

x -> norm -> attention -> + -> norm -> experts + gate * shared expert -> + -> ... -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect_no_window, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, expert_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect_no_window(config, usually=False)
    return {
        **usual(config),
        **expert_keys(config),
        "expert_shared_feed_forward_length": config.get("shared_expert_intermediate_size"),
    }


def tensors(config: Config) -> list[Tensor]:
    gate = Tensor("model.layers.{i}.mlp.shared_expert_gate", "blk.{i}.ffn_gate_inp_shexp")
    return [*usual_tensors(config), *expert_tensors(), gate]


@architecture("qwen2moe")
class Qwen2Moe(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (Checkpoint("qwen2moe", ("qwen2_moe",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
