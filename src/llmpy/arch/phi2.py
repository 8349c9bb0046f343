"""Phi 1, 1.5 and 2: partly rotated attention beside the feed-forward, after one norm.

x -> norm -> (attention, feed-forward) -> + both -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "qk_layernorm", False)
    return {
        **usual(config, rotates=0.5),
        "attention.layer_norm_epsilon": config["layer_norm_eps"],
    }


def tensors(_config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor("model.embed_tokens", "token_embd"),
        Tensor("model.final_layernorm", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "input_layernorm", to + "attn_norm"),
        Tensor(at + "self_attn.q_proj", to + "attn_q"),
        Tensor(at + "self_attn.k_proj", to + "attn_k"),
        Tensor(at + "self_attn.v_proj", to + "attn_v"),
        Tensor(at + "self_attn.dense", to + "attn_output"),
        Tensor(at + "mlp.fc1", to + "ffn_up"),
        Tensor(at + "mlp.fc2", to + "ffn_down"),
    ]


@architecture("phi2")
class Phi2(Rotary):
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint("phi2", ("phi",), hyperparameters, tensors, activation=("gelu_pytorch_tanh",)),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = x.layer_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, y) + self.feed_forward(layer, y)
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention that rotates a part of each head."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, a GELU between them."""
        return x.linear(w.ffn_up).gelu().linear(w.ffn_down)
