"""Hyperparameters of decoders whose attention knows positions by rotation, and what follows.

Architectures with these inherit them, and add their own.
"""

from __future__ import annotations

from llmpy.arch.base import key
from llmpy.arch.blocks import qkv
from llmpy.errors import GraphError
from llmpy.graph import Rope, Value, Weights

__all__ = ["Rotary"]


class Rotary:
    """Sizes, and how the context is stretched."""

    n_layer: int = key("block_count")
    n_ctx: int = key("context_length")
    n_embd: int = key("embedding_length")
    n_head: int = key("attention.head_count")
    n_kv: int = key("attention.head_count_kv", default="n_head")
    d_head: int = key("attention.key_length", default=0)
    rope_dims: int = key("rope.dimension_count", default=0)
    rope_base: float = key("rope.freq_base", default=10_000.0, least=1, most=3e38)
    rope_scaling: str = key("rope.scaling.type", default="linear")
    rope_linear: float = key("rope.scale_linear", default=1.0, least=0)
    rope_factor: float = key("rope.scaling.factor", default="rope_linear", least=0)
    rope_context: int = key("rope.scaling.original_context_length", default="n_ctx")
    rope_attention: float = key("rope.scaling.attn_factor", default=1.0)
    yarn_temperature: float = key("rope.scaling.yarn_attn_factor", default=0.0)
    yarn_fast: float = key("rope.scaling.yarn_beta_fast", default=32.0, least=1e-6)
    yarn_slow: float = key("rope.scaling.yarn_beta_slow", default=1.0, least=1e-6)

    def embed(self, w: Weights, tokens: Value) -> Value:
        """The rows of the tokens, of the width that the metadata says."""
        x = tokens.embed(w.token_embd)
        if x.shape != (self.n_embd,):
            raise GraphError(f"'token_embd.weight' has rows of {x.shape[0]}, not {self.n_embd}")
        return x

    def qkv(self, w: Weights, x: Value) -> tuple[Value, Value, Value]:
        """Queries [T, n_head, d], keys and values [T, n_kv, d], from one matrix or from three."""
        q, k, v = qkv(w, x, self.n_head, self.n_kv)
        d = self.d_head or self.n_embd // self.n_head
        if q.shape[1] != d:
            name = (w.attn_qkv or w.attn_q).name
            raise GraphError(f"'{name}.weight': heads of {q.shape[1]}, not {d}")
        return q, k, v

    def rope(self, *, neox: bool, base: float | None = None) -> Rope:
        """Return the rotation of heads; `neox`: pairs are halves of a head, otherwise neighbours.

        A factor without a named type is linear, as in the ecosystem. A `base` is that of layers
        whose window never leaves the original context: nothing is stretched.
        """
        n_dims = self.rope_dims or self.d_head or self.n_embd // self.n_head
        if base is not None:
            return Rope(n_dims, base, neox=neox)
        # longrope stretches by factors in tensors
        scaling = "linear" if self.rope_scaling == "longrope" else self.rope_scaling
        return Rope(
            n_dims,
            self.rope_base,
            neox=neox,
            scaling=scaling,
            factor=self.rope_factor or 1.0,
            original_context=self.rope_context,
            attention_factor=self.rope_attention,
            temperature=self.yarn_temperature or None,
            beta_fast=self.yarn_fast,
            beta_slow=self.yarn_slow,
        )

    def rope_factors(self, w: Weights, n_ctx: int) -> Weights:
        """Divisors of the frequencies, if there are any: Llama 3's, or longrope's.

        Longrope (Ding et al. 2024) has some for sessions within the original context and others
        for sessions that may become longer.
        """
        long, short = w.rope_factors_long, w.rope_factors_short
        factors: Weights = w.rope_freqs or (long if n_ctx > self.rope_context else short)
        return factors
