"""Granite 3: Llama's wiring with a multiplier at each joint.

x -> norm -> attention -> * + -> norm -> swiglu -> * + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return {
        **usual(config),
        "attention.scale": float(config["attention_multiplier"]),
        "embedding_scale": float(config["embedding_multiplier"]),
        "residual_scale": float(config["residual_multiplier"]),
        "logit_scale": float(config["logits_scaling"]),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are halves of a head."""
    return usual_tensors(config, pairs=True)


@architecture("granite")
class Granite(Rotary):
    """Hyperparameters and wiring; a multiplier of 0 is none."""

    eps: float = key("attention.layer_norm_rms_epsilon")
    score_scale: float = key("attention.scale", default=0.0)
    embedding_scale: float = key("embedding_scale", default=0.0)
    residual_scale: float = key("residual_scale", default=0.0)
    logit_scale: float = key("logit_scale", least=1e-6)  # which divides
    rotates: bool = key("rope.scaling.finetuned", default=True)

    checkpoints = (Checkpoint("granite", ("granite",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens).scale(self.embedding_scale or 1.0)
        scale = self.residual_scale or 1.0
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps)).scale(scale)
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps)).scale(scale)
        x = x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)
        return x.scale(1.0 / self.logit_scale)

    def attention(self, w: Weights, x: Value) -> Value:
        """Grouped-query attention, rotary unless the file says no."""
        q, k, v = self.qkv(w, x)
        if self.rotates:
            rope = self.rope(neox=False)
            q, k = q.rope(rope), k.rope(rope)
        y = q.attend(k.cached(), v.cached(), scale=self.score_scale or None)
        return y.linear(w.attn_output)
