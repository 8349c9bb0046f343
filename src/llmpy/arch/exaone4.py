"""EXAONE 4: norms behind attention and feed-forward, and in the large model windows.

Where some layers have a window, only those know positions.
    x -> attention -> norm -> + -> swiglu -> norm -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import sliding_layers, swiglu
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    usual,
    usual_tensors,
    window_pattern,
)
from llmpy.arch.rope_config import SCALED, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return {**usual(config), **window_pattern(config)}


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor(at + "post_attention_layernorm", to + "post_attention_norm"),
        Tensor(at + "post_feedforward_layernorm", to + "post_ffw_norm"),
        *usual_tensors(config),
    ]


@architecture("exaone4")
class Exaone4(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)
    sliding: int | tuple[bool, ...] = key("attention.sliding_window_pattern", default=4, least=0)

    checkpoints = (
        Checkpoint(
            "exaone4", ("exaone4",), hyperparameters, tensors, rope_tensors, rope_types=SCALED
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer, slides in zip(w.blk, sliding_layers(self.sliding, self.n_layer), strict=True):
            y = self.attention(layer, w.rope_freqs, x, slides)
            x = x + y.rms_norm(layer.post_attention_norm, self.eps)
            x = x + swiglu(layer, x).rms_norm(layer.post_ffw_norm, self.eps)
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, factors: Weights, x: Value, slides: bool) -> Value:
        """Attention over all tokens, or with positions over those of a window."""
        q, k, v = self.qkv(w, x)
        q, k = q.rms_norm(w.attn_q_norm, self.eps), k.rms_norm(w.attn_k_norm, self.eps)
        if slides or not self.window:
            rope = self.rope(neox=True)
            q, k = q.rope(rope, factors), k.rope(rope, factors)
        y = q.attend(k.cached(), v.cached(), window=self.window if slides else 0)
        return y.linear(w.attn_output)
