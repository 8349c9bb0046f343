"""The state of lowering: values by number, and the operations emitted so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.cpu.lower.program import Op, Tensor
from llmpy.backends.cpu.lower.sums import Sums
from llmpy.ffi import address
from llmpy.ffi.abi import NO_PLACE, OpKind
from llmpy.graph import Graph, Node, Rope

__all__ = ["Emitted"]

_VIEWS = ("heads", "flatten", "cached")  # operations whose result is their input, seen otherwise


@dataclass
class Emitted:
    """A graph over tensors, and the native operations that stand for its nodes so far."""

    graph: Graph
    tensors: Mapping[str, Tensor]
    kv_dtype: str  # of values in a page
    ops: list[Op] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes a row of each value
    spaces: list[str] = field(default_factory=list)
    value: dict[int, int] = field(default_factory=dict)  # node -> value
    prepared: dict[tuple[int, int, int], int] = field(default_factory=dict)  # see cpu_products
    ropes: list[tuple[Rope, str, Tensor | None]] = field(default_factory=list)
    constants: list[NDArray[np.float32]] = field(default_factory=list)  # that operations read
    sums: Sums | None = None  # where what products are fed is summed, if anybody wants to know
    done: set[int] = field(default_factory=set)  # nodes whose operation came before its turn

    def __post_init__(self) -> None:
        self.readers: dict[int, list[int]] = {}
        for i, node in enumerate(self.graph.nodes):
            for j in node.inputs if node.op not in ("heads", "flatten") else ():
                self.readers.setdefault(self.origin(j), []).append(i)

    def origin(self, i: int) -> int:
        """The node whose result this one only shows in another form."""
        while self.graph.nodes[i].op in _VIEWS:
            i = self.graph.nodes[i].inputs[0]
        return i

    def only_reader(self, i: int, op: str) -> Node | None:
        """The node that alone reads the result of node `i`, if it is such an operation."""
        readers = self.readers.get(i, [])
        if len(readers) != 1 or i == self.origin(self.graph.output):
            return None
        reader = self.graph.nodes[readers[0]]
        return reader if reader.op == op and reader.rows == self.graph.nodes[i].rows else None

    def new(self, width: int, rows: str, size: int | None = None) -> int:
        """A value of `width` floats a row, or of `size` bytes."""
        self.sizes.append(4 * width if size is None else size)
        self.spaces.append(rows)
        return len(self.sizes) - 1

    def of(self, node: int) -> int:
        """The value of a node."""
        return self.value[self.origin(node)]

    def inputs(self, node: Node) -> tuple[int, int]:
        """The one or two values that a node reads; NO_PLACE for no second one."""
        x, *more = (self.of(j) for j in node.inputs)
        return x, more[0] if more else NO_PLACE

    def emit(self, i: int, op: Op) -> None:
        """The operation that gives the result of node `i`."""
        op.y = self.value[i] = self.new(prod(self.graph.nodes[i].shape), op.rows)
        self.ops.append(op)

    def map(self, i: int, kind: OpKind, *n: int, f: tuple[float, ...] = ()) -> None:
        """Node `i` as an operation value by value, whose result may lie where an operand did."""
        node = self.graph.nodes[i]
        x, x2 = self.inputs(node)
        n = (prod(node.shape), *n)
        self.emit(i, Op(kind, node.rows, x, x2, n=n, f=f, in_place=(x, x2)))

    def floats(self, name: str) -> int:
        """Address of a tensor's values."""
        values = self.tensors[name].values
        assert values is not None
        return address(values)

    def constant(self, values: NDArray[np.float64]) -> int:
        """Address of these as float32, for as long as the program lasts."""
        self.constants.append(np.ascontiguousarray(values, dtype=np.float32))
        return address(self.constants[-1])
