"""Jina BERT 2 (Günther et al. 2023): BERT with linear biases of attention for positions, and GEGLU.

tokens + type -> norm -> attention -> + -> norm -> gated feed-forward -> + -> norm -> ...
The model for code also norms queries and keys, and adds the input once more after attention.
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect
from llmpy.graph import Value, Weights

ALIBI = 8.0  # no key says so


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "position_embedding_type", "alibi")
    expect(config, "feed_forward_type", "geglu")
    return {
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.layer_norm_epsilon": config["layer_norm_eps"],
        "attention.causal": False,
        "vocab_size": config["vocab_size"],
        "tokenizer.ggml.token_type_count": config.get("type_vocab_size", 1),
    }


def tensors(_config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, under the names of the models for text and of
    that for code.
    """
    at, to = "encoder.layer.{i}.", "blk.{i}."
    return [
        Tensor("embeddings.word_embeddings", "token_embd"),
        Tensor("embeddings.token_type_embeddings", "token_types"),
        Tensor("embeddings.LayerNorm", "token_embd_norm"),
        Tensor("embeddings.position_ids", None),
        Tensor("pooler.dense", None),
        Tensor(at + "attention.self.query", to + "attn_q"),
        Tensor(at + "attention.self.key", to + "attn_k"),
        Tensor(at + "attention.self.value", to + "attn_v"),
        Tensor(at + "attention.self.layer_norm_q", to + "attn_q_norm"),
        Tensor(at + "attention.self.layer_norm_k", to + "attn_k_norm"),
        Tensor(at + "attention.output.dense", to + "attn_output"),
        Tensor(at + "attention.output.LayerNorm", to + "attn_output_norm"),
        Tensor(at + "layer_norm_1", to + "attn_norm_2"),
        Tensor(at + "mlp.gated_layers", to + "ffn_up"),
        Tensor(at + "mlp.up_gated_layer", to + "ffn_up"),
        Tensor(at + "mlp.wo", to + "ffn_down"),
        Tensor(at + "mlp.down_layer", to + "ffn_down"),
        Tensor(at + "mlp.layernorm", to + "layer_output_norm"),
        Tensor(at + "layer_norm_2", to + "layer_output_norm"),
    ]


@architecture("jina-bert-v2")
class JinaBert2:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_ff: int = key("feed_forward_length")
    n_head: int = key("attention.head_count")
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint("jina-bert-v2", ("JinaBertModel", "JinaBertForMaskedLM"), hyperparameters,
                   tensors, activation=(), rope_types=None),
    )  # fmt: skip

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd) + tokens.embed_row(w.token_types)  # of all the first type
        x = x.layer_norm(w.token_embd_norm, self.eps)
        for layer in w.blk:
            y = (x + self.attention(layer, x)).layer_norm(layer.attn_output_norm, self.eps)
            if layer.attn_norm_2:
                y = (x + y).layer_norm(layer.attn_norm_2, self.eps)
            x = (y + self.feed_forward(layer, y)).layer_norm(layer.layer_output_norm, self.eps)
        return x

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention to the whole text, less with the distance; queries and keys may be normed."""
        q, k, v = x.linear(w.attn_q), x.linear(w.attn_k), x.linear(w.attn_v).heads(self.n_head)
        if w.attn_q_norm:  # over all heads at once
            q, k = q.layer_norm(w.attn_q_norm, self.eps), k.layer_norm(w.attn_k_norm, self.eps)
        q, k = q.heads(self.n_head), k.heads(self.n_head)
        y = q.attend(k.cached(), v.cached(), causal=False, alibi=ALIBI)
        return y.linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Gated, with gate and up in one matrix or, in early files, in two."""
        up = x.linear(w.ffn_up)
        if w.ffn_gate:
            gate = x.linear(w.ffn_gate)
        elif up.shape == (2 * self.n_ff,):
            gate, up = up.split(self.n_ff, self.n_ff)
        else:
            return up.gelu_exact().linear(w.ffn_down)
        return (gate.gelu_exact() * up).linear(w.ffn_down)
