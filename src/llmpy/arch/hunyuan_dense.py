"""Hunyuan, the dense ones: Llama's wiring with norms of each head after their rotation.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rope_config import rope, rope_type
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, whose `alpha` stands for a larger base of the
    rotation.
    """
    keys = usual(config)
    if rope_type(rope(config)) == "dynamic" and (alpha := rope(config).get("alpha")):
        n = keys["rope.dimension_count"]
        keys["rope.freq_base"] *= alpha ** (n / (n - 2))
        keys["rope.scaling.type"] = "none"
    return keys


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.self_attn.", "blk.{i}."
    return [
        Tensor(at + "query_layernorm", to + "attn_q_norm"),
        Tensor(at + "key_layernorm", to + "attn_k_norm"),
        *usual_tensors(config),
    ]


@architecture("hunyuan-dense")
class HunyuanDense(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint(
            "hunyuan-dense",
            ("hunyuan_v1_dense",),
            hyperparameters,
            tensors,
            harmless=(
                "attention_head_dim",
                "org_vocab_size",
                "cla_share_factor",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention, the norms after the rotation."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        q = q.rope(rope).rms_norm(w.attn_q_norm, self.eps)
        k = k.rope(rope).rms_norm(w.attn_k_norm, self.eps)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
