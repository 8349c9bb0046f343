"""Falcon-H1: attention and a state space side by side in every block (Zuo et al. 2025).

x -> norm -> attention + state space -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import state_space, swiglu
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, expect_no_limit, usual
from llmpy.arch.rope_config import SCALED, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect_no_limit(config, "time_step_limit")
    if config["mamba_rms_norm"]:
        expect(config, "mamba_norm_before_gate", False)
    return {
        **usual(config),
        "ssm.conv_kernel": config["mamba_d_conv"],
        "ssm.inner_size": _inner(config),
        "ssm.state_size": config["mamba_d_state"],
        "ssm.time_step_rank": config["mamba_n_heads"],
        "ssm.group_count": config["mamba_n_groups"],
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose multipliers of activations become part of
    the matrices before.
    """
    gate, down = config["mlp_multipliers"]
    attention, heads = config["attention_in_multiplier"], config["mamba_n_groups"]
    at, to = "model.layers.{i}.", "blk.{i}."
    mamba, attend = at + "mamba.", at + "self_attn."
    rows = _of_rows(config)
    embedding, head = config["embedding_multiplier"], config["lm_head_multiplier"]
    embed = Tensor("model.embed_tokens", "token_embd", partial(np.multiply, embedding))
    if config.get("tie_word_embeddings"):
        both = ("token_embd.weight", "output.weight")
        embed = Tensor("model.embed_tokens.weight", both, lambda w: (w * embedding, w * head))
    return [
        embed,
        Tensor("model.final_layernorm", "output_norm"),
        Tensor("lm_head", "output", partial(np.multiply, head)),
        Tensor(at + "input_layernorm", to + "attn_norm"),
        Tensor(attend + "q_proj", to + "attn_q", partial(np.multiply, attention)),
        Tensor(
            attend + "k_proj", to + "attn_k",
            partial(np.multiply, attention * config["key_multiplier"]),
        ),
        Tensor(attend + "v_proj", to + "attn_v", partial(np.multiply, attention)),
        Tensor(
            attend + "o_proj", to + "attn_output",
            partial(np.multiply, config["attention_out_multiplier"]),
        ),
        Tensor(mamba + "in_proj", to + "ssm_in", lambda w: (w.T * rows).T),
        Tensor(mamba + "conv1d.weight", to + "ssm_conv1d.weight", lambda w: w.reshape(len(w), -1)),
        Tensor(mamba + "conv1d", to + "ssm_conv1d"),
        Tensor(mamba + "dt_bias", to + "ssm_dt.bias"),
        Tensor(mamba + "A_log", to + "ssm_a", lambda w: -np.exp(w)[:, None]),
        Tensor(mamba + "D", to + "ssm_d", lambda w: w[:, None]),
        Tensor(mamba + "norm", to + "ssm_norm", lambda w: w.reshape(heads, -1)),
        Tensor(
            mamba + "out_proj", to + "ssm_out", partial(np.multiply, config["ssm_out_multiplier"])
        ),
        Tensor(at + "pre_ff_layernorm.weight", to + "ffn_norm"),  # which has no ".weight" there
        Tensor(at + "feed_forward.gate_proj", to + "ffn_gate", partial(np.multiply, gate)),
        Tensor(at + "feed_forward.up_proj", to + "ffn_up"),
        Tensor(at + "feed_forward.down_proj", to + "ffn_down", partial(np.multiply, down)),
    ]  # fmt: skip


def _inner(config: Config) -> int:
    n_inner = config.get("mamba_d_ssm")
    return int(n_inner if n_inner is not None else config["mamba_expand"] * config["hidden_size"])


def _of_rows(config: Config) -> Any:
    """The multiplier of each row of in_proj: gate, values, maps of input and output, steps."""
    inner, maps = _inner(config), config["mamba_n_groups"] * config["mamba_d_state"]
    sizes = (inner, inner, maps, maps, config["mamba_n_heads"])
    of_parts = np.array(config["ssm_multipliers"], np.float32) * config["ssm_in_multiplier"]
    return np.repeat(of_parts, sizes)


@architecture("falcon-h1")
class FalconH1(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    inner: int = key("ssm.inner_size")
    state: int = key("ssm.state_size")
    groups: int = key("ssm.group_count")

    checkpoints = (
        Checkpoint(
            "falcon-h1",
            ("falcon_h1",),
            hyperparameters,
            tensors,
            extra=rope_tensors,
            rope_types=SCALED,
            harmless=(
                "mlp_expansion_factor",
                "attn_layer_indices",
                "time_step_*",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            normed = x.rms_norm(layer.attn_norm, self.eps)
            mixed = state_space(layer, normed, self.inner, self.state, self.groups, self.eps)
            x = x + (self.attention(layer, w, normed) + mixed)
            named = layer.ffn_norm  # in files of the ecosystem without ".weight"
            normed = x.rms_norm(named or None, self.eps)
            x = x + swiglu(layer, normed if named else normed.mul(named, ""))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, top: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        q, k = q.rope(rope, top.rope_freqs), k.rope(rope, top.rope_freqs)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
