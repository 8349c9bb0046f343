"""Parts that several architectures share; none knows an architecture's name."""

from __future__ import annotations

from llmpy.errors import GraphError
from llmpy.graph import Value, Weights

__all__ = [
    "activate",
    "fused_swiglu",
    "gated",
    "geglu",
    "moe",
    "qkv",
    "sliding_layers",
    "split_heads",
    "state_space",
    "swiglu",
]

_ACTIVATIONS = {
    "gelu": Value.gelu_exact,
    "gelu_fast": Value.gelu,
    "gelu_new": Value.gelu,
    "gelu_pytorch_tanh": Value.gelu,
    "relu": Value.relu,
    "silu": Value.silu,
}


def activate(x: Value, name: str) -> Value:
    """The activation of this name, which is that of Hugging Face configurations."""
    if name not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise GraphError(f"hidden_activation: expected one of {known}, found {name!r}")
    return _ACTIVATIONS[name](x)


def qkv(w: Weights, x: Value, n_head: int, n_kv: int) -> tuple[Value, Value, Value]:
    """Queries [T, n_head, d], keys and values [T, n_kv, d], from one matrix or from three."""
    if not w.attn_qkv:
        q, k = x.linear(w.attn_q).heads(n_head), x.linear(w.attn_k).heads(n_kv)
        return q, k, x.linear(w.attn_v).heads(n_kv)
    return split_heads(x.linear(w.attn_qkv), n_head, n_kv)


def split_heads(qkv: Value, n_head: int, n_kv: int) -> tuple[Value, Value, Value]:
    """Queries, keys and values that lie one after another: [T, (n_head + 2 n_kv) d]."""
    d, left = divmod(qkv.shape[0], n_head + 2 * n_kv)
    if left or not d:
        raise GraphError(
            f"{qkv.shape[0]} values are no {n_head} queries and {n_kv} keys and values"
        )
    q, k, v = qkv.split(n_head * d, n_kv * d, n_kv * d)
    return q.heads(n_head), k.heads(n_kv), v.heads(n_kv)


def swiglu(w: Weights, x: Value) -> Value:
    """Gated feed-forward: down(silu(gate x) * up x) (Shazeer 2020)."""
    return gated(x, w.ffn_gate, w.ffn_up, w.ffn_down)


def gated(x: Value, gate: Weights, up: Weights, down: Weights) -> Value:
    """As `swiglu`, of any three matrices."""
    return (x.linear(gate).silu() * x.linear(up)).linear(down)


def fused_swiglu(w: Weights, x: Value) -> Value:
    """The same with gate and up in one matrix, in this order."""
    both = x.linear(w.ffn_up)
    half = both.shape[0] // 2
    gate, up = both.split(half, half)
    return (gate.silu() * up).linear(w.ffn_down)


def geglu(w: Weights, x: Value) -> Value:
    """Gated feed-forward: down(gelu(gate x) * up x) (Shazeer 2020)."""
    return (x.linear(w.ffn_gate).gelu() * x.linear(w.ffn_up)).linear(w.ffn_down)


def moe(w: Weights, x: Value, n_used: int) -> Value:
    """Feed-forwards of which each token uses the `n_used` that its router likes best."""
    router_weights = x.linear(w.ffn_gate_inp).route(n_used)
    return x.moe(router_weights, w.ffn_gate_exps, w.ffn_up_exps, w.ffn_down_exps, n_used)


def sliding_layers(pattern: int | tuple[bool, ...], n_layer: int) -> tuple[bool, ...]:
    """Return which layers see only a window: flags, or all but every `pattern`th layer; 0: all."""
    if isinstance(pattern, tuple):
        return pattern
    return tuple(pattern == 0 or (i + 1) % pattern != 0 for i in range(n_layer))


def state_space(w: Weights, x: Value, inner: int, state: int, groups: int, eps: float) -> Value:
    """Selective state space in heads that share a step (Mamba 2; Dao & Gu 2024).

    `inner` values of which each remembers `state`; `groups` of heads share input and output maps.
    """
    n_head = w.shapes[w.ssm_dt.tensor("bias")][0]
    gate, mixed, dt = x.linear(w.ssm_in).split(inner, inner + 2 * groups * state, n_head)
    mixed = mixed.conv(w.ssm_conv1d).silu()
    values, b, c = mixed.split(inner, groups * state, groups * state)
    dt = dt.add(w.ssm_dt, "bias").softplus()
    y = values.heads(n_head).scan(dt, b.heads(groups), c.heads(groups), w.ssm_a, w.ssm_d)
    y = y.flatten() * gate.silu()
    if w.ssm_norm:
        y = y.heads(groups).rms_norm(w.ssm_norm, eps).flatten()
    return y.linear(w.ssm_out)
