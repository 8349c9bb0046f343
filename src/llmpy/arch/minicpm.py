"""MiniCPM 1, 2 and 4: Llama's wiring with multipliers that follow from its sizes.

x -> norm -> attention -> * + -> norm -> swiglu -> * + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rope_config import SCALED, longrope_attention, original_context, rope, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    keys = usual(config)
    long = "long_factor" in rope(config)
    return {
        **keys,
        "embedding_scale": float(config["scale_emb"]),
        "residual_scale": config["scale_depth"] / config["num_hidden_layers"] ** 0.5,
        "logit_scale": config["hidden_size"] / config["dim_model_base"],
        "rope.scaling.type": "longrope" if long else keys.get("rope.scaling.type"),
        "rope.scaling.original_context_length": original_context(config) if long else None,
        "rope.scaling.attn_factor": longrope_attention(config) if long else None,
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are halves of a head."""
    return usual_tensors(config, pairs=True)


@architecture("minicpm")
class MiniCPM(Rotary):
    """Hyperparameters and wiring; files that say no multiplier are of the first models."""

    eps: float = key("attention.layer_norm_rms_epsilon")
    embedding_scale: float = key("embedding_scale", default=12.0)
    residual_scale: float = key("residual_scale", default=0.0)
    logit_scale: float = key("logit_scale", default=0.0)  # which divides

    harmless = ("rope_factors_long.weight", "rope_factors_short.weight")
    checkpoints = (
        Checkpoint(
            "minicpm",
            ("minicpm",),
            hyperparameters,
            tensors,
            rope_tensors,
            rope_types=(*SCALED, "longrope"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens).scale(self.embedding_scale or 1.0)
        factors = self.rope_factors(w, tokens.graph.n_ctx)
        scale = self.residual_scale or 1.4 * self.n_layer**-0.5
        for layer in w.blk:
            y = self.attention(layer, factors, x.rms_norm(layer.attn_norm, self.eps))
            x = x + y.scale(scale)
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps)).scale(scale)
        x = x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)
        return x.scale(1.0 / (self.logit_scale or self.n_embd / 256))

    def attention(self, w: Weights, factors: Weights, x: Value) -> Value:
        """Rotary attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        q, k = q.rope(rope, factors), k.rope(rope, factors)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
