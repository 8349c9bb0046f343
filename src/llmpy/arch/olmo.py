"""OLMo: Llama's wiring with layer norms that have no weights.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, which does not say its epsilon."""
    clip = config.get("clip_qkv")
    return {
        **usual(config),
        "attention.layer_norm_epsilon": 1e-5,
        "attention.clamp_kqv": None if clip is None else float(clip),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are halves of a head."""
    return usual_tensors(config, pairs=True)


@architecture("olmo")
class Olmo(Rotary):
    eps: float = key("attention.layer_norm_epsilon")
    clip: float = key("attention.clamp_kqv", default=0.0)

    checkpoints = (Checkpoint("olmo", ("olmo",), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.layer_norm(None, self.eps))
            x = x + swiglu(layer, x.layer_norm(None, self.eps))
        return x.layer_norm(None, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention of queries, keys and values that may be clipped."""
        q, k, v = self.qkv(w, x)
        if self.clip:
            q, k, v = (y.clamp(-self.clip, self.clip) for y in (q, k, v))
        rope = self.rope(neox=False)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
