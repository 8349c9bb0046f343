"""EuroBERT (Boizard et al. 2025): Llama's wiring as an encoder.

tokens -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm
The result is the last state of each token.
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return {**usual(config), "attention.causal": False}


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint; the head of its training is left out."""
    return [Tensor("lm_head", None), *usual_tensors(config)]


@architecture("eurobert")
class EuroBert(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (Checkpoint("eurobert", ("eurobert",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention to the whole text."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        y = q.rope(rope).attend(k.rope(rope).cached(), v.cached(), causal=False)
        return y.linear(w.attn_output)
