"""Falcon (Almazrouei et al. 2023): rotary attention beside the feed-forward.

x -> norm -> (attention, feed-forward) -> + both -> ... -> norm -> logits
7B and 11B read one norm, 40B and 180B one each. 7B has one key and value for all heads.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, ungrouped, usual
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; the first small ones, with ALiBi and biases, are
    refused.
    """
    expect(config, "alibi", False)
    expect(config, "bias", False)
    expect(config, "parallel_attn", True)
    config = config | {
        "max_position_embeddings": config.get("max_position_embeddings") or 2048,
        "num_attention_heads": _n_head(config),
        "num_hidden_layers": config.get("num_hidden_layers") or config["n_layer"],
    }
    return {
        **usual(config),
        "tensor_data_layout": "jploski",  # what the ecosystem calls its order of q, k and v
        "feed_forward_length": config.get("ffn_hidden_size") or 4 * config["hidden_size"],
        "attention.head_count_kv": _n_kv(config),
        "attention.layer_norm_epsilon": config["layer_norm_epsilon"],
    }


def _n_head(config: Config) -> int:
    return int(config.get("num_attention_heads") or config["n_head"])


def _n_kv(config: Config) -> int:
    """Return the number of key heads; in the earlier layout it is one, or one for each head."""
    if config.get("new_decoder_architecture"):
        return int(config.get("num_kv_heads") or config.get("n_head_kv") or _n_head(config))
    return 1 if config.get("multi_query", True) else _n_head(config)


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, which has queries in groups with their key and
    value.
    """
    apart = partial(ungrouped, n_head=_n_head(config), n_kv=_n_kv(config))
    at, to = "transformer.h.{i}.", "blk.{i}."
    return [
        Tensor("transformer.word_embeddings", "token_embd"),
        Tensor("transformer.ln_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "input_layernorm", to + "attn_norm"),
        Tensor(at + "ln_mlp", to + "attn_norm"),
        Tensor(at + "ln_attn", to + "attn_norm_2"),
        Tensor(at + "self_attention.query_key_value", to + "attn_qkv", apart),
        Tensor(at + "self_attention.dense", to + "attn_output"),
        Tensor(at + "mlp.dense_h_to_4h", to + "ffn_up"),
        Tensor(at + "mlp.dense_4h_to_h", to + "ffn_down"),
    ]


@architecture("falcon")
class Falcon(Rotary):
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint(
            "falcon",
            ("falcon", "RefinedWeb", "RefinedWebModel"),
            hyperparameters,
            tensors,
            activation=("gelu",),
            harmless=("multi_query", "num_kv_heads", "n_head_kv", "num_ln_in_parallel_attn"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = z = x.layer_norm(layer.attn_norm, self.eps)
            if layer.attn_norm_2:  # then the first norm is the feed-forward's
                z = x.layer_norm(layer.attn_norm_2, self.eps)
            x = x + self.attention(layer, z) + self.feed_forward(layer, y)
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary attention whose heads share keys and values."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, a GELU between them."""
        return x.linear(w.ffn_up).gelu_exact().linear(w.ffn_down)
