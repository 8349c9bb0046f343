"""Command-R7B and Command A: as Command-R, but three layers with a window to one without.

Only the layers with a window know positions.
    x -> norm -> attention, swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import sliding_layers, swiglu
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    expect,
    usual,
    usual_tensors,
    window_pattern,
)
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    for name in ("embedding_sharing", "gated_activation", "parallel_block", "parallel_embedding"):
        expect(config, f"use_{name}", True, None)
    expect(config, "position_embedding_type", "rope_gptj", None)
    return {
        **usual(config),
        **window_pattern(config),
        "attention.layer_norm_epsilon": config["layer_norm_eps"],
        "logit_scale": config["logit_scale"],
        "rope.scaling.type": "none",
    }


def tensors(config: Config) -> list[Tensor]:
    return [Tensor("lm_head", None), *usual_tensors(config)]


@architecture("cohere2")
class Cohere2(Rotary):
    eps: float = key("attention.layer_norm_epsilon")
    window: int = key("attention.sliding_window")
    sliding: int | tuple[bool, ...] = key("attention.sliding_window_pattern", default=4, least=0)
    logit_scale: float = key("logit_scale")

    checkpoints = (
        Checkpoint(
            "cohere2",
            ("cohere2",),
            hyperparameters,
            tensors,
            rope_types=(),
            harmless=("order_of_interleaved_layers",),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer, slides in zip(w.blk, sliding_layers(self.sliding, self.n_layer), strict=True):
            y = x.layer_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, y, slides) + swiglu(layer, y)
        x = x.layer_norm(w.output_norm, self.eps)
        return x.linear(w.token_embd).scale(self.logit_scale or 1.0)

    def attention(self, w: Weights, x: Value, slides: bool) -> Value:
        """Attention over a window with positions, or over all tokens without."""
        q, k, v = self.qkv(w, x)
        if not slides:
            return q.attend(k.cached(), v.cached()).linear(w.attn_output)
        rope = self.rope(neox=False)
        y = q.rope(rope).attend(k.rope(rope).cached(), v.cached(), window=self.window)
        return y.linear(w.attn_output)
