"""Flows as JSON, `{"nodes": [...], "edges": [...]}`, in the shape that React Flow has too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Edge", "Flow", "FlowError", "Node", "Place", "load", "loads", "of_data", "save"]

MOST_BYTES = 16 << 20
MOST_NODES = 2000
MOST_EDGES = 8000
MOST_OF_A_NAME = 200  # characters
FAR = 1e7  # pixels


class FlowError(ValueError):
    """A flow that cannot be read or run; the message says where and why."""


class Place(msgspec.Struct, forbid_unknown_fields=False):
    """The place where a node is drawn, in pixels."""

    x: float = 0.0
    y: float = 0.0


class Node(msgspec.Struct):
    """A node: `type` is the name of its kind, `data` its settings, `title` what people call it."""

    id: str
    type: str
    data: dict[str, Any] = {}
    position: Place = msgspec.field(default_factory=Place)
    title: str = ""


class Edge(msgspec.Struct, rename="camel"):
    """A wire, from the output `source_handle` of a node to the input `target_handle` of another."""

    source: str
    source_handle: str
    target: str
    target_handle: str
    id: str = ""


class Flow(msgspec.Struct):
    """Nodes, and the wires between them."""

    nodes: list[Node]
    edges: list[Edge] = []

    def __post_init__(self) -> None:
        for name, items, most in (
            ("nodes", self.nodes, MOST_NODES), ("edges", self.edges, MOST_EDGES),
        ):  # fmt: skip
            if len(items) > most:
                raise ValueError(f"{name}: expected up to {most}, found {len(items)}")
        for i, node in enumerate(self.nodes):
            for name in ("id", "type", "title"):
                _check_name(getattr(node, name), f"nodes[{i}].{name}", empty=name == "title")
            for value in (node.position.x, node.position.y):
                if not abs(value) <= FAR:
                    raise ValueError(f"nodes[{i}].position: expected up to {FAR:g}, found {value}")
        ids = [node.id for node in self.nodes]
        if len(set(ids)) < len(ids):
            twice = next(one for i, one in enumerate(ids) if one in ids[:i])
            raise ValueError(f"nodes: expected ids that differ, found {twice!r} twice")
        ends, known = set[tuple[str, str]](), set(ids)
        for i, edge in enumerate(self.edges):
            for end in (edge.source, edge.target):
                if end not in known:
                    raise ValueError(f"edges[{i}]: there is no node {end!r:.80}")
            end_at = edge.target, edge.target_handle
            if end_at in ends:
                raise ValueError(f"edges[{i}]: the input {end_at[1]!r:.80} has two wires")
            ends.add(end_at)

    def before(self, ids: Iterable[str]) -> set[str]:
        """Return these nodes and all that they get values from."""
        sources: dict[str, list[str]] = {}
        for edge in self.edges:
            sources.setdefault(edge.target, []).append(edge.source)
        found, new = set[str](), list(ids)
        while new:
            one = new.pop()
            if one not in found:
                found.add(one)
                new += sources.get(one, ())
        return found

    def with_values(self, values: Mapping[str, Any]) -> Flow:
        """Return the flow with values for nodes by title or id, as `--set` has them; FlowError."""
        from llmpy.apps.flow.kinds import all_kinds

        flow = msgspec.convert(msgspec.to_builtins(self), Flow)
        inputs = [
            node for node in flow.nodes
            if (kind := all_kinds().get(node.type)) and kind.group == "Inputs"
        ]  # fmt: skip
        for name, value in values.items():
            found = [n for n in inputs if n.title == name] or [n for n in inputs if n.id == name]
            if len(found) != 1:
                there = ", ".join(repr(n.title or n.id) for n in inputs) or "none"
                problem = "no input" if not found else f"{len(found)} inputs"
                raise FlowError(f"{problem} of the flow has the name {name!r}; there are: {there}")
            first = all_kinds()[found[0].type].fields[0]
            if first.type == "number" and isinstance(value, str):
                try:
                    value = float(value)
                except ValueError:
                    raise FlowError(f"{name}: expected a number, found {value!r:.60}") from None
            try:
                found[0].data[first.name] = first.checked(value, name)
            except ValueError as error:
                raise FlowError(str(error)) from None
        return flow


def loads(data: bytes | str) -> Flow:
    """Return the flow of a text in JSON; FlowError says what is wrong with it, and where."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MOST_BYTES:
        raise FlowError(f"expected up to {MOST_BYTES} bytes, found {len(raw)}")
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FlowError(f"expected JSON, found none: {error}") from None
    return of_data(found)


def of_data(data: Any) -> Flow:
    """Return the flow of an object that was JSON; FlowError."""
    if not isinstance(data, dict) or "nodes" not in data:
        raise FlowError('expected an object {"nodes": [...], "edges": [...]}')
    try:
        return msgspec.convert(data, Flow)
    except msgspec.ValidationError as error:
        text = str(error)
        said, _, where = text.partition(" - at `$")
        where = where.rstrip("`").lstrip(".")
        raise FlowError(f"{where}: {said[0].lower()}{said[1:]}" if where else said) from None
    except RecursionError:
        raise FlowError("lists and objects are nested too deep") from None


def load(path: str | os.PathLike[str]) -> Flow:
    """Read a flow from a file; FlowError says what is wrong, OSError where there is none."""
    place = Path(path)
    if place.is_file() and place.stat().st_size > MOST_BYTES:
        raise FlowError(f"{place}: expected up to {MOST_BYTES} bytes")
    try:
        return loads(place.read_bytes())
    except FlowError as error:
        raise FlowError(f"{place}: {error}") from None


def save(flow: Flow, path: str | os.PathLike[str]) -> None:
    """Write a flow to a file, which is whole at any time."""
    place = Path(path)
    part = place.with_name(f"{place.name}.part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(flow), indent=1))
    part.replace(place)


def _check_name(text: str, where: str, *, empty: bool) -> None:
    if not (text or empty) or len(text) > MOST_OF_A_NAME or not (text or " ").isprintable():
        raise ValueError(
            f"{where}: expected 1 to {MOST_OF_A_NAME} printable characters, found {text!r:.60}"
        )
