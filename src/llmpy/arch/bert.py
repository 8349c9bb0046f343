"""BERT (Devlin et al. 2018), RoBERTa, XLM-RoBERTa, CamemBERT: encoders, whose tokens all see all.

(tokens + positions + type) -> norm -> attention -> + -> norm -> feed-forward -> + -> norm -> ...
The result is the last state of each token, which `Model.embed` pools.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import qkv
from llmpy.arch.checkpoint import Array, Checkpoint, Config, Tensor, expect
from llmpy.graph import Value, Weights


def hyperparameters(config: Config, offset: int = 0) -> dict[str, Any]:
    """Return the metadata of a checkpoint whose first text position is the row `offset` of its
    table.
    """
    expect(config, "position_embedding_type", "absolute")
    expect(config, "is_decoder", False)
    return {
        "context_length": config["max_position_embeddings"] - offset,
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.layer_norm_epsilon": config["layer_norm_eps"],
        "attention.causal": False,
        "vocab_size": config["vocab_size"],
        "tokenizer.ggml.token_type_count": config.get("type_vocab_size", 1),
    }


def tensors(_config: Config, offset: int = 0, name: str = "bert.") -> list[Tensor]:
    """Return the tensor rules of a checkpoint; the heads of its training are left out."""
    change: Callable[[Array], Array] | None = (lambda w: w[offset:]) if offset else None
    rules = [Tensor(head, None) for head in _HEADS]
    for top in (name, ""):
        at, to = top + "encoder.layer.{i}.", "blk.{i}."
        rules += [
            Tensor(top + "embeddings.word_embeddings", "token_embd"),
            Tensor(top + "embeddings.position_embeddings", "position_embd", change),
            Tensor(top + "embeddings.token_type_embeddings", "token_types"),
            Tensor(top + "embeddings.LayerNorm", "token_embd_norm"),
            Tensor(top + "embeddings.position_ids", None),
            Tensor(top + "pooler.dense", None),
            Tensor(at + "attention.self.query", to + "attn_q"),
            Tensor(at + "attention.self.key", to + "attn_k"),
            Tensor(at + "attention.self.value", to + "attn_v"),
            Tensor(at + "attention.output.dense", to + "attn_output"),
            Tensor(at + "attention.output.LayerNorm", to + "attn_output_norm"),
            Tensor(at + "intermediate.dense", to + "ffn_up"),
            Tensor(at + "output.dense", to + "ffn_down"),
            Tensor(at + "output.LayerNorm", to + "layer_output_norm"),
        ]
    return rules


_HEADS = [
    "cls.predictions.bias", "cls.predictions.decoder", "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm", "cls.seq_relationship", "lm_head.bias",
    "lm_head.decoder", "lm_head.dense", "lm_head.layer_norm",
]  # fmt: skip


def _first_position(config: Config) -> int:
    """RoBERTa's positions begin after that of the padding token."""
    return int(config.get("pad_token_id", 1)) + 1


@architecture("bert")
class Bert:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_head: int = key("attention.head_count")
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint(
            "bert", ("bert",), hyperparameters, tensors, activation=("gelu",), rope_types=None
        ),
        Checkpoint(
            "bert",
            ("camembert", "roberta", "xlm-roberta"),
            lambda c: hyperparameters(c, _first_position(c)),
            lambda c: tensors(c, _first_position(c), "roberta."),
            activation=("gelu",),
            rope_types=None,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd) + tokens.embed_position(w.position_embd)
        if w.token_types:  # of all tokens the first
            x = x + tokens.embed_row(w.token_types)
        x = x.layer_norm(w.token_embd_norm, self.eps)
        for layer in w.blk:
            x = (x + self.attention(layer, x)).layer_norm(layer.attn_output_norm, self.eps)
            x = (x + self.feed_forward(layer, x)).layer_norm(layer.layer_output_norm, self.eps)
        return x

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention to the whole text."""
        q, k, v = qkv(w, x, self.n_head, self.n_head)
        return q.attend(k.cached(), v.cached(), causal=False).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, a GELU between them."""
        return x.linear(w.ffn_up).gelu_exact().linear(w.ffn_down)
