"""Phi-3.5-MoE: layer norms, and two experts a token chosen by SparseMixer (Liu et al. 2023).

llama.cpp routes this model by softmax and norms it by the root mean square, which gives other
logits, and transformers has short factors for long texts; this is what it was trained with.
    x -> norm -> attention -> + -> norm -> experts -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, expert_tensors, numbered_experts
from llmpy.arch.rope_config import longrope_attention, original_context, rope, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, which says the factor on rotated values itself."""
    expect(config, "num_experts_per_tok", 2)  # as SparseMixer has it
    expect(config, "router_jitter_noise", 0.01)
    rope_settings = rope(config)
    if "long_mscale" in rope_settings:
        expect(rope_settings, "long_mscale", rope_settings.get("short_mscale"))
    return {
        **usual(config),
        **expert_keys(config),
        "attention.sliding_window": config.get("sliding_window"),
        "rope.scaling.original_context_length": original_context(config),
        "rope.scaling.attn_factor": float(
            rope_settings.get("short_mscale", longrope_attention(config))
        ),
    }


def tensors(config: Config) -> list[Tensor]:
    at = "model.layers.{i}."
    return [
        *usual_tensors(config),
        *numbered_experts(at + "block_sparse_moe."),
        *expert_tensors(),
        Tensor(at + "mlp.router", "blk.{i}.ffn_gate_inp"),
    ]


@architecture("phimoe")
class PhiMoe(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)

    harmless = ("rope_factors_long.weight", "rope_factors_short.weight")
    checkpoints = (
        Checkpoint(
            "phimoe",
            ("phimoe",),
            hyperparameters,
            tensors,
            rope_tensors,
            rope_types=("linear", "yarn", "longrope"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        factors = self.rope_factors(w, tokens.graph.n_ctx)
        for layer in w.blk:
            x = x + self.attention(layer, factors, x.layer_norm(layer.attn_norm, self.eps))
            x = x + self.routed(layer, x.layer_norm(layer.ffn_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, factors: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q, k, v = self.qkv(w, x)
        turn = self.rope(neox=True)
        q, k = q.rope(turn, factors), k.rope(turn, factors)
        return q.attend(k.cached(), v.cached(), window=self.window).linear(w.attn_output)

    def routed(self, w: Weights, x: Value, activation: str = "silu") -> Value:
        """The experts that SparseMixer chooses."""
        router_weights = x.linear(w.ffn_gate_inp).route(self.n_used, gating="sparsemixer")
        gate, up, down = w.ffn_gate_exps, w.ffn_up_exps, w.ffn_down_exps
        return x.moe(router_weights, gate, up, down, self.n_used, activation)
