"""Granite 3 with experts: constant factors on embeddings, attention, residual branches and logits.

x -> norm -> attention -> + -> norm -> experts (+ shared expert) -> + -> ... -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, gate_and_up
from llmpy.arch.rope_config import SCALED, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    return {
        **usual(config),
        **expert_keys(config),
        "expert_shared_feed_forward_length": config.get("shared_intermediate_size"),
        "attention.scale": config.get("attention_multiplier"),
        "embedding_scale": config.get("embedding_multiplier"),
        "residual_scale": config.get("residual_multiplier"),
        "logit_scale": config.get("logits_scaling"),
    }


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint: gate and up are one matrix there, and rotated
    pairs halves of a head.
    """
    at, to = "model.layers.{i}.", "blk.{i}.ffn_"
    moe = at + "block_sparse_moe."
    both = (to + "gate_exps.weight", to + "up_exps.weight")
    return [
        *usual_tensors(config, pairs=True),
        Tensor(moe + "router.layer", to + "gate_inp"),
        Tensor(moe + "router", to + "gate_inp"),
        Tensor(moe + "input_linear.weight", both, gate_and_up),
        Tensor(moe + "experts.gate_up_proj", both, gate_and_up),
        Tensor(moe + "output_linear", to + "down_exps"),
        Tensor(moe + "experts.down_proj", to + "down_exps.weight"),
        Tensor(
            at + "shared_mlp.input_linear.weight",
            (to + "gate_shexp.weight", to + "up_shexp.weight"),
            gate_and_up,
        ),
        Tensor(at + "shared_mlp.output_linear", to + "down_shexp"),
    ]


@architecture("granitemoe")
class GraniteMoe(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")
    normalize: bool = key("expert_weights_norm", default=True)
    scale: float = key("attention.scale", default=0.0)
    embedding_scale: float = key("embedding_scale", default=0.0)
    residual_scale: float = key("residual_scale", default=0.0)
    logit_scale: float = key("logit_scale", least=1e-30)

    checkpoints = (
        Checkpoint(
            "granitemoe",
            ("granitemoe", "granitemoeshared"),
            hyperparameters,
            tensors,
            extra=rope_tensors,
            rope_types=SCALED,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        """Wire the whole model; a factor of 0 is none."""
        branch = self.residual_scale or 1.0
        x = self.embed(w, tokens).scale(self.embedding_scale or 1.0)
        for layer in w.blk:
            x = x + self.attention(layer, w, x.rms_norm(layer.attn_norm, self.eps)).scale(branch)
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps)).scale(branch)
        y = x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)
        return y.scale(1.0 / self.logit_scale)

    def attention(self, w: Weights, top: Weights, x: Value) -> Value:
        """Rotary grouped-query attention with a scale of its own."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        q, k = q.rope(rope, top.rope_freqs), k.rope(rope, top.rope_freqs)
        return q.attend(k.cached(), v.cached(), scale=self.scale or None).linear(w.attn_output)
