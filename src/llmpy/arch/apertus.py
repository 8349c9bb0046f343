"""Apertus (Swiss AI 2025): Llama's wiring with norms of each head, and xIELU.

x -> norm -> attention -> + -> norm -> xielu -> + -> ... -> norm -> logits
xIELU is from Huang and Schlag (2024); each block has its own.
"""

from __future__ import annotations

import math
from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.rope_config import SCALED, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

NUMBERS = ("alpha_n", "alpha_p", "beta", "eps")
LARGE = 1e6  # larger numbers would make all others vanish


def hyperparameters(config: Config) -> dict[str, Any]:
    return usual(config)


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint; the numbers of xIELU are metadata of a file."""
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        *(Tensor(f"{at}mlp.act_fn.{name}", None) for name in NUMBERS),
        Tensor(at + "attention_layernorm", to + "attn_norm"),
        Tensor(at + "feedforward_layernorm", to + "ffn_norm"),
        *usual_tensors(config),
    ]


@architecture("apertus")
class Apertus(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    alpha_n: tuple[float, ...] = key("xielu.alpha_n", least=-LARGE, most=LARGE)
    alpha_p: tuple[float, ...] = key("xielu.alpha_p", least=-LARGE, most=LARGE)
    beta: tuple[float, ...] = key("xielu.beta", least=-LARGE, most=LARGE)

    checkpoints = (
        Checkpoint(
            "apertus",
            ("apertus",),
            hyperparameters,
            tensors,
            rope_tensors,
            {f"xielu.{name}": "model.layers.{i}.mlp.act_fn." + name for name in NUMBERS},
            activation=("xielu",),
            rope_types=SCALED,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for i, layer in enumerate(w.blk):
            y = x.rms_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, w.rope_freqs, y)
            y = x.rms_norm(layer.ffn_norm, self.eps).linear(layer.ffn_up)
            x = x + self.xielu(y, i).linear(layer.ffn_down)
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, factors: Weights, x: Value) -> Value:
        """Rotary grouped-query attention, its queries and keys normed."""
        q, k, v = self.qkv(w, x)
        q, k = q.rms_norm(w.attn_q_norm, self.eps), k.rms_norm(w.attn_k_norm, self.eps)
        rope = self.rope(neox=True)
        q, k = q.rope(rope, factors), k.rope(rope, factors)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)

    def xielu(self, x: Value, i: int) -> Value:
        """beta x + p x^2 above 0, beta x + n (exp(x) - 1 - x) below it."""
        p, n = softplus(self.alpha_p[i]), self.beta[i] + softplus(self.alpha_n[i])
        above = x.relu()
        below = x + above.scale(-1.0)
        t = below.scale(0.5).tanh()  # exp(x) - 1 = t exp(x) + t, without a difference
        grown = t * below.exp() + t + below.scale(-1.0)
        return x.scale(self.beta[i]) + (above * above).scale(p) + grown.scale(n)


def softplus(x: float) -> float:
    """log(1 + exp(x))."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
