"""What a graph is besides its logits: the states that they are made of, and who sees whom."""

from __future__ import annotations

from dataclasses import replace

from llmpy.graph.ir import Graph

__all__ = ["has_head", "is_encoder", "n_embedded", "states"]

_AFTER_HEAD = {"scale", "tanh", "clamp", "add_weight", "mul_weight"}  # of logits, if anything is


def states(graph: Graph) -> Graph:
    """The graph of the last states [T, n_embd]: without the matrix that makes logits of them."""
    output = graph.output
    while graph.nodes[output].op in _AFTER_HEAD:
        output = graph.nodes[output].inputs[0]
    if graph.nodes[output].op != "linear":
        return graph
    (output,) = graph.nodes[output].inputs
    return replace(graph, nodes=graph.nodes[: output + 1], output=output)


def has_head(graph: Graph) -> bool:
    """Whether the graph gives logits; one of states alone ends with a norm or a sum."""
    return states(graph) is not graph


def is_encoder(graph: Graph) -> bool:
    """Whether tokens see those after them, so that a text must be read in one batch."""
    return any(n.op == "attend" and not n.attrs.get("causal", True) for n in graph.nodes)


def n_embedded(graph: Graph) -> int:
    """How many tokens have a row to be embedded by and, where there are logits, one of these."""
    rows = [graph.n_vocab] if has_head(graph) else []
    rows += [graph.shapes[n.weights[0]][0] for n in graph.nodes if n.op == "embed"]
    return min(rows)
