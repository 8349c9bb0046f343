"""Phi 3, 3.5 and 4: Llama's wiring with fused matrices, longrope, and rotation of a part of heads.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import fused_swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rope_config import longrope_attention, original_context, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; a file always says the window, 0 where there is none."""
    return {
        **usual(config, rotates=1.0),
        "attention.sliding_window": config.get("sliding_window") or 0,
        "rope.scaling.original_context_length": original_context(config),
        "rope.scaling.attn_factor": longrope_attention(config),
    }


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor(at + "self_attn.qkv_proj", to + "attn_qkv"),
        Tensor(at + "mlp.gate_up_proj", to + "ffn_up"),
        *usual_tensors(config),
    ]


@architecture("phi3")
class Phi3(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)

    harmless = ("rope_factors_long.weight", "rope_factors_short.weight")
    checkpoints = (
        Checkpoint(
            "phi3",
            ("phi3",),
            hyperparameters,
            tensors,
            rope_tensors,
            rope_types=("linear", "yarn", "longrope"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        factors = self.rope_factors(w, tokens.graph.n_ctx)
        for layer in w.blk:
            x = x + self.attention(layer, factors, x.rms_norm(layer.attn_norm, self.eps))
            x = x + fused_swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, factors: Weights, x: Value) -> Value:
        """Rotary attention, in a window where the file says so."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        q, k = q.rope(rope, factors), k.rope(rope, factors)
        return q.attend(k.cached(), v.cached(), window=self.window).linear(w.attn_output)
