"""Nemotron 3 and 4, Minitron: layer norms, squared ReLU, rotation of half of each head.

x -> norm -> attention -> + -> norm -> relu^2 -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
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


def hyperparameters(config: Config) -> dict[str, Any]:
    return {
        **usual(config, rotates=0.5),
        "attention.layer_norm_epsilon": config["norm_eps"],
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose norms multiply by 1 + weight."""
    at, to = "model.layers.{i}.", "blk.{i}."
    norms = {  # their biases are as they are
        "model.norm.weight": "output_norm.weight",
        at + "input_layernorm.weight": to + "attn_norm.weight",
        at + "post_attention_layernorm.weight": to + "ffn_norm.weight",
    }
    return [*around_zero(norms), *usual_tensors(config)]


@architecture("nemotron")
class Nemotron(Rotary):
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint("nemotron", ("nemotron",), hyperparameters, tensors, activation=("relu2",)),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.layer_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.layer_norm(layer.ffn_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """down(relu(up x)^2) (So et al. 2021)."""
        y = x.linear(w.ffn_up).relu()
        return (y * y).linear(w.ffn_down)
