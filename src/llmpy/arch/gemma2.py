"""Gemma 2: norms around both halves of a block, capped scores, a window in every other layer.

x -> norm -> attention -> norm -> + -> norm -> geglu -> norm -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import geglu, sliding_layers
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    normed_on_both_sides,
    usual,
    window_pattern,
)
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return {
        **usual(config),
        **window_pattern(config),
        "attn_logit_softcapping": config.get("attn_logit_softcapping") or 0.0,
        "final_logit_softcapping": config.get("final_logit_softcapping") or 0.0,
        "attention.scale": config["query_pre_attn_scalar"] ** -0.5,
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose norms multiply by 1 + weight."""
    return [Tensor("lm_head", None), *normed_on_both_sides(config)]


@architecture("gemma2")
class Gemma2(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window", default=4096, least=0)
    sliding: int | tuple[bool, ...] = key("attention.sliding_window_pattern", default=2, least=0)
    score_cap: float = key("attn_logit_softcapping", default=50.0)
    logit_cap: float = key("final_logit_softcapping", default=30.0)
    score_scale: float = key("attention.scale", default=0.0)

    checkpoints = (
        Checkpoint(
            "gemma2", ("gemma2",), hyperparameters, tensors, activation=("gelu_pytorch_tanh",)
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens).scale(self.n_embd**0.5)
        for layer, slides in zip(w.blk, sliding_layers(self.sliding, self.n_layer), strict=True):
            y = self.attention(layer, x.rms_norm(layer.attn_norm, self.eps), slides)
            x = x + y.rms_norm(layer.post_attention_norm, self.eps)
            y = geglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
            x = x + y.rms_norm(layer.post_ffw_norm, self.eps)
        return x.rms_norm(w.output_norm, self.eps).linear(w.token_embd).softcap(self.logit_cap)

    def attention(self, w: Weights, x: Value, slides: bool) -> Value:
        """Rotary attention with capped scores, over all tokens or those of a window."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        y = q.rope(rope).attend(
            k.rope(rope).cached(),
            v.cached(),
            scale=self.scale(q.shape[1]),
            window=self.window if slides else 0,
            softcap=self.score_cap,
        )
        return y.linear(w.attn_output)

    def scale(self, d_head: int) -> float:
        """Return the scale of scores. Files of other tools omit it: the 27B model has its own."""
        width = self.n_embd // self.n_head if self.n_layer == 46 else d_head
        return self.score_scale or width**-0.5
