"""The state of lowering: values by number, and the operations emitted so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from llmpy.backends.cpu.lower.ops import Op
from llmpy.backends.cpu.lower.program import Shaped
from llmpy.ffi.abi import NO_PLACE
from llmpy.graph import Graph, Node, Rope, origin

__all__ = ["Emitted"]


@dataclass
class Emitted:
    """A fused graph over tensors, and the native operations that stand for its nodes so far."""

    graph: Graph
    tensors: Mapping[str, Shaped]
    kv_dtype: str  # of values in a page
    sums: bool  # whether somebody wants to know what matmuls are fed
    ops: list[Op] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes a row of each value
    spaces: list[str] = field(default_factory=list)
    value: dict[int, int] = field(default_factory=dict)  # node -> value
    prepared: dict[tuple[int, int, int], int] = field(default_factory=dict)  # see matmul.py
    ropes: list[tuple[Rope, str]] = field(default_factory=list)

    def new(self, width: int, rows: str, size: int | None = None) -> int:
        """A value of `width` floats a row, or of `size` bytes."""
        self.sizes.append(4 * width if size is None else size)
        self.spaces.append(rows)
        return len(self.sizes) - 1

    def of(self, node: int) -> int:
        """The value of a node."""
        return self.value[origin(self.graph, node)]

    def inputs(self, node: Node) -> tuple[int, int]:
        """The one or two values that a node reads; NO_PLACE for no second one."""
        x, *more = (self.of(j) for j in node.inputs)
        return x, more[0] if more else NO_PLACE

    def emit(self, i: int, op: Op) -> None:
        """The operation that gives the result of node `i`."""
        op.y = self.value[i] = self.new(prod(self.graph.nodes[i].shape), op.rows)
        self.ops.append(op)
