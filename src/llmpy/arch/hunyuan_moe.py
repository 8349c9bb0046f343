"""Hunyuan with experts (A13B): queries and keys are normed after they are rotated.

x -> norm -> attention -> + -> norm -> routed + shared experts -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, expert_tensors
from llmpy.arch.rope_config import rope, rope_type
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; its stretched context is only another base of the
    rotation.
    """
    keys = {**usual(config), **expert_keys(config)}
    if rope_type(rope(config)) == "dynamic" and (alpha := rope(config).get("alpha")):
        d = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        keys["rope.freq_base"] *= alpha ** (d / (d - 2))
    return keys | {
        "expert_used_count": same(config["moe_topk"]),
        "expert_shared_count": same(config.get("num_shared_expert", 1)),
        "expert_shared_feed_forward_length": config["intermediate_size"],
        "expert_feed_forward_length": same(
            config.get("moe_intermediate_size") or config["intermediate_size"]
        ),
    }


def same(value: Any) -> Any:
    """One number, or the first of a list of one for each layer."""
    return value[0] if isinstance(value, list) else value


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        *usual_tensors(config),
        Tensor(at + "self_attn.query_layernorm", to + "attn_q_norm"),
        Tensor(at + "self_attn.key_layernorm", to + "attn_k_norm"),
        *expert_tensors(),
        Tensor(at + "mlp.gate.wg", to + "ffn_gate_inp"),
    ]


@architecture("hunyuan-moe")
class HunyuanMoe(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    normalize: bool = key("expert_weights_norm", default=True)

    checkpoints = (
        Checkpoint(
            "hunyuan-moe",
            ("hunyuan_v1_moe",),
            hyperparameters,
            tensors,
            harmless=(
                "attention_head_dim",
                "org_vocab_size",
                "cla_share_factor",
                "use_mixed_mlp_moe",
                "moe_random_routing_dropped_token",
                "moe_drop_tokens",
            ),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value) -> Value:
        """Rotary grouped-query attention, its queries and keys normed last."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        q = q.rope(rope).rms_norm(w.attn_q_norm, self.eps)
        k = k.rope(rope).rms_norm(w.attn_k_norm, self.eps)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
