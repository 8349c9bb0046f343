"""LFM2: most blocks a gated convolution over a few tokens, the others attention.

Liquid's LFM2 (Amini et al. 2025), dense or with experts.
    x -> norm -> convolution or attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual
from llmpy.arch.experts import Experts, expert_keys, numbered_experts
from llmpy.graph import Rope, Value, Weights

UNUSED = (  # keys of config.json that the wiring does not need
    "block_*",
    "conv_dim*",
    "conv_use_xavier_init",
    "full_attn_idxs",
    "num_heads",
    "theta",
    "use_pos_enc",
)


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; blocks without attention have 0 key heads."""
    n_kv = config["num_key_value_heads"]
    return {
        **usual(config),
        "feed_forward_length": _feed_forward_length(config),
        "attention.head_count_kv": [
            n_kv if kind == "full_attention" else 0 for kind in config["layer_types"]
        ],
        "attention.layer_norm_rms_epsilon": config["norm_eps"],
        "shortconv.l_cache": config["conv_L_cache"],
    }


def _feed_forward_length(config: Config) -> int:
    n = int(config.get("block_ff_dim") or config["intermediate_size"])
    if config.get("block_auto_adjust_ff_dim"):
        n = int((config.get("block_ffn_dim_multiplier") or 1.0) * int(2 * n / 3))
        multiple = int(config["block_multiple_of"])
        n = -(-n // multiple) * multiple
    return n


def with_experts(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint whose later blocks have experts."""
    return {
        **hyperparameters(config),
        **expert_keys(config),
        "expert_gating_func": 2,
        "leading_dense_block_count": config["num_dense_layers"],
    }


def tensors(_: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor("model.embed_tokens", "token_embd"),
        Tensor("model.embedding_norm", "token_embd_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "operator_norm", to + "attn_norm"),
        Tensor(at + "conv.in_proj", to + "shortconv.in_proj"),
        Tensor(
            at + "conv.conv.weight", to + "shortconv.conv.weight", lambda w: w.reshape(len(w), -1)
        ),
        Tensor(at + "conv.conv", to + "shortconv.conv"),
        Tensor(at + "conv.out_proj", to + "shortconv.out_proj"),
        Tensor(at + "self_attn.q_proj", to + "attn_q"),
        Tensor(at + "self_attn.k_proj", to + "attn_k"),
        Tensor(at + "self_attn.v_proj", to + "attn_v"),
        Tensor(at + "self_attn.out_proj", to + "attn_output"),
        Tensor(at + "self_attn.q_layernorm", to + "attn_q_norm"),
        Tensor(at + "self_attn.k_layernorm", to + "attn_k_norm"),
        Tensor(at + "ffn_norm", to + "ffn_norm"),
        Tensor(at + "feed_forward.w1", to + "ffn_gate"),
        Tensor(at + "feed_forward.w2", to + "ffn_down"),
        Tensor(at + "feed_forward.w3", to + "ffn_up"),
        Tensor(at + "feed_forward.expert_bias", to + "exp_probs_b.bias"),
        *numbered_experts(at + "feed_forward."),
    ]


@architecture("lfm2", "lfm2moe")
class Lfm2(Experts):
    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_embd: int = key("embedding_length")
    n_head: int = key("attention.head_count")
    n_kv: tuple[int, ...] = key("attention.head_count_kv", least=0)  # 0: no attention there
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)
    rope_dims: int = key("rope.dimension_count", default=0)
    rope_base: float = key("rope.freq_base", default=10_000.0, least=1, most=3e38)

    n_expert: int = key("expert_count", default=0, least=0)
    n_used: int = key("expert_used_count", default=0, least=0)
    normalize: bool = key("expert_weights_norm", default=True)

    checkpoints = (
        Checkpoint(
            "lfm2",
            ("lfm2",),
            hyperparameters,
            tensors,
            rope_types=(),
            harmless=UNUSED,
        ),
        Checkpoint(
            "lfm2moe",
            ("lfm2_moe",),
            with_experts,
            tensors,
            rope_types=(),
            harmless=UNUSED,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        """Wire the whole model; the norm at its end is called that of the embedding in files."""
        x = tokens.embed(w.token_embd)
        for layer, n_kv in zip(w.blk, self.n_kv, strict=True):
            normed = x.rms_norm(layer.attn_norm, self.eps)
            mixed = self.attention(layer, normed, n_kv) if n_kv else self.convolution(layer, normed)
            x = x + mixed
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.token_embd_norm, self.eps).linear(w.output or w.token_embd)

    def convolution(self, w: Weights, x: Value) -> Value:
        """out(c * conv(b * x)), with b, c and x from one matrix."""
        b, c, values = x.linear(w.shortconv.in_proj).split(*[self.n_embd] * 3)
        return (c * (b * values).conv(w.shortconv.conv)).linear(w.shortconv.out_proj)

    def attention(self, w: Weights, x: Value, n_kv: int) -> Value:
        """Rotary grouped-query attention, queries and keys normed."""
        q = x.linear(w.attn_q).heads(self.n_head).rms_norm(w.attn_q_norm, self.eps)
        k = x.linear(w.attn_k).heads(n_kv).rms_norm(w.attn_k_norm, self.eps)
        v = x.linear(w.attn_v).heads(n_kv)
        rope = Rope(self.rope_dims or q.shape[1], self.rope_base, neox=True)
        k, v = k.rope(rope).cached(), v.cached()
        return q.rope(rope).attend(k, v, window=self.window).linear(w.attn_output)
