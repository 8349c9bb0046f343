"""Check that a traced graph reads every tensor, and leave out rows whose logits nobody requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from llmpy.errors import GraphError
from llmpy.graph.ir import Graph, Node, Value

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
        if node.op == "cached" or "state" in node.attrs:
            all_rows[i] = True
        if all_rows[i]:
            for j in node.inputs:
                all_rows[j] = True
    result = replace(graph, nodes=[], caches=[])
    moved: dict[int, int] = {}  # node before -> node now, in its own rows
    gathered: dict[int, int] = {}  # node before -> its output rows
    for i, node in enumerate(graph.nodes):
        if all_rows[i] or not node.inputs:
            inputs = tuple(moved[j] for j in node.inputs)
            rows = "all" if all_rows[i] else "output"
        else:
            inputs = tuple(  # attention reads a cache through its pages
                moved[j]
                if node.op == "attend" and graph.nodes[j].op == "cached"
                else _output_rows(result, graph, j, all_rows, moved, gathered)
                for j in node.inputs
            )
            rows = "output"
        attrs = dict(node.attrs)
        if node.op == "attend":
            attrs["caches"] = tuple(graph.nodes[j].attrs["index"] for j in node.inputs[1:])
        result.nodes.append(replace(node, inputs=inputs, attrs=attrs, rows=rows))
        moved[i] = len(result.nodes) - 1
    result.caches = [replace(c, node=moved[c.node]) for c in graph.caches]
    result.output = _output_rows(result, graph, graph.output, all_rows, moved, gathered)
    return result


def _output_rows(
    result: Graph,
    graph: Graph,
    j: int,
    all_rows: list[bool],
    moved: dict[int, int],
    gathered: dict[int, int],
) -> int:
    """Node `j` for the output rows: itself, or a gather."""
    if not all_rows[j]:
        return moved[j]
    if j not in gathered:
        shape = graph.nodes[j].shape
        result.nodes.append(Node("output_rows", (moved[j],), (), {}, shape, "output"))
        gathered[j] = len(result.nodes) - 1
    return gathered[j]
