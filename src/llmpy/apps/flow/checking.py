"""Checking a flow before it runs: the ports of nodes, and what is wrong with nodes and wires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmpy.apps.flow.graph import Edge, Flow
from llmpy.apps.flow.kinds import Kind, Ports, all_kinds
from llmpy.apps.flow.types import bound, fits, unified

__all__ = ["Checked", "check", "in_order"]


@dataclass
class Checked:
    """Result of `check`: kinds, settings and ports by node, and problems by node and by edge."""

    flow: Flow
    kinds: dict[str, Kind] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    ports: dict[str, Ports] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    edges: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = {node.id: (node.title, node.type) for node in self.flow.nodes}

    def first_problem(self, among: set[str]) -> str | None:
        """Return what is wrong with these nodes or the wires to them, in one line."""
        for i, problem in self.edges.items():
            if self.flow.edges[i].target in among:
                return problem
        for id, problem in self.nodes.items():
            if id in among:
                return f"{self.name(id)}: {problem}"
        return None

    def name(self, id: str) -> str:
        """Return what people call a node."""
        title, type = self.names[id]
        return title or (self.kinds[id].title if id in self.kinds else type)


def check(flow: Flow) -> Checked:
    """Return the ports of each node, with their types, and all that is wrong."""
    found = Checked(flow)
    raw: dict[str, Ports] = {}
    for node in flow.nodes:
        kind = all_kinds().get(node.type)
        if kind is None:
            found.nodes[node.id] = f"there is no kind of node {node.type!r:.80}"
            continue
        found.kinds[node.id] = kind
        try:
            found.settings[node.id] = kind.settings(node.data, "settings")
            raw[node.id] = kind.ports_of(found.settings[node.id])
        except ValueError as error:
            found.nodes[node.id] = str(error).removeprefix("settings.")
    order, rest, round_ = in_order(flow)
    for i, edge in enumerate(flow.edges):
        if edge.source in round_ and edge.target in round_:
            found.edges[i] = "this wire goes round in a circle: a node cannot wait for itself"
    arriving: dict[str, list[tuple[int, Edge]]] = {}
    for i, edge in enumerate(flow.edges):
        arriving.setdefault(edge.target, []).append((i, edge))
    for id in [*order, *rest]:
        if id in raw:
            _resolve(found, id, raw[id], arriving.get(id, []))
    for i, edge in enumerate(flow.edges):
        if edge.target not in raw and i not in found.edges:
            found.edges[i] = "the node at its end is wrong"
    return found


def in_order(flow: Flow) -> tuple[list[str], list[str], set[str]]:
    """Return the ids with each node after all that it gets values from.

    Second: those that are in circles, or behind them; third: of these, those in circles, or between
    them.
    """
    ids = [node.id for node in flow.nodes]
    order = _peeled(ids, [(edge.source, edge.target) for edge in flow.edges])
    there = set(order)
    rest = [id for id in ids if id not in there]
    back = [(e.target, e.source) for e in flow.edges if not {e.source, e.target} & there]
    return order, rest, set(rest) - set(_peeled(rest, back))


def _peeled(ids: list[str], edges: list[tuple[str, str]]) -> list[str]:
    """Take away what no edge leads to, again and again, and return it in that order."""
    waits = dict.fromkeys(ids, 0)
    leaving: dict[str, list[str]] = {}
    for source, target in edges:
        waits[target] += 1
        leaving.setdefault(source, []).append(target)
    order = [id for id, n in waits.items() if not n]
    for id in order:
        for target in leaving.get(id, ()):
            waits[target] -= 1
            if not waits[target]:
                order.append(target)
    return order


def _resolve(found: Checked, id: str, raw: Ports, arriving: list[tuple[int, Edge]]) -> None:
    """Find the types of a node's ports, and what is wrong with the wires that end at it."""
    inputs = {port.name: port for port in raw.inputs}
    variable: str | None = None
    given: dict[str, tuple[int, str]] = {}
    for i, edge in arriving:
        outputs = {p.name: p for p in found.ports.get(edge.source, Ports()).outputs}
        if edge.target_handle not in inputs:
            found.edges.setdefault(i, f"{found.name(id)} has no input {edge.target_handle!r:.80}")
        elif edge.source_handle not in outputs:
            name = found.name(edge.source)
            found.edges.setdefault(i, f"{name} has no output {edge.source_handle!r:.80}")
        else:
            given[edge.target_handle] = i, outputs[edge.source_handle].type
            one = unified(inputs[edge.target_handle].type, outputs[edge.source_handle].type)
            if one is not None:
                variable = one if variable in (None, one) else "any"
    found.ports[id] = Ports(
        tuple(type(p)(p.name, bound(p.type, variable), p.required) for p in raw.inputs),
        tuple(type(p)(p.name, bound(p.type, variable), p.required) for p in raw.outputs),
    )
    for port in found.ports[id].inputs:
        if port.name in given:
            i, kind = given[port.name]
            if not fits(kind, port.type):
                words = f"it carries {shown(kind)}, and {port.name!r} takes {shown(port.type)}"
                found.edges.setdefault(i, words + _advice(kind, port.type))
        elif port.required and not any(e.target_handle == port.name for _, e in arriving):
            found.nodes.setdefault(id, f"the input {port.name!r} has no wire")


def shown(kind: str) -> str:
    """Return the name of a type as people read it."""
    if kind.startswith("list["):
        inner = kind[5:-1]
        return "a list" if inner == "any" else f"a list of {shown(inner).split(' ', 1)[-1]}s"
    words: Mapping[str, str] = {"json": "an object", "any": "anything", "boolean": "yes or no"}
    return words.get(kind, f"a {kind}")


def _advice(given: str, wanted: str) -> str:
    if given == f"list[{wanted}]":
        return ": use Map over list"
    if wanted == "text":
        return ": put a Prompt in between"
    return ""
