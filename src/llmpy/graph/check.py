"""Check that a traced graph reads every tensor, and leave out rows whose logits nobody requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from llmpy.errors import GraphError
from llmpy.graph.attributes import NOTHING, Recurrent
from llmpy.graph.ir import Graph, Node, Value
from llmpy.graph.rewrite import Rewrite, rewrite

__all__ = ["finish"]


def finish(graph: Graph, logits: Value, harmless: Iterable[str] = ()) -> Graph:
    """The graph of `logits`, computed only for the rows that are asked for.

    Raises GraphError for a tensor of the file that the graph never read, unless a pattern of
    `harmless` names it.
    """
    patterns = tuple(harmless)
    for name, shape in graph.shapes.items():
        if name not in graph.used and not any(fnmatchcase(name, p) for p in patterns):
            raise GraphError(
                f"tensor {name!r} {shape} is in the file, but the model never reads it"
            )
    graph.output = logits.index
    return _leave_out(graph)


def _leave_out(graph: Graph) -> Graph:
    """Mark what only the logits need as "output", and gather those rows where they begin.

    Everything but what a session remembers is computed token by token, so after the last node that
    remembers the rest of the model is needed for the output rows alone.
    """
    all_rows = [False] * len(graph.nodes)
    for i in reversed(range(len(graph.nodes))):
        node = graph.nodes[i]
        if node.op == "cached" or isinstance(node.attrs, Recurrent):
            all_rows[i] = True
        if all_rows[i]:
            for j in node.inputs:
                all_rows[j] = True
    gathered: dict[int, int] = {}  # node before -> its output rows

    def output_rows(work: Rewrite, j: int) -> int:
        if all_rows[j] and graph.nodes[j].op != "tokens" and j not in gathered:
            shape = graph.nodes[j].shape
            node = Node("output_rows", (work.now[j],), (), NOTHING, shape, "output")
            gathered[j] = work.emit(node)
        return gathered.get(j, work.now[j])

    def rule(work: Rewrite, i: int) -> int:
        node, rows = graph.nodes[i], "all" if all_rows[i] else "output"
        inputs = tuple(  # attention reads a cache through its pages
            work.now[j]
            if all_rows[i] or (node.op == "attend" and graph.nodes[j].op == "cached")
            else output_rows(work, j)
            for j in node.inputs
        )
        attrs = node.attrs
        if node.op == "attend":
            caches = tuple(graph.nodes[j].attrs.index for j in node.inputs[1:])
            attrs = replace(attrs, caches=caches)
        return work.emit(replace(node, inputs=inputs, attrs=attrs, rows=rows))

    result = rewrite(graph, rule)
    if result.nodes[result.output].rows == "all":
        shape = result.nodes[result.output].shape
        result.nodes.append(Node("output_rows", (result.output,), (), NOTHING, shape, "output"))
        result.output = len(result.nodes) - 1
    return result
