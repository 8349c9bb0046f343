"""Gemma 3, its text: norms of each head, and five layers with a window to one without.

x -> norm -> attention -> norm -> + -> norm -> geglu -> norm -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import geglu, sliding_layers
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    normed_on_both_sides,
    usual,
    window_pattern,
)
from llmpy.arch.rope_config import rope_base, sliding_base
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; older ones have the two rotations under names of
    their own.
    """
    return {
        **usual(config),
        **window_pattern(config),
        "rope.freq_base": rope_base(config),
        "rope.freq_base_swa": sliding_base(config),
        "final_logit_softcapping": config.get("final_logit_softcapping") or 0.0,
        "attention.scale": config["query_pre_attn_scalar"] ** -0.5,
    }


@architecture("gemma3")
class Gemma3(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)
    sliding: int | tuple[bool, ...] = key("attention.sliding_window_pattern", default=6, least=0)
    rope_base_sliding: float = key("rope.freq_base_swa", default=10_000.0, least=1, most=3e38)
    logit_cap: float = key("final_logit_softcapping", default=0.0)
    score_scale: float = key("attention.scale", default=0.0)

    checkpoints = (
        Checkpoint(
            "gemma3",
            ("gemma3_text",),
            hyperparameters,
            normed_on_both_sides,
            activation=("gelu_pytorch_tanh",),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens).scale(self.n_embd**0.5)
        for layer, slides in zip(w.blk, sliding_layers(self.sliding, self.n_layer), strict=True):
            y = self.attention(layer, x.rms_norm(layer.attn_norm, self.eps), slides)
            x = x + y.rms_norm(layer.post_attention_norm, self.eps)
            y = geglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
            x = x + y.rms_norm(layer.post_ffw_norm, self.eps)
        x = x.rms_norm(w.output_norm, self.eps)
        return x.linear(w.output or w.token_embd).softcap(self.logit_cap)

    def attention(self, w: Weights, x: Value, slides: bool) -> Value:
        """Rotary attention over all tokens, or those of a window with a rotation of its own."""
        q, k, v = self.qkv(w, x)
        q, k = q.rms_norm(w.attn_q_norm, self.eps), k.rms_norm(w.attn_k_norm, self.eps)
        local = slides and self.window > 0
        rope = self.rope(neox=True, base=self.rope_base_sliding if local else None)
        y = q.rope(rope).attend(
            k.rope(rope).cached(),
            v.cached(),
            scale=self.scale(q.shape[1]),
            window=self.window if local else 0,
        )
        return y.linear(w.attn_output)

    def scale(self, d_head: int) -> float:
        """Return the scale of scores. Files of other tools omit it: the 27B model has its own."""
        width = self.n_embd // self.n_head if self.n_layer == 62 else d_head
        return self.score_scale or width**-0.5
