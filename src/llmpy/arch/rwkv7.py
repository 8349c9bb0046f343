"""RWKV-7 "Goose": a recurrent network whose memory is corrected by a delta rule (Peng et al. 2025).

x -> norm -> time mixing -> + -> norm -> channel mixing -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint as flash-linear-attention saves it; what attention
    would need is 0.
    """
    return {
        "context_length": 2**20,  # there is no limit
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config.get("intermediate_size") or 4 * config["hidden_size"],
        "attention.head_count": 0,
        "attention.layer_norm_epsilon": config["norm_eps"],
        "wkv.head_size": config["head_dim"],
        "attention.decay_lora_rank": config["decay_low_rank_dim"],
        "attention.iclr_lora_rank": config["a_low_rank_dim"],
        "attention.value_residual_mix_lora_rank": config["v_low_rank_dim"],
        "attention.gate_lora_rank": config["gate_low_rank_dim"],
        "vocab_size": config["vocab_size"],
    }


def tensors(_: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint. Block 0 has no use for v0 to v2, but files must
    have them.
    """
    at, to = "model.layers.{i}.", "blk.{i}.time_mix_"
    first, first_to = at.replace("{i}", "0") + "attn.", to.replace("{i}", "0")
    lora = (
        ("lora.0.weight", "1.weight"),
        ("lora.2.weight", "2.weight"),
        ("lora.2.bias", "0.weight"),
    )
    return [
        Tensor("model.embeddings", "token_embd"),
        Tensor("model.layers.0.pre_norm", "token_embd_norm"),
        Tensor("model.norm", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "attn_norm", "blk.{i}.attn_norm"),
        Tensor(at + "ffn_norm", "blk.{i}.attn_norm_2"),
        Tensor(
            tuple(f"{at}attn.x_{part}" for part in "rwkvag"), to + "lerp_fused.weight",
            lambda *parts: np.stack([part.reshape(1, 1, -1) for part in parts]),
        ),
        *(
            Tensor(
                f"{first}a_lora.{source}",
                (f"{first_to}a{target}", f"{first_to}v{target}"),
                lambda w: (w, w),
            )
            for source, target in lora
        ),
        *(Tensor(f"{first}v_lora.{source}", None) for source, _ in lora),
        *(
            Tensor(f"{at}attn.{part}_lora.{source}", f"{to}{part}{target}")
            for part in "wavg"
            for source, target in lora
        ),
        *(
            Tensor(f"{at}attn.{part}", f"{to}{part}.weight", lambda w: w.reshape(-1))
            for part in ("k_k", "k_a", "r_k")
        ),
        Tensor(at + "attn.r_proj", to + "receptance"),
        Tensor(at + "attn.k_proj", to + "key"),
        Tensor(at + "attn.v_proj", to + "value"),
        Tensor(at + "attn.o_proj", to + "output"),
        Tensor(at + "attn.g_norm", to + "ln"),
        Tensor(at + "ffn.x_k", "blk.{i}.channel_mix_lerp_k.weight", lambda w: w.reshape(-1)),
        Tensor(at + "ffn.key", "blk.{i}.channel_mix_key"),
        Tensor(at + "ffn.value", "blk.{i}.channel_mix_value"),
    ]  # fmt: skip


@architecture("rwkv7")
class Rwkv7:
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_embd: int = key("embedding_length")
    eps: float = key("attention.layer_norm_epsilon")
    d_head: int = key("wkv.head_size")

    checkpoints = (
        Checkpoint(
            "rwkv7",
            ("rwkv7",),
            hyperparameters,
            tensors,
            activation=("sqrelu", "relu2"),
            rope_types=None,
            harmless=(
                "hidden_ratio",
                "value_dim",
                "num_heads",
                "key_dim",
                "norm_bias",
            ),
        ),
    )
    harmless = ("blk.0.time_mix_v?.weight",)

    def forward(self, w: Weights, tokens: Value) -> Value:
        """Wire the whole model; later blocks mix their values with those of the first."""
        x = tokens.embed(w.token_embd).layer_norm(w.token_embd_norm, self.eps)
        first = None
        for layer in w.blk:
            mixed, first = self.time_mixing(layer, x.layer_norm(layer.attn_norm, self.eps), first)
            x = x + mixed
            x = x + self.channel_mixing(layer, x.layer_norm(layer.attn_norm_2, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output)

    def time_mixing(self, w: Weights, x: Value, first: Value | None) -> tuple[Value, Value]:
        """Linear attention over all tokens so far, and the values of the first block."""
        n_parts = 6 if w.time_mix_g1 else 5  # the last is for the gate
        changes = (x.previous() - x).heads(1).repeat(n_parts).mul(w.time_mix_lerp_fused).flatten()
        xr, xw, xk, xv, xa, *xg = (x + change for change in changes.split(*[self.n_embd] * n_parts))

        r = xr.linear(w.time_mix_receptance)
        decay = xw.linear(w.time_mix_w1).tanh().linear(w.time_mix_w2).add(w.time_mix_w0)
        decay = decay.sigmoid().scale(-0.606531).exp()  # e^(-1/2), as the weights were trained
        k, v = xk.linear(w.time_mix_key), xv.linear(w.time_mix_value)
        if first is None:
            first = v
        else:
            share = xv.linear(w.time_mix_v1).linear(w.time_mix_v2).add(w.time_mix_v0).sigmoid()
            v = v + (first - v) * share
        rate = xa.linear(w.time_mix_a1).linear(w.time_mix_a2).add(w.time_mix_a0).sigmoid()

        removed = self.heads(k.mul(w.time_mix_k_k)).rms_norm(None, 1e-24 / self.d_head)
        removed = removed.scale(self.d_head**-0.5)  # of length 1
        change = k.mul(w.time_mix_k_a)
        k = k + (change * rate - change)
        y = self.heads(r).delta_rule(
            self.heads(decay), self.heads(k), self.heads(v),
            removed.scale(-1.0), removed * self.heads(rate),
        )  # fmt: skip
        if w.time_mix_ln:  # a norm for each head, its weights for all
            y = y.layer_norm(None, 64e-5).flatten().mul(w.time_mix_ln).add(w.time_mix_ln, "bias")
        bonus = self.heads((k * r).mul(w.time_mix_r_k)).sum()
        y = y.flatten() + (self.heads(v) * bonus).flatten()
        if xg:
            y = y * xg[0].linear(w.time_mix_g1).sigmoid().linear(w.time_mix_g2)
        return y.linear(w.time_mix_output), first

    def channel_mixing(self, w: Weights, x: Value) -> Value:
        """Feed-forward with the square of relu, partly of the token before."""
        mixed = x + (x.previous() - x).mul(w.channel_mix_lerp_k)
        hidden = mixed.linear(w.channel_mix_key).relu()
        return (hidden * hidden).linear(w.channel_mix_value)

    def heads(self, x: Value) -> Value:
        """Seen as heads."""
        return x.heads(self.n_embd // self.d_head)
