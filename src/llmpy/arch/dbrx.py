"""DBRX: layer norms without biases, fused and clipped queries, keys and values, sixteen experts.

x -> norm -> attention -> + -> norm -> experts -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Array, Checkpoint, Config, Tensor, expect
from llmpy.arch.experts import Experts
from llmpy.arch.rope_config import rope_base
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, whose names are its own."""
    attention, experts = config["attn_config"], config["ffn_config"]
    expect(experts, "moe_normalize_expert_weights", 1, 1.0)
    expect(experts.get("ffn_act_fn") or {}, "name", "silu")
    return {
        "context_length": config["max_seq_len"],
        "embedding_length": config["d_model"],
        "block_count": config["n_layers"],
        "feed_forward_length": experts["ffn_hidden_size"],
        "attention.head_count": config["n_heads"],
        "attention.head_count_kv": attention["kv_n_heads"],
        "attention.layer_norm_epsilon": 1e-5,
        "attention.clamp_kqv": attention.get("clip_qkv"),
        "rope.freq_base": rope_base(config | {"rope_theta": attention.get("rope_theta")}),
        "expert_count": experts["moe_num_experts"],
        "expert_used_count": experts["moe_top_k"],
        "vocab_size": config["vocab_size"],
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint: all experts are rows of one matrix, the last one
    transposed.
    """
    n_expert, n_ff = (config["ffn_config"][k] for k in ("moe_num_experts", "ffn_hidden_size"))

    def stacked(w: Array) -> Array:
        return w.reshape(n_expert, n_ff, -1)

    at, to = "transformer.blocks.{i}.", "blk.{i}."
    norms, mlp = at + "norm_attn_norm.", at + "ffn.experts.mlp."
    return [
        Tensor("transformer.wte", "token_embd"),
        Tensor("transformer.norm_f", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(norms + "norm_1", to + "attn_norm"),
        Tensor(norms + "attn.Wqkv", to + "attn_qkv"),
        Tensor(norms + "attn.out_proj", to + "attn_output"),
        Tensor(norms + "norm_2", to + "attn_output_norm"),
        Tensor(at + "ffn.router.layer", to + "ffn_gate_inp"),
        Tensor(mlp + "w1", to + "ffn_gate_exps.weight", stacked),
        Tensor(mlp + "v1", to + "ffn_up_exps.weight", stacked),
        Tensor(mlp + "w2", to + "ffn_down_exps.weight", lambda w: stacked(w).swapaxes(1, 2)),
    ]


@architecture("dbrx")
class Dbrx(Rotary, Experts):
    eps: float = key("attention.layer_norm_epsilon")
    clip: float = key("attention.clamp_kqv", default=0.0)
    normalize: bool = key("expert_weights_norm", default=True)

    checkpoints = (
        Checkpoint(
            "dbrx",
            ("dbrx",),
            hyperparameters,
            tensors,
            rope_types=(),
            harmless=("*_config.hidden_size", "num_key_value_heads"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.layer_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.layer_norm(layer.attn_output_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention, everything clipped before."""
        q, k, v = self.qkv(w, x)
        if self.clip:
            q, k, v = (y.clamp(-self.clip, self.clip) for y in (q, k, v))
        rope = self.rope(neox=True)
        return q.rope(rope).attend(k.rope(rope).cached(), v.cached()).linear(w.attn_output)
