"""Matmuls of one input as one step: their matrices are put one behind another on the device.

A GPU is busy with queries, keys and values at once, where the keys alone would leave most of it
idle; the sums are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from llmpy.backends.gpu.device import Device, Held
from llmpy.backends.gpu.tensors import ROWS_OF_TILE, Kept, Part, Tensor
from llmpy.errors import OutOfMemory
from llmpy.graph import Graph, origin

__all__ = ["NO_GROUPS", "Group", "join"]

MOST = 3  # matrices in a step


class Group(NamedTuple):
    """Matmuls of a fused graph, by number; their matrices, and all biases in one buffer."""

    nodes: tuple[int, ...]
    weights: tuple[str, ...]
    bias: Held | None


NO_GROUPS: Mapping[int, Group] = {}


def join(device: Device, graph: Graph, tensors: Mapping[str, Tensor]) -> dict[int, Group]:
    """Put the matrices of matmuls that read one input one behind another.

    Return these matmuls by the first one of each. Where memory is short they stay where they are.
    """
    found: dict[int, Group] = {}
    for nodes in _alike(graph, tensors):
        weights = tuple(graph.nodes[i].weights[0] for i in nodes)
        some = [tensors[name] for name in weights]
        try:
            if not _are_joined(some) and not _join(device, some):
                continue
            bias = _biases(device, graph, nodes, tensors)
        except OutOfMemory:
            continue
        found[nodes[0]] = Group(nodes, weights, bias)
    return found


def _alike(graph: Graph, tensors: Mapping[str, Tensor]) -> list[tuple[int, ...]]:
    """Matmuls that read one input and whose matrices have one type, up to MOST together."""
    uses = Counter(name for node in graph.nodes for name in node.weights)
    by_input: dict[object, list[int]] = {}
    for i, node in enumerate(graph.nodes):
        if node.op == "linear" and (tensor := tensors.get(node.weights[0])) is not None:
            key = origin(graph, node.inputs[0]), node.rows, tensor.dtype.name
            if len(tensor.parts) == 1 and uses[node.weights[0]] == 1:
                by_input.setdefault(key, []).append(i)
    found = []
    for nodes in by_input.values():
        for first in range(0, len(nodes), MOST):
            if len(group := tuple(nodes[first : first + MOST])) > 1:
                found.append(group)
    return found


def _are_joined(tensors: list[Tensor]) -> bool:
    at = tensors[0].parts[0].base
    for tensor in tensors:
        (part,) = tensor.parts
        if part.buffer is not tensors[0].parts[0].buffer or part.base != at:
            return False
        at += part.tiles
    return True


def _join(device: Device, tensors: list[Tensor]) -> bool:
    """Copy matrices to one buffer; False where that cannot be bound, or plans read them already."""
    parts = [tensor.parts[0] for tensor in tensors]
    tile = ROWS_OF_TILE * 4 * tensors[0].words
    size = tile * sum(part.tiles for part in parts)
    if size > device.limit or any(tensor.fixed for tensor in tensors):
        return False
    buffer, base = device.buffer(size), 0
    for part in parts:
        device.copy(part.buffer, 0, buffer, tile * base, tile * part.tiles)
        device.free(part.buffer)
        _move(part, buffer, base)
        base += part.tiles
    return True


def _move(part: Part, buffer: object, base: int) -> None:
    part.buffer, part.base = buffer, base


def _biases(
    device: Device, graph: Graph, nodes: tuple[int, ...], tensors: Mapping[str, Tensor]
) -> Held | None:
    """All biases of a group one behind another, 0 for a matmul that has none."""
    names = [(graph.nodes[i].weights[1:], graph.nodes[i].shape[0]) for i in nodes]
    if not any(bias for bias, _ in names):
        return None
    whole, at = Kept(device.buffer(max(64, 4 * sum(n for _, n in names)))), 0
    for bias, n in names:
        values = tensors[bias[0]].values if bias else None
        if values is not None:
            device.copy(values.buffer, 0, whole.buffer, 4 * at, 4 * n)
        at += n
    return whole
