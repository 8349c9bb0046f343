"""The operation table: every operation of a graph, what it takes, and the shape it gives.

`shapes.py` has the rules for shapes, `backends/reference/ops.py` the definition of each operation.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmpy.graph import attributes as a
from llmpy.graph import shapes
from llmpy.graph.shapes import Rule, Shape

__all__ = ["ELEMENTWISE", "EMBED", "OPS", "Operation", "Shape"]


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    `inputs`: how many values it takes; `rule(input shapes, weight shapes, attributes)` gives the
    shape of the result or raises GraphError; `meaning` is its formula in one line; `attributes`
    is the class of what else it is told.
    """

    name: str
    inputs: int
    rule: Rule
    meaning: str
    attributes: type[a.Attributes] = a.Attributes


EMBED = ("embed", "embed_position", "embed_row")
"""Operations that read the token ids of the batch; all others read numbers."""

ELEMENTWISE = {
    "silu": "y = x / (1 + exp(-x))",
    "gelu": "y = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))",
    "gelu_exact": "y = x / 2 (1 + erf(x / sqrt(2)))",
    "relu": "y = max(x, 0)",
    "sigmoid": "y = 1 / (1 + exp(-x))",
    "tanh": "y = tanh(x)",
    "exp": "y = exp(x)",
    "softplus": "y = log(1 + exp(x))",
}
"""Functions of one number, by operation."""

OPS: dict[str, Operation] = {
    op.name: op
    for op in [
        Operation("tokens", 0, shapes.tokens, "the token ids of the batch"),
        Operation("embed", 1, shapes.embed, "y[t] = w[token[t]]"),
        Operation(
            "embed_position", 1, shapes.embed, "y[t] = w[position[t] + offset]", a.EmbedPosition
        ),
        Operation("embed_row", 1, shapes.embed_row, "y[t] = w[row]", a.EmbedRow),
        Operation(
            "rms_norm", 1, shapes.with_weights, "y = x / sqrt(mean(x^2) + eps) (* w)", a.Norm
        ),
        Operation(
            "layer_norm",
            1,
            shapes.with_weights,
            "y = (x - mean) / sqrt(variance + eps) (* w + b)",
            a.Norm,
        ),
        Operation("linear", 1, shapes.linear, "y[t,o] = sum_i x[t,i] w[o,i] (+ b[o])"),
        Operation("linear_heads", 1, shapes.linear_heads, "y[t,h,o] = sum_i x[t,h,i] w[h,o,i]"),
        Operation("heads", 1, shapes.heads, "y = x, seen as [n heads, values a head]", a.Heads),
        Operation("flatten", 1, shapes.flatten, "y = x, seen as one vector"),
        Operation("slice", 1, shapes.slice_, "y = x[..., start : start + size]", a.Slice),
        Operation("concat", 2, shapes.concat, "y = a and b side by side on the last axis"),
        Operation(
            "repeat",
            1,
            shapes.repeat,
            "each head of x n / n_head times, one after another",
            a.Heads,
        ),
        Operation(
            "rope", 1, shapes.rope, "pairs of values turned by position times frequency", a.Rotate
        ),
        Operation(
            "cached",
            1,
            shapes.same,
            "x of this token and of all before it in its session",
            a.Cached,
        ),
        Operation(
            "attend",
            3,
            shapes.attend,
            "y = softmax(scale q k^T, causal, in the window) v",
            a.Attend,
        ),
        Operation("previous", 1, shapes.same, "y[t] = x[t - 1]", a.Recurrent),
        Operation(
            "conv",
            1,
            shapes.conv,
            "y[t,i] = sum_j x[t - width + 1 + j, i] w[i,j] (+ b[i])",
            a.Recurrent,
        ),
        Operation("scan", 4, shapes.scan, "S = exp(dt a) S + dt x b^T, y = S c + d x", a.Recurrent),
        Operation(
            "delta_rule",
            6,
            shapes.delta_rule,
            "S = S diag(w) + (S a) b^T + v k^T, y = S x",
            a.Recurrent,
        ),
        Operation(
            "wkv4",
            2,
            shapes.wkv4,
            "y = mean of values v, weighted by exp of decaying keys",
            a.Recurrent,
        ),
        Operation("add", 2, shapes.same, "y = a + b"),
        Operation("mul", 2, shapes.product, "y = a * b"),
        Operation("add_weight", 1, shapes.with_tensor, "y = x + w"),
        Operation("mul_weight", 1, shapes.with_tensor, "y = x * w"),
        Operation("scale", 1, shapes.same, "y = factor * x", a.Scale),
        Operation("sum", 1, shapes.sum_, "y = sum_i x[..., i], as one value"),
        Operation("clamp", 1, shapes.same, "y = min(max(x, low), high)", a.Clamp),
        *(Operation(name, 1, shapes.same, meaning) for name, meaning in ELEMENTWISE.items()),
        Operation(
            "route", 1, shapes.route, "p[e] of the n_used best experts e, 0 of the others", a.Route
        ),
        Operation(
            "moe",
            2,
            shapes.moe,
            "y = sum over the n_used largest p_e of p_e down_e(act(gate_e x) * up_e x)",
            a.Moe,
        ),
        Operation("output_rows", 1, shapes.same, "the rows of x whose logits are asked for"),
    ]
}
