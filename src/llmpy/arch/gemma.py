"""Gemma: wide heads, a GeGLU feed-forward, embeddings scaled up and used for the logits too.

x -> norm -> attention -> + -> norm -> geglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import geglu
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    around_zero,
    usual,
    usual_tensors,
)
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose norms multiply by 1 + weight."""
    at, to = "model.layers.{i}.", "blk.{i}."
    norms = {
        "model.norm": "output_norm",
        at + "input_layernorm": to + "attn_norm",
        at + "post_attention_layernorm": to + "ffn_norm",
    }
    return [Tensor("lm_head", None), *around_zero(norms), *usual_tensors(config)]


@architecture("gemma")
class Gemma(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint("gemma", ("gemma",), usual, tensors, activation=("gelu_pytorch_tanh", "gelu")),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens).scale(self.n_embd**0.5)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + geglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
