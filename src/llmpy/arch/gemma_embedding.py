"""EmbeddingGemma (Vera et al. 2025): Gemma 3's wiring as an encoder.

tokens -> norm -> attention -> norm -> + -> norm -> geglu -> norm -> + -> ... -> norm (-> dense)
The result is the last state of each token, which `Model.embed` pools.
"""

from __future__ import annotations

from typing import Any

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import geglu, sliding_layers
from llmpy.arch.checkpoint import (
    Checkpoint,
    Config,
    expect,
    normed_on_both_sides,
    usual,
    window_pattern,
)
from llmpy.arch.rope_config import rope_base, sliding_base
from llmpy.arch.rotary import Rotary
from llmpy.graph import Value, Weights


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the metadata of a checkpoint, which must be an encoder, its scores scaled as usual."""
    if config.get("use_bidirectional_attention") is not True:
        expect({"use_bidirectional_attention": False}, "use_bidirectional_attention", True)
    expect(config, "query_pre_attn_scalar", config["head_dim"])
    return {
        **usual(config),
        **window_pattern(config),
        "rope.freq_base": rope_base(config),
        "rope.freq_base_swa": sliding_base(config),
        "attention.causal": False,
    }


@architecture("gemma-embedding")
class GemmaEmbedding(Rotary):
    eps: float = key("attention.layer_norm_rms_epsilon")
    window: int = key("attention.sliding_window", default=0, least=0)
    sliding: int | tuple[bool, ...] = key("attention.sliding_window_pattern", default=6, least=0)
    rope_base_sliding: float = key("rope.freq_base_swa", default=10_000.0, least=1, most=3e38)

    checkpoints = (
        Checkpoint(
            "gemma-embedding",
            ("Gemma3TextModel",),
            hyperparameters,
            normed_on_both_sides,
            activation=("gelu_pytorch_tanh",),
        ),
    )

    def forward(self, w: Weights, tokens: Value) -> Value:
        """Wire the whole model.

        Two matrices belong behind the pooling; without biases they give the same before it.
        """
        x = self.embed(w, tokens).scale(self.n_embd**0.5)
        for layer, slides in zip(w.blk, sliding_layers(self.sliding, self.n_layer), strict=True):
            y = self.attention(layer, x.rms_norm(layer.attn_norm, self.eps), slides)
            x = x + y.rms_norm(layer.post_attention_norm, self.eps)
            y = geglu(layer, x.rms_norm(layer.ffn_norm, self.eps))
            x = x + y.rms_norm(layer.post_ffw_norm, self.eps)
        x = x.rms_norm(w.output_norm, self.eps)
        return x.linear(w.dense_2).linear(w.dense_3) if w.dense_2 else x

    def attention(self, w: Weights, x: Value, slides: bool) -> Value:
        """Rotary attention to the whole text, or to both sides of a window in its middle."""
        q, k, v = self.qkv(w, x)
        q, k = q.rms_norm(w.attn_q_norm, self.eps), k.rms_norm(w.attn_k_norm, self.eps)
        local = slides and self.window > 0
        turn = self.rope(neox=True, base=self.rope_base_sliding if local else None)
        window = self.window if local else 0
        y = q.rope(turn).attend(k.rope(turn).cached(), v.cached(), window=window, causal=False)
        return y.linear(w.attn_output)
