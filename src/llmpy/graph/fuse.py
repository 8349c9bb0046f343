"""Fusion, for any backend: operations that are one where nobody reads what lies between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod

from llmpy.graph.attributes import NOTHING, Gate
from llmpy.graph.ir import Graph, Node
from llmpy.graph.ops import ELEMENTWISE
from llmpy.graph.rewrite import Rewrite, origin, readers, rewrite

__all__ = ["Attention", "GatedLinears", "Linears", "One", "Step", "fuse", "schedule"]

MOST_LINEARS = 8  # in a group


def fuse(graph: Graph) -> Graph:
    """Return the graph with two operations more, which no architecture uses.

    gate        inputs a, x:  y = f(a) * x, `function` names f
    linear_add  inputs a, x:  y[t,o] = a[t,o] + (sum_i x[t,i] w[o,i] (+ b[o]))
    """
    find = _Pairs(graph)

    def rule(work: Rewrite, i: int) -> int:
        node = graph.nodes[i]
        # Of two that could join, the first is the gate's function, and the second matmul is added.
        if node.op == "mul":
            for a, b in (node.inputs, node.inputs[::-1]):
                act = graph.nodes[j := origin(graph, a)]
                if find.is_gate(j):
                    inputs = (work.now[act.inputs[0]], work.now[b])
                    attrs = Gate(act.op)
                    return work.emit(Node("gate", inputs, (), attrs, node.shape, node.rows))
        if node.op == "add":
            for a, b in (node.inputs, node.inputs[::-1]):
                product = graph.nodes[j := origin(graph, b)]
                if find.is_added(j):
                    inputs = (work.now[a], work.now[product.inputs[0]])
                    weights = product.weights
                    return work.emit(
                        Node("linear_add", inputs, weights, NOTHING, node.shape, node.rows)
                    )
        return work.keep(i)

    return rewrite(graph, rule)


class _Pairs:
    """Finds pairs of nodes that become one."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._readers = readers(graph)

    def is_added(self, i: int) -> bool:
        """Whether a matmul is only there to be added to something else."""
        add = self._only_reader(i, "add")
        if self._graph.nodes[i].op != "linear" or add is None:
            return False
        a, b = (origin(self._graph, j) for j in add.inputs)
        return a != b and not (i == a and self.is_added(b))

    def is_gate(self, i: int) -> bool:
        """Whether a function is only there to be multiplied with something else."""
        nodes, mul = self._graph.nodes, self._only_reader(i, "mul")
        if nodes[i].op not in ELEMENTWISE or mul is None:
            return False
        a, b = (origin(self._graph, j) for j in mul.inputs)
        if a == b or prod(nodes[a].shape) != prod(nodes[b].shape):
            return False
        return not (i == b and self.is_gate(a))

    def _only_reader(self, i: int, op: str) -> Node | None:
        """The node that alone reads the result of node `i`, if it is such an operation."""
        graph, found = self._graph, self._readers.get(i, [])
        if len(found) != 1 or i == origin(graph, graph.output):
            return None
        reader = graph.nodes[found[0]]
        return reader if reader.op == op and reader.rows == graph.nodes[i].rows else None


@dataclass(frozen=True)
class One:
    """A node by itself."""

    node: int


@dataclass(frozen=True)
class Linears:
    """Matmuls that read one input."""

    linears: tuple[int, ...]


@dataclass(frozen=True)
class GatedLinears:
    """Two matmuls that only a gate reads, of which any part can be done by itself."""

    linears: tuple[int, int]
    gate: int


@dataclass(frozen=True)
class Attention:
    """Matmuls of one input (or none), and all from them to an attention, head by head.

    `between`: norms of heads, rotations, and what is cached. A key head with its queries needs
    nothing of another's.
    """

    linears: tuple[int, ...]
    between: tuple[int, ...]
    attend: int


Step = One | Linears | GatedLinears | Attention


def schedule(graph: Graph, alike: Callable[[Node, Node], bool]) -> Iterator[Step]:
    """Yield all nodes of a fused graph in an order of computation, as steps.

    Matmuls of one input come together, and with them what a thread can go on with: the gate of two
    of them, and all that lies between queries, keys, values and their attention. `alike`: whether
    two matmuls can read one input in the form that the backend gives it.
    """
    work, done = _Steps(graph, alike), set[int]()
    for i, node in enumerate(graph.nodes):
        if i in done or i in work.waiting:
            continue
        step: Step = One(i)
        if node.op == "linear":
            step = work.of_linears(work.group(i, done))
        elif i in work.alone:
            step = work.alone[i]
        done |= _members(step)
        yield step


