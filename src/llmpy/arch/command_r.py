"""Command-R and Aya: attention and feed-forward side by side after one layer norm.

x -> norm -> attention, swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, which may know a longer context than its table of
    positions had.
    """
    return {
        **usual(config),
        "context_length": config.get("model_max_length") or config["max_position_embeddings"],
        "attention.layer_norm_epsilon": config["layer_norm_eps"],
        "logit_scale": config["logit_scale"],
        "rope.scaling.type": "none",
    }


def tensors(config: Config) -> list[Tensor]:
    return [Tensor("lm_head", None), *usual_tensors(config)]


@architecture("command-r")
class CommandR(Rotary):
    eps: float = key("attention.layer_norm_epsilon")
    logit_scale: float = key("logit_scale", default=1.0)

    checkpoints = (Checkpoint("command-r", ("cohere",), hyperparameters, tensors, rope_types=()),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = x.layer_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, y) + swiglu(layer, y)
        x = x.layer_norm(w.output_norm, self.eps)
        return x.linear(w.token_embd).scale(self.logit_scale or 1.0)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention; Command-R+ norms each head of queries and keys by its own weights."""
        q, k, v = self.qkv(w, x)
        if w.attn_q_norm:
            q, k = q.layer_norm(w.attn_q_norm, self.eps), k.layer_norm(w.attn_k_norm, self.eps)
        rope = self.rope(neox=False)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
