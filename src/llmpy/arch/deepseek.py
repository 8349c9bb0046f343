"""DeepSeek MoE (the first): plain attention, leading dense blocks, then many small experts.

x -> norm -> attention -> + -> norm -> SwiGLU, or routed + shared experts -> + -> ... -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual, usual_tensors
from llmpy.arch.experts import Experts, expert_keys, expert_tensors
from llmpy.arch.rope_config import SCALED, rope_tensors
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    expect(config, "scoring_func", "softmax", None)
    expect(config, "topk_method", "greedy", None)
    return {**usual(config), **expert_keys(config)}


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are halves of a head."""
    return [*usual_tensors(config, pairs=True), *expert_tensors()]


@architecture("deepseek")
class Deepseek(Rotary, Experts):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint(
            "deepseek",
            ("deepseek",),
            hyperparameters,
            tensors,
            extra=rope_tensors,
            rope_types=SCALED,
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer in w.blk:
            x = x + self.attention(layer, w, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, top: Weights, x: Value) -> Value:
        """Rotary attention."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=False)
        q, k = q.rope(rope, top.rope_freqs), k.rope(rope, top.rope_freqs)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
