"""Llama: a pre-norm decoder with rotary grouped-query attention and a SwiGLU feed-forward.

Everything that calls itself "llama" in GGUF: Llama 1-3, Mistral, Mixtral, Yi, TinyLlama, SmolLM.
    x -> norm -> attention -> + -> norm -> swiglu -> + -> ... -> norm -> logits
"""

from __future__ import annotations

from llmpy.arch.base import architecture, key
from llmpy.arch.blocks import mixture, swiglu
from llmpy.errors import GraphError
from llmpy.graph import Rope, Value, Weights


@architecture("llama")
class Llama:
    """Hyperparameters and wiring."""

    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_embd: int = key("embedding_length")
    n_head: int = key("attention.head_count")
    n_kv: int = key("attention.head_count_kv", default="n_head")
    d_head: int = key("attention.key_length", default=0)
    window: int = key("attention.sliding_window", default=0, least=0)
    eps: float = key("attention.layer_norm_rms_epsilon")
    n_expert: int = key("expert_count", default=0, least=0)
    n_used: int = key("expert_used_count", default=0, least=0)
    rope_dims: int = key("rope.dimension_count", default=0)
    rope_base: float = key("rope.freq_base", default=10_000.0, least=1, most=3e38)
    rope_scaling: str = key("rope.scaling.type", default="linear")
    rope_linear: float = key("rope.scale_linear", default=1.0, least=1e-6)
    rope_factor: float = key("rope.scaling.factor", default="rope_linear", least=1e-6)
    rope_context: int = key("rope.scaling.original_context_length", default="n_ctx")
    rope_attention: float = key("rope.scaling.attn_factor", default=1.0)
    yarn_temperature: float = key("rope.scaling.yarn_attn_factor", default=0.0)
    yarn_fast: float = key("rope.scaling.yarn_beta_fast", default=32.0, least=1e-6)
    yarn_slow: float = key("rope.scaling.yarn_beta_slow", default=1.0, least=1e-6)

    def forward(self, w: Weights, tokens: Value) -> Value:
        """Wire the whole model."""
        x = tokens.embed(w.token_embd)
        if x.shape != (self.n_embd,):
            raise GraphError(f"'token_embd.weight' has rows of {x.shape[0]}, not {self.n_embd}")
        for layer in w.blk:
            x = x + self.attention(layer, w, x.rms_norm(layer.attn_norm, self.eps))
            x = x + self.feed_forward(layer, x.rms_norm(layer.ffn_norm, self.eps))
        return x.rms_norm(w.output_norm, self.eps).linear(w.output or w.token_embd)

    def attention(self, w: Weights, top: Weights, x: Value) -> Value:
        """Rotary grouped-query attention."""
        q = x.linear(w.attn_q).heads(self.n_head)
        k = x.linear(w.attn_k).heads(self.n_kv)
        v = x.linear(w.attn_v).heads(self.n_kv)
        d_head = self.d_head or self.n_embd // self.n_head
        if q.shape[1] != d_head:
            raise GraphError(f"'{w.attn_q.name}.weight': heads of {q.shape[1]}, not {d_head}")
        rope = self.rope(d_head)
        q, k = q.rope(rope, top.rope_freqs), k.rope(rope, top.rope_freqs)
        return q.attend(k.cached(), v.cached(), window=self.window).linear(w.attn_output)

    def feed_forward(self, w: Weights, x: Value) -> Value:
        """SwiGLU, or a mixture of them (Mixtral)."""
        if not self.n_expert:
            return swiglu(w, x)
        n_expert = w.shapes[w.ffn_gate_inp.tensor()][0]
        if n_expert != self.n_expert:
            raise GraphError(f"'{w.ffn_gate_inp.name}.weight' has {n_expert} experts")
        return mixture(w, x, self.n_used)

    def rope(self, d_head: int) -> Rope:
        """Neighbouring pairs; a factor without a named type is linear, as in the ecosystem."""
        return Rope(
            self.rope_dims or d_head,
            self.rope_base,
            scaling=self.rope_scaling,
            factor=self.rope_factor,
            original_context=self.rope_context,
            attention_factor=self.rope_attention,
            temperature=self.yarn_temperature or None,
            beta_fast=self.yarn_fast,
            beta_slow=self.yarn_slow,
        )
