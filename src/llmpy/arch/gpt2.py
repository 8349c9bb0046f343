"""GPT-2 (Radford et al. 2019): a pre-norm decoder with learned positions.

x -> + position -> norm -> attention -> + -> norm -> feed-forward -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import activate, qkv
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, sizes
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; other scales of attention than the usual one are
    refused.
    """
    expect(config, "scale_attn_by_inverse_layer_idx", False)
    expect(config, "scale_attn_weights", True)
    return {**sizes(config), "hidden_activation": config.get("activation_function", "gelu_new")}


def tensors(_config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose matrices are [n_in, n_out]."""
    rules = [Tensor("lm_head", "output")]
    for top in ("transformer.", ""):
        at, to = top + "h.{i}.", "blk.{i}."
        rules += [
            Tensor(top + "wte", "token_embd"),
            Tensor(top + "wpe", "position_embd"),
            Tensor(top + "ln_f", "output_norm"),
            Tensor(at + "ln_1", to + "attn_norm"),
            Tensor(at + "attn.bias", None),  # the causal mask
            Tensor(at + "attn.masked_bias", None),
            Tensor(at + "attn.c_attn", to + "attn_qkv", np.transpose),
            Tensor(at + "attn.c_proj", to + "attn_output", np.transpose),
            Tensor(at + "ln_2", to + "ffn_norm"),
            Tensor(at + "mlp.c_fc", to + "ffn_up", np.transpose),
            Tensor(at + "mlp.c_proj", to + "ffn_down", np.transpose),
        ]
    return rules


@architecture("gpt2")
class Gpt2:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_head: int = key("attention.head_count")
    n_kv: int = key("attention.head_count_kv", default="n_head")
    eps: float = key("attention.layer_norm_epsilon")
    activation: str = key("hidden_activation", default="gelu_new")

    checkpoints = (
        Checkpoint(
            "gpt2",
            ("gpt2",),
            hyperparameters,
            tensors,
            activation=(),
            rope_types=None,
            harmless=(
                "n_ctx",
                "n_special",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd) + tokens.embed_position(w.position_embd)
        for layer in w.blk:
            x = x + self.attention(layer, x.layer_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.layer_norm(layer.ffn_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention of all heads with a key for each."""
        q, k, v = qkv(w, x, self.n_head, self.n_kv)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, an activation between them."""
        return activate(x.linear(w.ffn_up), self.activation).linear(w.ffn_down)
