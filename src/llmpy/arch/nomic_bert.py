"""Nomic BERT (Nussbaum et al. 2024) and Jina BERT 3 (Sturua et al. 2024): BERT with rotation.

tokens + type -> norm -> attention -> + -> norm -> feed-forward -> + -> norm -> ...
Nomic's feed-forward is SwiGLU, without biases. The result is the last state of each token.
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

# what the first configurations of Nomic BERT call things, which are GPT-2's names
EARLIER = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "layer_norm_eps": "layer_norm_epsilon",
    "rope_theta": "rotary_emb_base",
}


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, under its present names and its earlier ones."""
    earlier = {new: config[old] for new, old in EARLIER.items() if old in config}
    merged = config | (earlier | dict(config.items()))
    trained = merged.get("max_trained_positions", 2048)
    if "n_positions" in merged:  # 8192, a hope; trained were 2048
        merged["max_position_embeddings"] = min(merged["n_positions"], trained)
    expect(merged, "prenorm", False)
    _ = merged.get("dense_seq_output"), merged.get("rotary_scaling_factor")  # beyond its context
    expect(merged, "rotary_emb_interleaved", False)
    expect(merged, "rotary_emb_fraction", 1.0)
    return {
        **usual(merged),
        "attention.layer_norm_epsilon": merged["layer_norm_eps"],
        "attention.causal": False,
        "tokenizer.ggml.token_type_count": merged.get("type_vocab_size", 1),
    }


def tensors(_config: Config) -> list[Tensor]:
    at, to = "encoder.layers.{i}.", "blk.{i}."
    return [
        Tensor("embeddings.word_embeddings", "token_embd"),
        Tensor("embeddings.token_type_embeddings", "token_types"),
        Tensor("emb_ln", "token_embd_norm"),
        Tensor("pooler.dense", None),
        Tensor(at + "attn.Wqkv", to + "attn_qkv"),
        Tensor(at + "attn.out_proj", to + "attn_output"),
        Tensor(at + "mixer.Wqkv", to + "attn_qkv"),
        Tensor(at + "mixer.out_proj", to + "attn_output"),
        Tensor(at + "norm1", to + "attn_output_norm"),
        Tensor(at + "mlp.fc11", to + "ffn_up"),
        Tensor(at + "mlp.fc12", to + "ffn_gate"),
        Tensor(at + "mlp.fc1", to + "ffn_up"),
        Tensor(at + "mlp.fc2", to + "ffn_down"),
        Tensor(at + "norm2", to + "layer_output_norm"),
    ]


@architecture("nomic-bert", "jina-bert-v3")
class NomicBert(Rotary):
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint(
            "nomic-bert",
            ("nomic_bert",),
            hyperparameters,
            tensors,
            activation=("silu", "swiglu"),
            rope_types=(),
        ),
        Checkpoint(
            "jina-bert-v3",
            ("jina_embeddings_v3",),
            hyperparameters,
            tensors,
            activation=("gelu",),
            rope_types=(),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        if w.token_types:  # of all tokens the first
            x = x + tokens.embed_row(w.token_types)
        x = x.layer_norm(w.token_embd_norm, self.eps)
        for layer in w.blk:
            x = (x + self.attention(layer, x)).layer_norm(layer.attn_output_norm, self.eps)
            x = (x + self.feed_forward(layer, x)).layer_norm(layer.layer_output_norm, self.eps)
        return x

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention to the whole text."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        y = q.rope(rope).attend(k.rope(rope).cached(), v.cached(), causal=False)
        return y.linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """SwiGLU, or two matrices with a GELU between them."""
        if w.ffn_gate:
            return swiglu(w, x)
        return x.linear(w.ffn_up).gelu_exact().linear(w.ffn_down)
