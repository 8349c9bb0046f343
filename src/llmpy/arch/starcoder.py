"""StarCoder and SantaCoder: GPT-2's wiring, with one key and value for all heads.

x -> + position -> norm -> attention -> + -> norm -> feed-forward -> + -> ... -> norm -> logits
Multi-query attention: Shazeer 2019.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import activate, qkv
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, sizes, ungrouped
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "scale_attn_weights", True)
    n_kv = 1 if config.get("multi_query", True) else config["n_head"]
    return {
        **sizes(config),
        "attention.head_count_kv": n_kv,
        "hidden_activation": config.get("activation_function", "gelu_pytorch_tanh"),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint; without multi-query attention its heads have q, k
    and v side by side.
    """
    n = config["n_head"]
    apart = None if config.get("multi_query", True) else partial(ungrouped, n_head=n, n_kv=n)
    at, to = "transformer.h.{i}.", "blk.{i}."
    return [
        Tensor("transformer.wte", "token_embd"),
        Tensor("transformer.wpe", "position_embd"),
        Tensor("transformer.ln_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "ln_1", to + "attn_norm"),
        Tensor(at + "attn.bias", None),  # the causal mask
        Tensor(at + "attn.masked_bias", None),
        Tensor(at + "attn.c_attn", to + "attn_qkv", apart),
        Tensor(at + "attn.c_proj", to + "attn_output"),
        Tensor(at + "ln_2", to + "ffn_norm"),
        Tensor(at + "mlp.c_fc", to + "ffn_up"),
        Tensor(at + "mlp.c_proj", to + "ffn_down"),
    ]


@architecture("starcoder")
class StarCoder:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_head: int = key("attention.head_count")
    n_kv: int = key("attention.head_count_kv", default=1)
    eps: float = key("attention.layer_norm_epsilon")
    activation: str = key("hidden_activation", default="gelu")  # StarCoder's

    checkpoints = (
        Checkpoint(
            "starcoder",
            ("gpt_bigcode",),
            hyperparameters,
            tensors,
            activation=(),
            rope_types=None,
            harmless=("num_key_value_heads", "max_sequence_length"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = tokens.embed(w.token_embd) + tokens.embed_position(w.position_embd)
        for layer in w.blk:
            x = x + self.attention(layer, x.layer_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.layer_norm(layer.ffn_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention whose heads share a key and a value."""
        n_embd = x.shape[0]
        rows = w.shapes[w.attn_qkv.tensor()][0] if w.attn_qkv else 0
        if self.n_kv == 1 < self.n_head and rows == 3 * n_embd:
            # llama.cpp's converter says one key head of all files, and leaves heads as they are
            d = n_embd // self.n_head
            q, k, v = x.linear(w.attn_qkv).heads(self.n_head).split(d, d, d)
        else:
            q, k, v = qkv(w, x, self.n_head, self.n_kv)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, an activation between them."""
        return activate(x.linear(w.ffn_up), self.activation).linear(w.ffn_down)
