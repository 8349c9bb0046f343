"""OLMo 2 and 3: norms behind attention and feed-forward instead of before; 3 has windows.

x -> attention -> norm -> + -> swiglu -> norm -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import sliding_layers, swiglu
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    Tensor,
    expect,
    usual,
    usual_tensors,
    window_pattern,
)
from llmpy.arch.rope_config import rope_base, sliding_base
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint; OLMo 3 may say two rotations."""
    if local := sliding_base(config):  # the wiring has one base for all layers
        sliding_rope = config["rope_parameters"]["sliding_attention"]
        expect(sliding_rope | {"rope_theta": local}, "rope_theta", rope_base(config))
    return {**usual(config), **window_pattern(config)}


def tensors(config: Config) -> list[Tensor]:
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor(at + "post_attention_layernorm", to + "post_attention_norm"),
        Tensor(at + "post_feedforward_layernorm", to + "post_ffw_norm"),
        *usual_tensors(config),
    ]


@architecture("olmo2")
class Olmo2(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)
    sliding: int | tuple[bool, ...] = key("attention.sliding_window_pattern", default=4, least=0)

    checkpoints = (Checkpoint("olmo2", ("olmo2", "olmo3"), hyperparameters, tensors),)

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens)
        for layer, slides in zip(w.blk, sliding_layers(self.sliding, self.n_layer), strict=True):
            y = self.attention(layer, x, slides and self.window > 0)
            x = x + y.rms_norm(layer.post_attention_norm, self.eps)
            x = x + swiglu(layer, x).rms_norm(layer.post_ffw_norm, self.eps)
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, x: Value, slides: bool) -> Value:
        """Rotary attention; queries and keys have one norm over all heads."""
        q, k, v = self.qkv(w, x)
        q = q.flatten().rms_norm(w.attn_q_norm, self.eps).heads(self.n_head)
        k = k.flatten().rms_norm(w.attn_k_norm, self.eps).heads(self.n_kv)
        rope = self.rope(neox=True, base=self.rope_base if slides else None)
        window = self.window if slides else 0
        y = q.rope(rope).attend(k.rope(rope).cached(), v.cached(), window=window)
        return y.linear(w.attn_output)
