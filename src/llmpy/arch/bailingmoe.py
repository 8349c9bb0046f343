"""Ling and Ring, first versions: plain attention, many small experts and shared ones.

x -> norm -> attention -> + -> norm -> routed + shared experts -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Array, Checkpoint, Config, Tensor, paired, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, expert_tensors
from llmpy.arch.rope_config import SCALED, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    shared = config.get("num_shared_experts")
    return {**usual(config), **expert_keys(config), "expert_shared_count": shared}


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint: queries, keys and values are one matrix, whose
    pairs are halves of heads.
    """
    n_head, n_kv = config["num_attention_heads"], config["num_key_value_heads"]

    def split(w: Array) -> tuple[Array, Array, Array]:
        d = w.shape[0] // (n_head + 2 * n_kv)
        q, k, v = np.split(w, [n_head * d, (n_head + n_kv) * d])
        return paired(q, n_head), paired(k, n_kv), v

    def unit(w: Array) -> Array:
        columns: Array = w / (np.linalg.norm(w, axis=0, keepdims=True) + 1e-7)
        return columns

    at, to = "model.layers.{i}.attention.", "blk.{i}.attn_"
    return [
        Tensor("model.word_embeddings", "token_embd"),
        Tensor("lm_head", "output", unit if config.get("norm_head") else None),
        Tensor(at + "query_key_value", (to + "q", to + "k", to + "v"), split),
        Tensor(at + "dense", to + "output"),
        *usual_tensors(config),
        *expert_tensors(),
    ]


@architecture("bailingmoe")
class BailingMoe(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint(
            "bailingmoe",
            ("bailing_moe",),
            hyperparameters,
            tensors,
            extra=rope_tensors,
            rope_types=SCALED,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, w, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, top: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        q, k = q.rope(rope, top.rope_freqs), k.rope(rope, top.rope_freqs)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
