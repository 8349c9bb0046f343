"""SmolLM 3: Llama's wiring, but every fourth layer knows no positions.

x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import swiglu
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    expect,
    expect_no_window,
    usual,
    usual_tensors,
)
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

STEP = 4  # the file does not say it


def hyperparameters(config: Config) -> dict[str, Any]:
    expect_no_window(config, usually=False)
    usually = [int((i + 1) % STEP != 0) for i in range(config["num_hidden_layers"])]
    expect(config, "no_rope_layers", usually, None)
    if not config.get("no_rope_layers"):
        expect(config, "no_rope_layer_interval", STEP, None)
    return usual(config)


def tensors(config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint, whose rotated pairs are halves of a head."""
    return usual_tensors(config, pairs=True)


@architecture("smollm3")
class SmolLM3(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")

    checkpoints = (
        Checkpoint(
            "smollm3", ("smollm3",), hyperparameters, tensors, harmless=("no_rope_layer_interval",)
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for i, layer in enumerate(w.blk):
            y = x.rms_norm(layer.attn_norm, self.eps)
            x = x + self.attention(layer, y, rotates=(i + 1) % STEP != 0)
            x = x + swiglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value, *, rotates: bool) -> Value:
        """Grouped-query attention, rotary or without positions."""
        q, k, v = self.qkv(w, x)
        if rotates:
            rope = self.rope(neox=False)
            q, k = q.rope(rope), k.rope(rope)
        return q.attend(k.cached(), v.cached()).linear(w.attn_output)
