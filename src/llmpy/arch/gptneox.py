"""GPT-NeoX (Black et al. 2022) and its relatives: Pythia, Dolly, RedPajama, StableLM Alpha.

x -> norm -> attention -> +, and x -> norm -> feed-forward -> +: beside each other or in turn.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import activate
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, ungrouped, usual
from llmpy.arch.rope_config import rope_base
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, under its present names and its earlier ones."""
    return {
        **usual(config, rotates=config.get("rotary_pct", 0.25)),
        "attention.layer_norm_epsilon": config["layer_norm_eps"],
        "use_parallel_residual": config.get("use_parallel_residual", True),
        "rope.freq_base": rope_base(config, "rotary_emb_base"),
        "hidden_activation": config.get("hidden_act", "gelu"),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose heads have q, k and v side by side."""
    n = config["num_attention_heads"]
    at, to = "gpt_neox.layers.{i}.", "blk.{i}."
    return [
        Tensor("gpt_neox.embed_in", "token_embd"),
        Tensor("gpt_neox.final_layer_norm", "output_norm"),
        Tensor("embed_out", "output"),
        Tensor(at + "input_layernorm", to + "attn_norm"),
        Tensor(at + "attention.bias", None),  # the causal mask
        Tensor(at + "attention.masked_bias", None),
        Tensor(at + "attention.rotary_emb.inv_freq", None),
        Tensor(
            at + "attention.query_key_value",
            to + "attn_qkv",
            partial(ungrouped, n_head=n, n_kv=n),
        ),
        Tensor(at + "attention.dense", to + "attn_output"),
        Tensor(at + "post_attention_layernorm", to + "ffn_norm"),
        Tensor(at + "mlp.dense_h_to_4h", to + "ffn_up"),
        Tensor(at + "mlp.dense_4h_to_h", to + "ffn_down"),
    ]


@architecture("gptneox")
class GptNeoX(Rotary):
    eps: float = key("attention.layer_norm_epsilon")
    parallel: bool = key("use_parallel_residual", default=True)
    activation: str = key("hidden_activation", default="gelu")

    checkpoints = (
        Checkpoint(
            "gptneox",
            ("gpt_neox",),
            hyperparameters,
            tensors,
            activation=(),
            harmless=("is_decoder",),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = x + self.attention(layer, x.layer_norm(layer.attn_norm, self.eps))
            read = x if self.parallel else y
            x = y + self.feed_forward(layer, read.layer_norm(layer.ffn_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention that rotates a part of each head."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, an activation between them."""
        return activate(x.linear(w.ffn_up), self.activation).linear(w.ffn_down)
