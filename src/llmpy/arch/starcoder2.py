"""StarCoder 2 (Lozhkov et al. 2024): rotary grouped-query attention within a window, with biases.

x -> norm -> attention -> + -> norm -> feed-forward -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "norm_type", "layer_norm", None)
    return {
        **usual(config),
        "attention.layer_norm_epsilon": config["norm_epsilon"],
        "attention.sliding_window": config.get("sliding_window"),
    }


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor(at + "mlp.c_fc", to + "ffn_up"),
        Tensor(at + "mlp.c_proj", to + "ffn_down"),
        *usual_tensors(config),
    ]


@architecture("starcoder2")
class StarCoder2(Rotary):
    eps: float = key("attention.layer_norm_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)

    checkpoints = (
        Checkpoint(
            "starcoder2",
            ("starcoder2",),
            hyperparameters,
            tensors,
            activation=("gelu_pytorch_tanh",),
        ),
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
        y = q.rope(rope).attend(k.rope(rope).cached(), v.cached(), window=self.window)
        return y.linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, a GELU between them."""
        return x.linear(w.ffn_up).gelu().linear(w.ffn_down)
