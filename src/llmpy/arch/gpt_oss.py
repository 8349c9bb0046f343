"""gpt-oss: attention with sinks, every second layer in a window; experts with clamped gates.

Each head has a sink: a score that takes its part of the softmax and adds no value.
    x -> norm -> attention -> + -> norm -> experts -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import sliding_layers
from llmpy.arch.checkpoint import (
    Array,
    Checkpoint,
    Config,
    Tensor,
    expect,
    usual,
    usual_tensors,
    window_pattern,
)
from llmpy.arch.experts import Experts, expert_keys
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "swiglu_alpha", 1.702, None)
    expect(config, "swiglu_limit", 7.0, None)
    return {
        **usual(config, truncate=False),
        **expert_keys(config),
        "expert_feed_forward_length": config["intermediate_size"],
        **window_pattern(config),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint: gate and up alternate in one tensor, either MXFP4
    or transposed.
    """
    at, to = "model.layers.{i}.", "blk.{i}."
    moe, down = at + "mlp.experts.", to + "ffn_down_exps."

    def both(kind: str) -> tuple[str, str]:
        return f"{to}ffn_gate_exps.{kind}", f"{to}ffn_up_exps.{kind}"

    def packed(part: str) -> tuple[str, str]:
        return f"{moe}{part}_blocks", f"{moe}{part}_scales"

    return [
        Tensor(at + "self_attn.sinks", to + "attn_sinks.weight"),
        Tensor(at + "post_attention_layernorm", to + "post_attention_norm"),
        *usual_tensors(config),
        Tensor(at + "mlp.router", to + "ffn_gate_inp"),
        Tensor(moe + "gate_up_proj", both("weight"), lambda w: alternate(w.swapaxes(1, 2))),
        Tensor(moe + "gate_up_proj_bias", both("bias"), alternate),
        Tensor(moe + "down_proj", down + "weight", lambda w: w.swapaxes(1, 2)),
        Tensor(moe + "down_proj_bias", down + "bias"),
        Tensor(
            packed("gate_up_proj"), both("weight"), lambda b, s: alternate(mxfp4(b, s)), "MXFP4"
        ),
        Tensor(packed("down_proj"), down + "weight", mxfp4, "MXFP4"),
    ]


def alternate(w: Array) -> tuple[Array, Array]:
    """Every second row of each expert, and the others."""
    return w[:, ::2], w[:, 1::2]


def mxfp4(blocks: Array, scales: Array) -> Array:
    """GGUF's blocks of 32 out of codes [n_expert, rows, n_blocks, 16] and scales without the last.

    A byte holds two neighbours there; here the first half of a block is in the low four bits, the
    second in the high ones, and the scale comes first. Gives [n_expert, rows, n_blocks * 17].
    """
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*blocks.shape[:-1], 32)
    packed = codes[..., :16] | (codes[..., 16:] << 4)
    whole = np.concatenate([scales[..., None], packed], axis=-1)
    return whole.reshape(*blocks.shape[:2], -1)


@architecture("gpt-oss")
class GptOss(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window")
    sliding: int | tuple[bool, ...] = key("attention.sliding_window_pattern", default=2, least=0)
    gating: int = key("expert_gating_func", default=3)

    checkpoints = (
        Checkpoint(
            "gpt-oss", ("gpt_oss",), hyperparameters, tensors, harmless=("experts_per_token",)
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer, slides in zip(w.blk, sliding_layers(self.sliding, self.n_layer), strict=True):
            window = self.window if slides else 0
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps), window)
            y = x.rms_norm(layer.post_attention_norm, self.eps)
            x = x + self.routed(layer, y, "swiglu_clamped")
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value, window: int) -> Value:
        """Rotary grouped-query attention; its YaRN does not round to whole pairs."""
        q, k, v = self.qkv(w, x)
        rope = replace(self.rope(neox=True), truncate=False)
        k, v = k.rope(rope).cached(), v.cached()
        y = q.rope(rope).attend(k, v, window=window, sinks=w.attn_sinks)
        return y.linear(w.attn_output)
