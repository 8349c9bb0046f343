"""MPT (MosaicML 2023): linear biases of attention or learned positions, mostly without biases.

x -> norm -> attention -> + -> norm -> feed-forward -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import split_heads
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; scales of scores and logits of its own are refused."""
    attention_config = config.get("attn_config") or {}
    alibi = attention_config.get("alibi_bias_max", 8)
    expect(attention_config, "softmax_scale", None)
    expect(attention_config, "prefix_lm", False)
    expect(attention_config, "attn_type", "multihead_attention", "grouped_query_attention")
    expect(attention_config, "attn_uses_sequence_id", False, None)
    expect(config, "norm_type", "low_precision_layernorm", "layernorm")
    expect(config, "logit_scale", None)
    return {
        "context_length": config["max_seq_len"],
        "embedding_length": config["d_model"],
        "block_count": config["n_layers"],
        "feed_forward_length": config.get("expansion_ratio", 4) * config["d_model"],
        "attention.head_count": config["n_heads"],
        "attention.head_count_kv": attention_config.get("kv_n_heads"),
        "attention.layer_norm_epsilon": config.get("layer_norm_epsilon", 1e-5),
        "attention.clamp_kqv": attention_config.get("clip_qkv"),
        "attention.max_alibi_bias": alibi if attention_config.get("alibi", True) else 0,
        "vocab_size": config["vocab_size"],
    }


def tensors(_config: Config) -> list[Tensor]:
    at, to = "transformer.blocks.{i}.", "blk.{i}."
    return [
        Tensor("transformer.wte", "token_embd"),
        Tensor("transformer.wpe", "position_embd"),
        Tensor("transformer.norm_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "norm_1", to + "attn_norm"),
        Tensor(at + "attn.Wqkv", to + "attn_qkv"),
        Tensor(at + "attn.q_ln", to + "attn_q_norm"),
        Tensor(at + "attn.k_ln", to + "attn_k_norm"),
        Tensor(at + "attn.out_proj", to + "attn_output"),
        Tensor(at + "norm_2", to + "ffn_norm"),
        Tensor(at + "ffn.up_proj", to + "ffn_up"),
        Tensor(at + "ffn.down_proj", to + "ffn_down"),
    ]


@architecture("mpt")
class Mpt:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_head: int = key("attention.head_count")
    n_kv: int = key("attention.head_count_kv", default="n_head")
    eps: float = key("attention.layer_norm_epsilon")
    clamp: float = key("attention.clamp_kqv", default=0.0)
    alibi: float = key("attention.max_alibi_bias", default=0.0)

    checkpoints = (
        Checkpoint(
            "mpt",
            ("mpt",),
            hyperparameters,
            tensors,
            activation=(),
            rope_types=None,
            harmless=("no_bias", "learned_pos_emb", "embedding_fraction"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd)
        if w.position_embd:
            x = x + tokens.embed_position(w.position_embd)
        for layer in w.blk:
            x = x + self.attention(layer, x.layer_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.layer_norm(layer.ffn_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention with linear biases; projections may be clamped, queries and keys normed."""
        y = x.linear(w.attn_qkv)
        if self.clamp:
            y = y.clamp(-self.clamp, self.clamp)
        q, k, v = split_heads(y, self.n_head, self.n_kv)
        if w.attn_q_norm:  # over all heads at once
            q = q.flatten().layer_norm(w.attn_q_norm, self.eps).heads(self.n_head)
            k = k.flatten().layer_norm(w.attn_k_norm, self.eps).heads(self.n_kv)
        return q.attend(k.cached(), v.cached(), alibi=self.alibi).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, a GELU between them."""
        return x.linear(w.ffn_up).gelu_exact().linear(w.ffn_down)
