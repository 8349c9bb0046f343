"""Finding how keys in a cache are rotated, so that tokens can be moved to other positions."""

from __future__ import annotations

from collections.abc import Mapping

from llmpy.graph.ir import Graph
from llmpy.graph.rope import Rope

__all__ = ["key_rotations"]

# What stands between a matrix and a cache; behind any other operation, a position is no rotation.
_BETWEEN = {
    "heads", "flatten", "slice", "concat", "repeat", "scale", "rms_norm", "layer_norm",
    "add_weight", "mul_weight", "rope", "clamp",
}  # fmt: skip


def key_rotations(graph: Graph) -> Mapping[int, tuple[Rope, str] | None] | None:
    """Return how the keys of each cache are rotated: the rotation and the name of its divisors.

    None for keys that are not. None in all where a token cannot be moved by turning its keys:
    positions that are added to embeddings, values that are rotated, norms behind a rotation,
    factors that grow with the position, layers with a memory, attention to later tokens.
    """
    found: dict[int, tuple[Rope, str] | None] = {}
    values = set()
    if graph.recurrences:
        return None
    for node in graph.nodes:
        if node.op == "embed_position":
            return None
        if node.op != "attend":
            continue
        key, value = (graph.nodes[i] for i in node.inputs[1:])
        rotation = graph.nodes[key.inputs[0]]
        turned = rotation.op == "rope"
        if not node.attrs.causal or _is_turned(graph, value.inputs[0]):
            return None
        if _is_turned(graph, rotation.inputs[0] if turned else key.inputs[0]):
            return None
        rope = rotation.attrs.rope if turned else None
        if rope is not None and rope.growth:
            return None
        divisors = rotation.weights[0] if rotation.weights else ""
        found[key.attrs.index] = (rope, divisors) if rope is not None else None
        values.add(value.attrs.index)
    return None if values & found.keys() or not found else found


def _is_turned(graph: Graph, i: int) -> bool:
    """Whether there is a rotation between a value and the matrix that it comes from."""
    node = graph.nodes[i]
    if node.op == "rope":
        return True
    return node.op in _BETWEEN and any(_is_turned(graph, j) for j in node.inputs)
