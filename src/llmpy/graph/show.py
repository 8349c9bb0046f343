"""A graph as text: one line for each node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from llmpy.dtypes import DType
from llmpy.graph.ir import Graph, Node
from llmpy.graph.rope import Rope

__all__ = ["show"]


def show(graph: Graph, dtypes: Mapping[str, DType] | None = None) -> str:
    """The graph's nodes in order, each with inputs, weights (and their types) and shape.

    `%3 linear %2 blk.0.attn_q.weight:Q4_0 -> [64]`; "output" rows are marked with `R`.
    """
    return "\n".join(_line(i, node, dtypes or {}) for i, node in enumerate(graph.nodes))


def _line(i: int, node: Node, dtypes: Mapping[str, DType]) -> str:
    weights = [f"{w}:{dtypes[w]}" if w in dtypes else w for w in node.weights]
    attrs = [f"{k}={_attribute(v)}" for k, v in sorted(node.attrs.told().items())]
    words = [node.op, *(f"%{j}" for j in node.inputs), *weights, *attrs]
    rows = "R" if node.rows == "output" else "T"
    return f"%{i} {' '.join(words)} -> [{', '.join([rows, *map(str, node.shape)])}]"


def _attribute(value: object) -> str:
    if isinstance(value, Rope):
        usual = Rope(value.n_dims, value.base)
        parts = [f"{value.n_dims}:{value.base:g}"]
        for f in fields(value)[2:]:
            if (found := getattr(value, f.name)) != getattr(usual, f.name):
                parts.append(f"{f.name}={_attribute(found)}")
        return ":".join(parts)
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
