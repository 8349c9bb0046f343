"""GLM 4 (0414): norms around both halves of a block, and rotation of half of each head.

x -> norm -> attention -> norm -> + -> norm -> swiglu -> norm -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import fused_swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return usual(config, rotates=0.5)


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor(at + "post_self_attn_layernorm", to + "post_attention_norm"),
        Tensor(at + "mlp.gate_up_proj", to + "ffn_up"),
        Tensor(at + "post_mlp_layernorm", to + "post_ffw_norm"),
        *usual_tensors(config),
    ]


@architecture("glm4")
class Glm4(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    sections: tuple[int, ...] = key("rope.dimension_sections", default=(), least=0, n=4)

    checkpoints = (Checkpoint("glm4", ("glm4",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + y.rms_norm(layer.post_attention_norm, self.eps)
            y = fused_swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
            x = x + y.rms_norm(layer.post_ffw_norm, self.eps)
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention; files of models that see have sections, and pairs as halves.

        The sections are for positions in pictures: in text they all turn alike.
        """
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=any(self.sections))
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
