"""Graphs cut at layers: every part has the token ids of the batch."""

from __future__ import annotations

from llmpy.graph import Graph, Weights, finish
from llmpy.graph.parts import cut

SHAPES = {
    "token_embd.weight": (10, 8),
    "blk.0.up.weight": (8, 8),
    "blk.1.up.weight": (8, 8),
    "blk.1.token_embd.weight": (10, 8),
    "output.weight": (10, 8),
}


def test_a_later_part_embeds_token_ids_by_itself() -> None:
    graph, w = Graph(SHAPES), Weights(SHAPES, n_blocks=2)
    tokens = graph.tokens()
    x = tokens.embed(w.token_embd).linear(w.blk[0].up)
    x = x.linear(w.blk[1].up) + tokens.embed(w.blk[1].token_embd)
    first, second = cut(finish(graph, x.linear(w.output)), [1])
    assert [node.op for node in first.graph.nodes][:2] == ["tokens", "embed"]
    assert [node.op for node in second.graph.nodes][:2] == ["given", "linear"]
    embed = next(node for node in second.graph.nodes if node.op == "embed")
    assert second.graph.nodes[embed.inputs[0]].op == "tokens"
    assert second.graph.nodes[0].shape == (8,)  # token ids are not handed over
