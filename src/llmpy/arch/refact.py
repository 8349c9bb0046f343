"""Refact 1.6B: linear biases of attention, one key and value for all heads, SwiGLU, RMS norms.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import qkv, swiglu
from llmpy.arch.checkpoint import Array, Checkpoint, Config, Tensor, sizes
from llmpy.graph import Value, Weights

ALIBI = 8.0  # no key says so


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; its epsilon is that of RMS norms."""
    keys = sizes(config)
    keys["attention.layer_norm_rms_epsilon"] = keys.pop("attention.layer_norm_epsilon")
    n_ff = -(-8 * config["n_embd"] // 3 // 256) * 256
    return {**keys, "feed_forward_length": n_ff, "attention.head_count_kv": 1}


def tensors(_config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, which has keys with values and gates with ups."""

    def halves(w: Array) -> list[Array]:
        return np.split(w, 2)

    at, to = "transformer.h.{i}.", "blk.{i}."
    return [
        Tensor("transformer.wte", "token_embd"),
        Tensor("transformer.ln_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "ln_1", to + "attn_norm"),
        Tensor(at + "attn.q", to + "attn_q"),
        Tensor(at + "attn.kv", (to + "attn_k", to + "attn_v"), halves),
        Tensor(at + "attn.c_proj", to + "attn_output"),
        Tensor(at + "ln_2", to + "ffn_norm"),
        Tensor(at + "mlp.gate_up_proj", (to + "ffn_gate", to + "ffn_up"), halves),
        Tensor(at + "mlp.c_proj", to + "ffn_down"),
    ]


@architecture("refact")
class Refact:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_head: int = key("attention.head_count")
    n_kv: int = key("attention.head_count_kv", default=1)
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint(
            "refact", ("gpt_refact",), hyperparameters, tensors, activation=(), rope_types=None
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention with linear biases, whose heads share a key and a value."""
        q, k, v = qkv(w, x, self.n_head, self.n_kv)
        return q.attend(k.cached(), v.cached(), alibi=ALIBI).linear(w.attn_output)
