"""GPT-J (Wang & Komatsuzaki 2021): rotary attention beside the feed-forward, after one norm.

x -> norm -> (attention, feed-forward) -> + both -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, sizes
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return {**sizes(config), "rope.dimension_count": config["rotary_dim"]}


def tensors(_config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are neighbours already."""
    at, to = "transformer.h.{i}.", "blk.{i}."
    return [
        Tensor("transformer.wte", "token_embd"),
        Tensor("transformer.ln_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "ln_1", to + "attn_norm"),
        Tensor(at + "attn.bias", None),  # the causal mask
        Tensor(at + "attn.masked_bias", None),
        Tensor(at + "attn.q_proj", to + "attn_q"),
        Tensor(at + "attn.k_proj", to + "attn_k"),
        Tensor(at + "attn.v_proj", to + "attn_v"),
        Tensor(at + "attn.out_proj", to + "attn_output"),
        Tensor(at + "mlp.fc_in", to + "ffn_up"),
        Tensor(at + "mlp.fc_out", to + "ffn_down"),
    ]


@architecture("gptj")
class GptJ(Rotary):
    eps: float = key("attention.layer_norm_epsilon")

    checkpoints = (
        Checkpoint(
            "gptj",
            ("gptj",),
            hyperparameters,
            tensors,
            activation=("gelu_pytorch_tanh",),
            rope_types=None,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            y = x.layer_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, y) + self.feed_forward(layer, y)
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Attention that rotates a part of each head, in pairs of neighbours."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Two matrices, a GELU between them."""
        return x.linear(w.ffn_up).gelu().linear(w.ffn_down)
