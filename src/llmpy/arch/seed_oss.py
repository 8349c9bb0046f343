"""Seed-OSS: Qwen 2's wiring; its second norm goes by the name of a norm behind attention.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return usual(config)


def tensors(config: Config) -> list[Tensor]:
    norm = "model.layers.{i}.post_attention_layernorm"
    return [Tensor(norm, "blk.{i}.post_attention_norm"), *usual_tensors(config)]


@architecture("seed_oss")
class SeedOss(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (Checkpoint("seed_oss", ("seed_oss",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + swiglu(layer, x.rms_norm(layer.post_attention_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
