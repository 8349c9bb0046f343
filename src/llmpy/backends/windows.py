"""Finding the caches that only sliding windows read: their pages of old tokens can be freed."""

from __future__ import annotations

from typing import NamedTuple

from llmpy.graph import Graph, is_encoder

__all__ = ["Windows", "windows_of"]


class Windows(NamedTuple):
    """The caches that only layers with a window read, and the widest of these windows in tokens.

    A query sees itself and the `window - 1` tokens before it there.
    """

    caches: frozenset[int]
    window: int


def windows_of(graph: Graph) -> Windows:
    """Return the caches that only windows read; none where some attention is not causal."""
    readers = [node for node in graph.nodes if node.op == "attend"]
    if is_encoder(graph):
        return Windows(frozenset(), 0)
    pairs = [frozenset(graph.nodes[i].attrs.index for i in n.inputs[1:]) for n in readers]
    windows = [node.attrs.window for node in readers]
    whole, before = {c for pair, w in zip(pairs, windows, strict=True) if not w for c in pair}, -1
    while len(whole) > before:  # keys and values of a layer stay together
        before = len(whole)
        whole.update(*(pair for pair in pairs if pair & whole))
    caches = frozenset().union(*pairs) - whole
    widest = [w for pair, w in zip(pairs, windows, strict=True) if pair <= caches]
    return Windows(caches, max(widest, default=0))
