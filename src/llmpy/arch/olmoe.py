"""OLMoE: queries and keys are normed whole, before they become heads; all experts are routed.

x -> norm -> attention -> + -> norm -> experts -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, expert_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return {
        **usual(config),
        **expert_keys(config),
        "attention.clamp_kqv": config.get("clip_qkv"),
    }


def tensors(config: Config) -> list[Tensor]:
    return [*usual_tensors(config), *expert_tensors()]


@architecture("olmoe")
class Olmoe(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    clip: float = key("attention.clamp_kqv", default=0.0)

    checkpoints = (Checkpoint("olmoe", ("olmoe",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention over normed queries and keys; some models clip all three."""
        q = x.linear(w.attn_q).rms_norm(w.attn_q_norm, self.eps)
        k = x.linear(w.attn_k).rms_norm(w.attn_k_norm, self.eps)
        v = x.linear(w.attn_v)
        if self.clip:
            q, k, v = (y.clamp(-self.clip, self.clip) for y in (q, k, v))
        rope = self.rope(neox=True)
        q, k = q.heads(self.n_head).rope(rope), k.heads(self.n_kv).rope(rope)
        return q.attend(k.cached(), v.heads(self.n_kv).cached()).linear(w.attn_output)
