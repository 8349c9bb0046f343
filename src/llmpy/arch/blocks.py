"""Parts that several architectures share; none hears an architecture's name."""

from __future__ import annotations

from llmpy.graph import Value, Weights

__all__ = ["mixture", "swiglu"]


def swiglu(w: Weights, x: Value) -> Value:
    """Gated feed-forward: down(silu(gate x) * up x) (Shazeer 2020)."""
    return (x.linear(w.ffn_gate).silu() * x.linear(w.ffn_up)).linear(w.ffn_down)


def mixture(w: Weights, x: Value, n_used: int) -> Value:
    """Feed-forwards of which each token uses the `n_used` that its router likes best."""
    router = x.linear(w.ffn_gate_inp)
    return x.mixture(router, w.ffn_gate_exps, w.ffn_up_exps, w.ffn_down_exps, n_used)
