"""Rewriting a graph: every pass from a graph to a graph is a rule for one node at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from llmpy.graph.attributes import Recurrent
from llmpy.graph.ir import Graph, Node

__all__ = ["VIEWS", "Rewrite", "origin", "readers", "rewrite"]

VIEWS = ("heads", "flatten", "cached")  # operations whose result is their input, seen otherwise


@dataclass
class Rewrite:
    """A pass over `graph`: the nodes so far, and where each node of before is now."""

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    now: dict[int, int] = field(default_factory=dict)

    def emit(self, node: Node) -> int:
        """Append a node, whose inputs are those of the new graph; return its index."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def keep(self, i: int) -> int:
        """Append node `i` of before as it was."""
        node = self.graph.nodes[i]
        return self.emit(replace(node, inputs=tuple(self.now[j] for j in node.inputs)))


Rule = Callable[[Rewrite, int], int]


def rewrite(graph: Graph, rule: Rule, output: int | None = None) -> Graph:
    """Return the graph that `rule` makes: it is called for each node in order, see `Rewrite`.

    A rule appends what takes the place of node `i` and returns its index. Nodes that neither the
    output needs nor a session remembers are left out at the end. `output`: another node of
    `graph` as the output.
    """
    work = Rewrite(graph)
    for i in range(len(graph.nodes)):
        work.now[i] = rule(work, i)
    needed = {work.now[graph.output if output is None else output]}
    for i in reversed(range(len(work.nodes))):
        node = work.nodes[i]
        if i in needed or node.op == "cached" or isinstance(node.attrs, Recurrent):
            needed |= {i, *node.inputs}
    left = {i: at for at, i in enumerate(sorted(needed))}
    nodes = [
        replace(work.nodes[i], inputs=tuple(left[j] for j in work.nodes[i].inputs)) for i in left
    ]
    moved = {i: left[j] for i, j in work.now.items() if j in left}
    caches = [replace(cache, node=moved[cache.node]) for cache in graph.caches]
    at = moved[graph.output if output is None else output]
    return replace(graph, nodes=nodes, caches=caches, output=at)


def origin(graph: Graph, i: int) -> int:
    """Return the node whose result node `i` only shows in another form."""
    while graph.nodes[i].op in VIEWS:
        i = graph.nodes[i].inputs[0]
    return i


def readers(graph: Graph) -> dict[int, list[int]]:
    """Return which nodes read each result, whatever form they see it in; each use counts."""
    found: dict[int, list[int]] = {}
    for i, node in enumerate(graph.nodes):
        for j in node.inputs if node.op not in ("heads", "flatten") else ():
            found.setdefault(origin(graph, j), []).append(i)
    return found
