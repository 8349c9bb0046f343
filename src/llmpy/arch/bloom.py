"""BLOOM (BigScience 2022): no positions, but scores that fall with the distance (ALiBi).

x -> norm -> norm -> attention -> + -> norm -> feed-forward -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import qkv
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, ungrouped
from llmpy.graph import Value, Weights

ALIBI = 8.0  # of all BLOOM models; no key says so


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, under its present names and its earlier ones."""
    expect(config, "apply_residual_connection_post_layernorm", False)
    width = config.get("hidden_size") or config["n_embed"]
    n_head = _n_head(config)
    return {
        "context_length": config.get("seq_length") or 2048,  # of its training; there is no limit
        "embedding_length": width,
        "feed_forward_length": 4 * width,
        "block_count": config.get("n_layer") or config["num_hidden_layers"],
        "attention.head_count": n_head,
        "attention.head_count_kv": n_head,
        "attention.layer_norm_epsilon": config["layer_norm_epsilon"],
        "vocab_size": config["vocab_size"],
    }


def _n_head(config: Config) -> int:
    return int(config.get("n_head") or config.get("num_attention_heads", 0))


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose heads have q, k and v side by side."""
    n = _n_head(config)
    apart = partial(ungrouped, n_head=n, n_kv=n)
    rules = [Tensor("lm_head", "output")]
    for top in ("transformer.", ""):
        at, to = top + "h.{i}.", "blk.{i}."
        rules += [
            Tensor(top + "word_embeddings", "token_embd"),
            Tensor(top + "word_embeddings_layernorm", "token_embd_norm"),
            Tensor(top + "ln_f", "output_norm"),
            Tensor(at + "input_layernorm", to + "attn_norm"),
            Tensor(at + "self_attention.query_key_value", to + "attn_qkv", apart),
            Tensor(at + "self_attention.dense", to + "attn_output"),
            Tensor(at + "post_attention_layernorm", to + "ffn_norm"),
            Tensor(at + "mlp.dense_h_to_4h", to + "ffn_up"),
            Tensor(at + "mlp.dense_4h_to_h", to + "ffn_down"),
        ]
    return rules


@architecture("bloom")
class Bloom:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_head: int = key("attention.head_count")
    n_kv: int = key("attention.head_count_kv", default="n_head")
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint(
            "bloom",
            ("bloom",),
            hyperparameters,
            tensors,
            activation=(),
            rope_types=None,
            harmless=(
                "offset_alibi",
                "n_inner",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd).layer_norm(w.token_embd_norm, self.eps)
        for layer in w.blk:
            x = x + self.attention(layer, x.layer_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.layer_norm(layer.ffn_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention with linear biases."""
        q, k, v = qkv(w, x, self.n_head, self.n_kv)
        return q.attend(k.cached(), v.cached(), alibi=ALIBI).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, a GELU between them."""
        return x.linear(w.ffn_up).gelu().linear(w.ffn_down)
