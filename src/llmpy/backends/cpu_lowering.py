"""From a graph to native operations: what is fused, where results lie, what a page holds.

Results are numbered values; the last step gives each a place in the arena of its kind of rows
("all" or "wanted"), shared by values that are never needed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS
from llmpy.backends.cpu_native import LOGITS_PLACE, NO_PLACE, OP, Kind, functions
from llmpy.backends.cpu_places import Places
from llmpy.backends.cpu_program import Op, Program, RopeTable, Tensor
from llmpy.errors import BackendError
from llmpy.graph import OPS, Graph, Node, Rope

__all__ = ["lower"]

_MOST_IN_A_GROUP = 8
_CACHE_TYPES = {"f16": (0, 2), "f32": (1, 4)}  # number in native code, bytes of a value


@dataclass
class _Lowering:
    graph: Graph
    tensors: Mapping[str, Tensor]
    cache_bytes: int
    ops: list[Op] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes a row of each value
    spaces: list[str] = field(default_factory=list)
    value: dict[int, int] = field(default_factory=dict)  # node -> value
    prepared: dict[tuple[int, int], int] = field(default_factory=dict)  # (value, kind) -> value
    ropes: list[tuple[Rope, str, Tensor | None]] = field(default_factory=list)
    done: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.readers: dict[int, list[int]] = {}
        for i, node in enumerate(self.graph.nodes):
            for j in node.inputs if node.op != "heads" else ():
                self.readers.setdefault(self._origin(j), []).append(i)
        self.keys, self.values, self.page_bytes = self._page_layout()

    # What the graph says

    def _origin(self, i: int) -> int:
        """The node whose result this one only shows in another form."""
        while self.graph.nodes[i].op in ("heads", "cached"):
            i = self.graph.nodes[i].inputs[0]
        return i

    def _page_layout(self) -> tuple[dict[int, int], dict[int, int], int]:
        """Where each cache begins in a page as keys and as values, and the size of a page."""
        keys: dict[int, int] = {}
        values: dict[int, int] = {}
        end = 0
        for node in self.graph.nodes:
            if node.op != "attend":
                continue
            for cache, places in zip(self._caches(node), (keys, values), strict=True):
                if cache not in places:
                    places[cache] = end
                    size = prod(self.graph.caches[cache].shape) * PAGE_TOKENS * self.cache_bytes
                    end += -(-size // 64) * 64
        return keys, values, end

    def _caches(self, node: Node) -> tuple[int, int]:
        k, v = (self.graph.nodes[i].attrs["index"] for i in node.inputs[1:])
        return k, v

    def _new(self, width: int, rows: str, size: int | None = None) -> int:
        self.sizes.append(4 * width if size is None else size)
        self.spaces.append(rows)
        return len(self.sizes) - 1

    def of(self, node: int) -> int:
        """The value of a node."""
        return self.value[self._origin(node)]

    # One node after the other

    def run(self) -> None:
        """Emit the operations of all nodes."""
        for i, node in enumerate(self.graph.nodes):
            if node.op not in OPS or not hasattr(self, f"_{node.op}"):
                raise BackendError(f"the cpu backend has no operation {node.op!r}")
            if i not in self.done:
                getattr(self, f"_{node.op}")(i, node)

    def _emit(self, i: int, op: Op, width: int) -> None:
        op.y = self.value[i] = self._new(width, op.rows)
        self.ops.append(op)

    def _embed(self, i: int, node: Node) -> None:
        t = self.tensors[node.weights[0]]
        assert t.rows is not None
        width = t.shape[-1]
        n = (t.dtype.id, width, t.dtype.row_bytes(width))
        self._emit(i, Op(Kind.EMBED, node.rows, n=n, w=(t.rows.ctypes.data,)), width)

    def _rms_norm(self, i: int, node: Node) -> None:
        x, width = self.of(node.inputs[0]), prod(node.shape)
        n = (node.shape[-1], width // node.shape[-1])
        w = (self._floats(node.weights[0]),)
        op = Op(Kind.RMS_NORM, node.rows, x, n=n, f=node.attrs["eps"], w=w, in_place=(x,))
        self._emit(i, op, width)

    def _heads(self, i: int, node: Node) -> None:
        """Nothing to do: rows lie as they did."""

    def _rope(self, i: int, node: Node) -> None:
        x, (heads, width), rope = self.of(node.inputs[0]), node.shape, node.attrs["rope"]
        factors = node.weights[0] if node.weights else ""
        key = (rope, factors, self.tensors[factors] if factors else None)
        if key[:2] not in [known[:2] for known in self.ropes]:
            self.ropes.append(key)
        table = [known[:2] for known in self.ropes].index(key[:2])
        n = (heads, width, rope.n_dims // 2, int(rope.neox), table)
        self._emit(i, Op(Kind.ROPE, node.rows, x, n=n, in_place=(x,)), heads * width)

    def _cached(self, _: int, node: Node) -> None:
        if len(node.shape) != 2:
            raise BackendError(f"the cpu backend cannot cache arrays of shape {node.shape}")
        cache = node.attrs["index"]
        places = (self.keys.get(cache, NO_PLACE), self.values.get(cache, NO_PLACE))
        x = self.of(node.inputs[0])
        self.ops.append(Op(Kind.CACHED, node.rows, x, n=(*node.shape, *places)))

    def _attend(self, i: int, node: Node) -> None:
        q, k, v = (self.graph.nodes[j] for j in node.inputs)
        key, value = self._caches(node)
        n = (
            *(q.shape[0], k.shape[0], q.shape[1], v.shape[1]),
            *(self.keys[key], self.values[value], node.attrs["window"]),
        )
        x = self.of(node.inputs[0])
        op = Op(Kind.ATTEND, node.rows, x, n=n, f=node.attrs["scale"])
        self._emit(i, op, prod(node.shape))

    def _binary(self, i: int, node: Node, kind: Kind) -> None:
        a, b = (self.of(j) for j in node.inputs)
        width = prod(node.shape)
        self._emit(i, Op(kind, node.rows, a, b, n=(width,), in_place=(a, b)), width)

    def _add(self, i: int, node: Node) -> None:
        for product, other in (node.inputs[::-1], node.inputs):
            if self._is_added(self._origin(product)):
                self._products([(i, self.graph.nodes[self._origin(product)])], self.of(other))
                return
        self._binary(i, node, Kind.ADD)

    def _mul(self, i: int, node: Node) -> None:
        for gate, other in (node.inputs, node.inputs[::-1]):
            if self._is_gate(self._origin(gate)):
                silu = self.graph.nodes[self._origin(gate)]
                a, b, width = self.of(silu.inputs[0]), self.of(other), prod(node.shape)
                op = Op(Kind.SILU_MUL, node.rows, a, b, n=(width,), in_place=(a, b))
                self._emit(i, op, width)
                return
        self._binary(i, node, Kind.MUL)

    def _scale(self, i: int, node: Node) -> None:
        x, width = self.of(node.inputs[0]), prod(node.shape)
        factor = node.attrs["factor"]
        op = Op(Kind.SCALE, node.rows, x, n=(width,), f=factor, in_place=(x,))
        self._emit(i, op, width)

    def _silu(self, i: int, node: Node) -> None:
        if not self._is_gate(i):
            x, width = self.of(node.inputs[0]), prod(node.shape)
            self._emit(i, Op(Kind.SILU, node.rows, x, n=(width,), in_place=(x,)), width)

    def _wanted(self, i: int, node: Node) -> None:
        width = prod(node.shape)
        self._emit(i, Op(Kind.WANTED, "wanted", self.of(node.inputs[0]), n=(width,)), width)

    def _mixture(self, i: int, node: Node) -> None:
        x, scores = (self.of(j) for j in node.inputs)
        gate, up, down = (self.tensors[name] for name in node.weights)
        n_expert, n_ff, n_embd = gate.shape
        n = (n_embd, n_ff, n_expert, node.attrs["n_used"], *(t.dtype.id for t in (gate, up, down)))
        w = tuple(_packed(t) for t in (gate, up, down))
        self._emit(i, Op(Kind.MIXTURE, node.rows, x, scores, n=n, w=w), n_embd)

    # Products: those of one input together, a sum with what they are added to

    def _is_added(self, i: int) -> bool:
        """Whether a product is only there to be added to something else."""
        readers = self.readers.get(i, [])
        node = self.graph.nodes[i]
        if node.op != "linear" or len(readers) != 1 or i == self.graph.output:
            return False
        add = self.graph.nodes[readers[0]]
        a, b = (self._origin(j) for j in add.inputs) if add.op == "add" else (i, i)
        if a == b or add.rows != node.rows:
            return False
        return not (i == a and self._is_added(b))  # of two products, the second joins the first

    def _is_gate(self, i: int) -> bool:
        """Whether a silu is only there to be multiplied with something else."""
        readers = self.readers.get(i, [])
        node = self.graph.nodes[i]
        if node.op != "silu" or len(readers) != 1 or i == self.graph.output:
            return False
        mul = self.graph.nodes[readers[0]]
        a, b = (self._origin(j) for j in mul.inputs) if mul.op == "mul" else (i, i)
        return a != b and mul.rows == node.rows and not (i == b and self._is_gate(a))

    def _linear(self, i: int, node: Node) -> None:
        if self._is_added(i):
            return  # when its sum is due
        x, kind = self._origin(node.inputs[0]), self._input_kind(node)
        group = [i]
        for j in self.readers[x]:
            other = self.graph.nodes[j]
            if j <= i or other.op != "linear" or other.rows != node.rows or self._is_added(j):
                continue
            if self._input_kind(other) == kind and len(group) < _MOST_IN_A_GROUP:
                group.append(j)
        self._products([(j, self.graph.nodes[j]) for j in group])

    def _input_kind(self, node: Node) -> int:
        kind: int = functions().llmpy_input_kind(self.tensors[node.weights[0]].dtype.id)
        return kind

    def _products(self, group: list[tuple[int, Node]], added: int = NO_PLACE) -> None:
        """Products of one input, whose results are those of the nodes given with them."""
        node = group[0][1]
        x = self._prepare(self.of(node.inputs[0]), self._input_kind(node), node)
        for n_left, (i, product) in zip(range(len(group), 0, -1), group, strict=True):
            t = self.tensors[product.weights[0]]
            n_out, n_in = t.shape
            bias = self._floats(product.weights[1]) if len(product.weights) > 1 else 0
            op = Op(Kind.LINEAR, product.rows, x, added, w=(_packed(t), bias))
            op.n = (t.dtype.id, n_out, n_in, n_left)
            op.in_place = () if added == NO_PLACE else (added,)
            self._emit(i, op, n_out)
            self.done.add(i)

    def _prepare(self, x: int, kind: int, node: Node) -> int:
        if (x, kind) not in self.prepared:
            n_in = self.tensors[node.weights[0]].shape[-1]
            size = functions().llmpy_input_bytes(kind, n_in)
            y = self.prepared[x, kind] = self._new(0, node.rows, size)
            self.ops.append(Op(Kind.PREPARE, node.rows, x, y=y, n=(kind, n_in)))
        return self.prepared[x, kind]

    def _floats(self, name: str) -> int:
        values = self.tensors[name].values
        assert values is not None
        address: int = values.ctypes.data
        return address


def _packed(tensor: Tensor) -> int:
    assert tensor.packed is not None
    return tensor.packed.address


def lower(graph: Graph, tensors: Mapping[str, Tensor], kv_dtype: str) -> Program:
    """Make the operations of a graph over tensors; `kv_dtype` is f16 or f32."""
    cache_type, cache_bytes = _CACHE_TYPES[kv_dtype]
    work = _Lowering(graph, tensors, cache_bytes)
    work.run()
    output = work.of(graph.output)
    if work.spaces[output] != "wanted":
        y = work._new(graph.n_vocab, "wanted")
        work.ops.append(Op(Kind.WANTED, "wanted", output, y=y, n=(graph.n_vocab,)))
        output = y
    places = Places(work.sizes, work.spaces)
    tables = [places.keep("all", 4 * rope.n_dims) for rope, _, _ in work.ropes]
    ops = np.zeros(len(work.ops), OP)
    rows = [t.shape[0] for t in tensors.values() if t.rows is not None]
    _place(work.ops, ops, places, output)
    ropes = []
    for (rope, _, factors), place in zip(work.ropes, tables, strict=True):
        frequencies = rope.frequencies()
        if factors is not None and factors.values is not None:
            frequencies = frequencies / factors.values
        ropes.append(RopeTable(np.ascontiguousarray(frequencies), rope.magnitude(), place))
    return Program(
        ops, ropes, places.size("all"), places.size("wanted"), cache_type, work.page_bytes,
        graph.n_vocab, min(rows, default=0), list(tensors.values()),
    )  # fmt: skip


def _place(source: list[Op], ops: NDArray[np.void], places: Places, output: int) -> None:
    """Fill in the native operations, giving places to values in the order of their lives."""
    last = {v: i for i, op in enumerate(source) for v in (op.x, op.x2, op.y) if v != NO_PLACE}
    last[output] = len(source)
    places.fix(output, LOGITS_PLACE)
    for i, op in enumerate(source):
        out = ops[i]
        out["kind"], out["wanted"], out["f"] = op.kind, op.rows == "wanted", op.f
        out["n"][: len(op.n)], out["w"][: len(op.w)] = op.n, op.w
        out["x"], out["x2"] = places.of(op.x), places.of(op.x2)
        ending = [v for v in {op.x, op.x2} if v != NO_PLACE and last[v] == i]
        taken = next((v for v in op.in_place if v in ending and places.can_take(v, op.y)), None)
        if op.y != NO_PLACE and taken is not None:
            places.take(taken, op.y)
            ending.remove(taken)
        elif op.y != NO_PLACE:
            places.begin(op.y)
        out["y"] = places.of(op.y)
        # All operations of a group read their input at once: it ends with the last of them.
        for value in ending:
            places.end(value)
        if op.y != NO_PLACE and last[op.y] == i:
            places.end(op.y)
