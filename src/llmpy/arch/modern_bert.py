"""ModernBERT (Warner et al. 2024): an encoder with norms before, rotation, and windows.

tokens -> norm -> (norm) -> attention -> + -> norm -> gated feed-forward -> + -> ... -> norm
Every third layer sees the whole text, the others a window around each token, and rotate faster.
The result is the last state of each token.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import activate
from llmpy.arch.checkpoint import Checkpoint, Config, Tensor, expect, usual
from llmpy.arch.rope_config import rope_base, sliding_base
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights

EVERY = 3  # th layer sees the whole text, the first among them, where a file does not say which


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, under its present names and its earlier ones."""
    for name in ("norm_bias", "attention_bias", "mlp_bias"):
        expect(config, name, False)
    local = config.get("local_rope_theta", 10_000.0)
    pattern: int | list[bool] = config.get("global_attn_every_n_layers", EVERY)
    if kinds := config.get("layer_types"):
        pattern = [kind == "sliding_attention" for kind in kinds]
    return {
        **usual(config),
        "attention.layer_norm_epsilon": config["norm_eps"],
        "attention.causal": False,
        "attention.sliding_window": config["local_attention"],
        "attention.sliding_window_pattern": pattern,
        "rope.freq_base": rope_base(config, "global_rope_theta"),
        "rope.freq_base_swa": sliding_base(config) or local,
        "hidden_activation": config.get("hidden_activation", "gelu"),
    }


def tensors(_config: Config) -> list[Tensor]:
    """Return the tensor rules of a checkpoint; the head of its training is left out."""
    rules = [Tensor(name, None) for name in ("head.dense", "head.norm", "decoder")]
    for top in ("model.", ""):
        at, to = top + "layers.{i}.", "blk.{i}."
        rules += [
            Tensor(top + "embeddings.tok_embeddings", "token_embd"),
            Tensor(top + "embeddings.norm", "token_embd_norm"),
            Tensor(top + "final_norm", "output_norm"),
            Tensor(at + "attn_norm", to + "attn_norm"),
            Tensor(at + "attn.Wqkv", to + "attn_qkv"),
            Tensor(at + "attn.Wo", to + "attn_output"),
            Tensor(at + "mlp_norm", to + "ffn_norm"),
            Tensor(at + "mlp.Wi", to + "ffn_up"),
            Tensor(at + "mlp.Wo", to + "ffn_down"),
        ]
    return rules


@architecture("modern-bert")
class ModernBert(Rotary):
    eps: float = key("attention.layer_norm_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)
    pattern: int | tuple[bool, ...] = key("attention.sliding_window_pattern", default=EVERY)
    near_base: float = key("rope.freq_base_swa", default="rope_base", least=1, most=3e38)
    activation: str = key("hidden_activation", default="gelu")

    checkpoints = (
        Checkpoint(
            "modern-bert",
            ("modernbert",),
            hyperparameters,
            tensors,
            activation=(),
            rope_types=(),
            harmless=("decoder_bias", "position_embedding_type", "layer_norm_eps"),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        x = self.embed(w, tokens).layer_norm(w.token_embd_norm, self.eps)
        for i, layer in enumerate(w.blk):
            # the first layer reads what is normed already
            y = x.layer_norm(layer.attn_norm, self.eps) if layer.attn_norm else x
            x = x + self.attention(layer, y, self.is_near(i))
            x = x + self.feed_forward(layer, x.layer_norm(layer.ffn_norm, self.eps))
        return x.layer_norm(w.output_norm, self.eps)

    def is_near(self, layer: int) -> bool:
        """Whether a layer sees a window only."""
        if isinstance(self.pattern, tuple):
            return self.pattern[layer]
        return layer % self.pattern != 0

    def attention(self, w: Weights, x: Value, near: bool) -> Value:
        """Rotary attention to the whole text, or to a window around each token."""
        q, k, v = self.qkv(w, x)
        rope = self.rope(neox=True)
        if near:
            rope = replace(rope, base=self.near_base)
        y = q.rope(rope).attend(
            k.rope(rope).cached(), v.cached(), causal=False, window=self.window if near else 0
        )
        return y.linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """Gated, with gate and up in one matrix."""
        both = x.linear(w.ffn_up)
        half = both.shape[0] // 2
        gate, up = both.split(half, half)
        return (activate(gate, self.activation) * up).linear(w.ffn_down)
