"""Graphs without logits: the hidden states, and which tokens see which."""

from __future__ import annotations

from dataclasses import replace

from llmpy.graph.ir import Graph
from llmpy.graph.rewrite import Rewrite, rewrite

__all__ = ["PAIRS", "for_pairs", "has_head", "is_encoder", "n_embedded", "states", "table_of"]

PAIRS = "token_embd.pairs.weight"  # a table that no file has: rows for the tokens of two texts

_AFTER_HEAD = {"scale", "tanh", "clamp", "add_weight", "mul_weight"}  # of logits, if anything is


def states(graph: Graph) -> Graph:
    """The graph of the last states [T, n_embd]: without the matrix that makes logits of them."""
    last = _last_states(graph)
    return graph if last is None else rewrite(graph, Rewrite.keep, last)


def has_head(graph: Graph) -> bool:
    """Whether the graph gives logits; one of states alone ends with a norm or a sum."""
    return _last_states(graph) is not None


def _last_states(graph: Graph) -> int | None:
    """The node whose result the matrix makes logits of; None where there is no such matrix."""
    node = graph.nodes[graph.output]
    while node.op in _AFTER_HEAD:
        node = graph.nodes[node.inputs[0]]
    return node.inputs[0] if node.op == "linear" else None


def is_encoder(graph: Graph) -> bool:
    """Whether tokens see those after them, so that a text must be read in one batch."""
    return any(n.op == "attend" and not n.attrs.causal for n in graph.nodes)


def n_embedded(graph: Graph) -> int:
    """Return how many tokens have a row of embeddings and, where there are logits, one of these."""
    rows = [graph.n_vocab] if has_head(graph) else []
    rows += [graph.shapes[n.weights[0]][0] for n in graph.nodes if n.op == "embed"]
    return min(rows)


def table_of(graph: Graph) -> str | None:
    """The table that tokens are embedded by; None where several are."""
    tables = {n.weights[0] for n in graph.nodes if n.op == "embed"}
    return tables.pop() if len(tables) == 1 else None


def for_pairs(graph: Graph) -> Graph:
    """The same graph, with twice the tokens: those of a second text have rows of their own."""
    table = table_of(graph)
    assert table is not None
    n, width = graph.shapes[table]

    def rule(work: Rewrite, i: int) -> int:
        node = graph.nodes[i]
        return work.emit(replace(node, weights=(PAIRS,))) if node.op == "embed" else work.keep(i)

    used = {**graph.used, PAIRS: {"embed"}}
    return replace(rewrite(graph, rule), shapes={**graph.shapes, PAIRS: (2 * n, width)}, used=used)
