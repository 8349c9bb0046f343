"""Ministral 3, Mistral Small 3.1 and later: Llama's wiring, and queries that grow with positions.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual, usual_tensors
from llmpy.arch.rope_config import SCALED, rope, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "sliding_window", None)
    rope_settings = rope(config)
    keys, every = usual(config), rope_settings.get("mscale_all_dim")
    if every:  # the wiring takes YaRN's temperature back by this, if it is the usual one
        expect({"mscale": rope_settings.get("mscale")}, "mscale", 1)
        expect(rope_settings, "attention_factor", None)
        keys["rope.scaling.yarn_attn_factor"] = None
    return {
        **keys,
        "attention.temperature_scale": rope_settings.get("llama_4_scaling_beta"),
        "rope.scaling.yarn_log_multiplier": every,
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are halves of a head."""
    return usual_tensors(config, pairs=True)


@architecture("mistral3")
class Mistral3(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    growth: float = key("attention.temperature_scale", default=0.0)
    log_multiplier: float = key("rope.scaling.yarn_log_multiplier", default=0.0)

    checkpoints = (
        Checkpoint(
            "mistral3",
            ("ministral3",),
            hyperparameters,
            tensors,
            rope_tensors,
            rope_types=SCALED,
            harmless=("rope_parameters.max_position_embeddings",),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = x.rms_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, w.rope_freqs, y)
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, factors: Weights, x: Value) -> Value:
        """Rotary grouped-query attention; queries grow with each stretch of the first context."""
        q, k, v = self.qkv(w, x)
        turn = self.rope(neox=False)
        if self.log_multiplier:  # YaRN's temperature is taken back
            usual, less = (
                1 + 0.1 * f * math.log(max(turn.factor, 1.0)) for f in (1.0, self.log_multiplier)
            )
            turn = replace(turn, temperature=usual / less)
        growing = replace(turn, growth=self.growth, growth_every=self.rope_context)
        q, k = q.rope(growing, factors), k.rope(turn, factors)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
