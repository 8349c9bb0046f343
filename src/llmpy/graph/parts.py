"""Cutting a graph at layers: each part goes on from what the one before it hands over."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from llmpy.errors import GraphError
from llmpy.graph.attributes import (
    NOTHING,
    Attend,
    Attributes,
    Cached,
    Heads,
    Recurrent,
    Slice,
)
from llmpy.graph.ir import Graph, Node

__all__ = ["Part", "cut", "layer_starts", "layers_text", "n_layers"]

_LAYER = re.compile(r"blk\.(\d+)\.")


class Part(NamedTuple):
    """A piece of a graph, and which caches of the whole graph are its own, in their order.

    All but the last give, as their output, what later nodes read of them, side by side; all but the
    first begin with a node `given`, which stands for it. `rows`: for which tokens that is.
    """

    graph: Graph
    caches: tuple[int, ...]
    rows: str


def n_layers(graph: Graph) -> int:
    """Return the number of layers: blocks whose tensors the graph reads."""
    return 1 + max(map(_layer, graph.nodes), default=-1)


def layers_text(first: int, end: int) -> str:
    """Return the layers from `first` to `end`, the latter not included, for people."""
    return f"layer {first}" if end - first == 1 else f"layers {first} to {end - 1}"


def layer_starts(graph: Graph) -> list[int]:
    """Return the layers at which the graph can be cut."""
    return [layer for layer in range(1, n_layers(graph)) if _why_not(graph, layer) is None]


def cut(graph: Graph, starts: Sequence[int]) -> list[Part]:
    """Cut a graph into parts; `starts` are the first layers of all but the first part, ascending.

    Raises GraphError where attention reads the keys of a layer in another part.
    """
    for layer in starts:
        if (why := _why_not(graph, layer)) is not None:
            raise GraphError(f"cut at layer {layer}: {why}")
    ends = [0, *(_begin(graph, layer) for layer in starts), len(graph.nodes)]
    handed = [_crossing(graph, end) for end in ends]
    between = zip(pairwise(ends), pairwise(handed), strict=True)
    return [_Cutting(graph, *given).part(*nodes) for nodes, given in between]


def _layer(node: Node) -> int:
    """The layer whose tensors a node reads, -1 for none."""
    return max((int(m[1]) for m in map(_LAYER.match, node.weights) if m), default=-1)


def _begin(graph: Graph, layer: int) -> int:
    """The node where a layer begins: before it the fewest numbers have to be handed over."""
    layers = [_layer(node) for node in graph.nodes]
    end = next(i for i, at in enumerate(layers) if at >= layer)
    first = max((i for i in range(end) if layers[i] >= 0), default=0) + 1
    return min(range(end, first - 1, -1), key=lambda i: _width(graph, _crossing(graph, i)))


def _why_not(graph: Graph, layer: int) -> str | None:
    """Why a graph cannot be cut where a layer begins; None if it can."""
    at = _begin(graph, layer)
    for i, node in enumerate(graph.nodes[at:], at):
        if node.op == "attend" and min(node.inputs[1:]) < at:
            return f"a layer from there on reads keys of a layer before it (node {i})"
    rows = {graph.nodes[j].rows for j in _crossing(graph, at)}
    return None if len(rows) == 1 else "what is handed over is of several kinds of rows"


def _crossing(graph: Graph, at: int) -> tuple[int, ...]:
    """The nodes before number `at` whose results are read from there on."""
    found = set()
    for node in graph.nodes[at:]:
        inputs = node.inputs[:1] if node.op == "attend" else node.inputs
        found |= {j for j in inputs if j < at and graph.nodes[j].op != "tokens"}
    if graph.output < at < len(graph.nodes):
        found.add(graph.output)
    return tuple(sorted(found))


def _width(graph: Graph, nodes: Sequence[int]) -> int:
    return sum(prod(graph.nodes[j].shape) for j in nodes)


class _Cutting:
    """Makes a part that goes on from the nodes `given`, and hands over `handed`."""

    def __init__(self, graph: Graph, given: Sequence[int], handed: Sequence[int]) -> None:
        self._whole, self._given, self._handed = graph, given, handed
        self._nodes: list[Node] = []
        self._now: dict[int, int] = {}
        self._states = sorted(n.attrs.state for n in graph.nodes if isinstance(n.attrs, Recurrent))
        self._caches: dict[int, int] = {}  # number in the whole graph -> here
        self._recurrences: list[Any] = []

    def part(self, begin: int, end: int) -> Part:
        """The part of these nodes."""
        whole = self._whole
        self._take_over()
        for i in range(begin, end):
            node = whole.nodes[i]
            inputs = tuple(self._at(j) for j in node.inputs)
            attrs = self._renumbered(node)
            self._now[i] = self._emit(replace(node, inputs=inputs, attrs=attrs))
        output = self._hand_over() if self._handed else self._now[whole.output]
        caches = [
            replace(whole.caches[cache], node=self._now[whole.caches[cache].node])
            for cache in self._caches
        ]
        used: dict[str, set[str]] = {}
        for node in self._nodes:
            for name in node.weights:
                used.setdefault(name, set()).add(node.op)
        graph = Graph(
            whole.shapes, whole.n_ctx, self._nodes, caches, self._recurrences, output, used
        )
        given = self._handed or [whole.output]
        return Part(graph, tuple(self._caches), whole.nodes[given[0]].rows)

    def _at(self, j: int) -> int:
        """A node of the whole graph in this part; every part has the token ids."""
        if j not in self._now and self._whole.nodes[j].op == "tokens":
            self._now[j] = self._emit(self._whole.nodes[j])
        return self._now[j]

    def _emit(self, node: Node) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _take_over(self) -> None:
        """The node `given`, and each value out of it."""
        at, nodes = 0, [self._whole.nodes[j] for j in self._given]
        if not nodes:
            return
        rows, width = nodes[0].rows, _width(self._whole, self._given)
        given = self._emit(Node("given", (), (), NOTHING, (width,), rows))
        for j, node in zip(self._given, nodes, strict=True):
            size, here = prod(node.shape), given
            if size < width:
                slice_ = Slice(at, size)
                here = self._emit(Node("slice", (given,), (), slice_, (size,), rows))
            if len(node.shape) > 1:
                heads = Heads(node.shape[0])
                here = self._emit(Node("heads", (here,), (), heads, node.shape, rows))
            self._now[j] = here
            at += size

    def _hand_over(self) -> int:
        """All values that later parts read, side by side."""
        found: list[int] = []
        for j in self._handed:
            node, here = self._whole.nodes[j], self._now[j]
            if len(node.shape) > 1:
                flat = (prod(node.shape),)
                here = self._emit(Node("flatten", (here,), (), NOTHING, flat, node.rows))
            found.append(here)
        output = found[0]
        for here in found[1:]:
            a, b = self._nodes[output], self._nodes[here]
            shape = (a.shape[0] + b.shape[0],)
            output = self._emit(Node("concat", (output, here), (), NOTHING, shape, a.rows))
        if (last := self._nodes[output]).rows == "all":
            output = self._emit(Node("output_rows", (output,), (), NOTHING, last.shape, "output"))
        return output

    def _renumbered(self, node: Node) -> Attributes:
        """Attributes with the numbers of a node's caches and states in this part."""
        whole, attrs = self._whole, node.attrs
        if isinstance(attrs, Cached):
            return Cached(self._caches.setdefault(attrs.index, len(self._caches)))
        if isinstance(attrs, Attend):
            return replace(attrs, caches=tuple(self._caches[c] for c in attrs.caches))
        if isinstance(attrs, Recurrent):
            end = min((s for s in self._states if s > attrs.state), default=len(whole.recurrences))
            here = Recurrent(len(self._recurrences))
            self._recurrences += whole.recurrences[attrs.state : end]
            return here
        known: Attributes = attrs
        return known
