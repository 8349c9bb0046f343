"""StableLM 3B, 2 1.6B and 2 12B: partly rotated heads, SwiGLU, in turn or beside each other.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
12B norms each head of queries and keys, and has one norm for attention and feed-forward.
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, under its present names and its earlier ones."""
    eps = config.get("layer_norm_eps", config.get("norm_eps", 1e-5))
    return {
        **usual(config, rotates=config.get("rope_pct", 0.25)),
        "attention.layer_norm_epsilon": eps,
        "use_parallel_residual": config.get("use_parallel_residual", False),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint; the norms of the heads are apart there."""
    at, to = "model.layers.{i}.self_attn.", "blk.{i}."
    return [
        Tensor(at + "q_layernorm.norms.{e}", to + "attn_q_norm"),
        Tensor(at + "k_layernorm.norms.{e}", to + "attn_k_norm"),
        *usual_tensors(config),
    ]


@architecture("stablelm")
class StableLm(Rotary):
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint("stablelm", ("stablelm", "stablelm_epoch"), hyperparameters, tensors),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = x.layer_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, y)
            if layer.ffn_norm:  # not where both read the same norm
                y = x.layer_norm(layer.ffn_norm, self.eps)
            x = x + swiglu(layer, y)
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Grouped-query attention that rotates a part of each head."""
        q, k, v = self.qkv(w, x)
        if w.attn_q_norm:
            q, k = q.layer_norm(w.attn_q_norm, self.eps), k.layer_norm(w.attn_k_norm, self.eps)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