def _members(step: Step) -> set[int]:
    match step:
        case One(node):
            return {node}
        case Linears(linears):
            return {*linears}
        case GatedLinears(linears, gate):
            return {*linears, gate}
        case Attention(linears, between, attend):
            return {*linears, *between, attend}


class _Steps:
    """Finds the operations of a graph that belong together."""

    def __init__(self, graph: Graph, alike: Callable[[Node, Node], bool]) -> None:
        self._graph = graph
        self._alike = alike
        self._readers = readers(graph)
        self._with_linears: list[tuple[set[int], Attention]] = []
        self.alone: dict[int, Attention] = {}
        taken: set[int] = set()
        for i, node in enumerate(graph.nodes):
            if node.op == "attend" and (found := self._before(i, taken)):
                taken.update(found.between)
                self._sort_in(found)
        self.waiting = {i for x in self.alone.values() for i in x.between}

    def group(self, i: int, done: set[int]) -> tuple[int, ...]:
        """The matmuls that read what matmul `i` reads, in the same rows and the same form."""
        found = [j for j in self._company(i) if j > i and j not in done]
        return (i, *found[: MOST_LINEARS - 1])

    def of_linears(self, linears: tuple[int, ...]) -> Step:
        """The step that these matmuls begin."""
        nodes = self._graph.nodes
        for sources, x in self._with_linears:
            n_kv = nodes[nodes[x.attend].inputs[1]].shape[0]
            if sources <= set(linears) and all(nodes[i].shape[0] % n_kv == 0 for i in linears):
                return replace(x, linears=linears)
        if len(linears) == 2 and (gate := self._gate_of(*linears)) is not None:
            return GatedLinears((linears[0], linears[1]), gate)
        return Linears(linears)

    def _company(self, i: int) -> list[int]:
        """The matmuls that read what matmul `i` reads, itself among them."""
        others = self._readers[origin(self._graph, self._graph.nodes[i].inputs[0])]
        return [j for j in others if self._together(i, j)]

    def _together(self, i: int, j: int) -> bool:
        a, b = self._graph.nodes[i], self._graph.nodes[j]
        same = origin(self._graph, a.inputs[0]) == origin(self._graph, b.inputs[0])
        return a.op == b.op == "linear" and same and a.rows == b.rows and self._alike(a, b)

    def _gate_of(self, i: int, j: int) -> int | None:
        """The gate that alone reads both matmuls."""
        nodes, first, second = self._graph.nodes, self._readers.get(i), self._readers.get(j)
        if first is None or first != second or len(first) > 1 or nodes[first[0]].op != "gate":
            return None
        gate = nodes[first[0]]
        seen = origin(self._graph, self._graph.output) in (i, j)
        alike = nodes[i].shape == nodes[j].shape and gate.rows == nodes[i].rows
        return first[0] if alike and not seen else None

    def _before(self, attend: int, taken: set[int]) -> Attention | None:
        """All before an attention that is done head by head; None where its rows differ."""
        nodes, node = self._graph.nodes, self._graph.nodes[attend]
        n_kv, between = nodes[node.inputs[1]].shape[0], set[int]()
        for j in node.inputs:
            at = j
            while at not in taken and (nodes[at].op == "heads" or self._is_by_head(at, n_kv)):
                if nodes[at].op != "heads":
                    if nodes[at].rows != node.rows:
                        return None
                    between.add(at)
                (at,) = nodes[at].inputs
        return Attention((), tuple(sorted(between)), attend) if between else None

    def _is_by_head(self, i: int, n_kv: int) -> bool:
        node = self._graph.nodes[i]
        known = node.op in ("rope", "cached", "rms_norm", "layer_norm")
        return known and len(node.shape) == 2 and node.shape[0] % n_kv == 0

    def _sort_in(self, x: Attention) -> None:
        """Say what a chain goes with: the matmuls that it begins with, or nothing."""
        graph = self._graph
        read = {j for i in x.between for j in graph.nodes[i].inputs}
        read.add(graph.nodes[x.attend].inputs[0])
        sources = {origin(graph, j) for j in read} - set(x.between)
        linears = {i for i in sources if graph.nodes[i].op == "linear"}
        first = min((j for i in linears for j in self._company(i)), default=-1)
        if linears and all(i in linears or i < first for i in sources):
            same_rows = graph.nodes[first].rows == graph.nodes[x.attend].rows
            if same_rows and all(i == first or self._together(first, i) for i in linears):
                self._with_linears.append((linears, x))
                return
        # Nobody may read what waits for the attention before it.
        later = [j for i in x.between for j in self._readers.get(origin(graph, i), [])]
        if all(j >= x.attend or j in x.between for j in later):
            self.alone[x.attend] = x
