"""From a graph to the steps of a device: which kernels run, on what, and where results lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.gpu.arena import Arena, Place
from llmpy.backends.gpu.device import KERNELS, Buffer, Held, Step
from llmpy.backends.gpu.groups import NO_GROUPS, Group
from llmpy.backends.gpu.header import CHUNK
from llmpy.backends.gpu.pages import GpuKvPool
from llmpy.backends.gpu.tensors import Tensor
from llmpy.errors import BackendError
from llmpy.graph import EMBED, Graph, Node, fuse
from llmpy.graph.rewrite import VIEWS, origin
from llmpy.graph.rope import Rope, alibi_slopes

__all__ = ["FEW", "FUNCTIONS", "GATES", "MAPS", "Lowered", "lower"]

FEW = 4  # rows up to which a batch is one of few
WIDE = 8  # tokens that a workgroup of a matmul computes at once in a large batch
NEAR = 6  # nodes, among which one is looked for that goes with another
NEVER = 0xFFFFFFFF  # in place of a tile
MOST_HEAD = 1024  # values of a key or of a value in one head
FUNCTIONS = ("silu", "gelu", "gelu_exact", "relu", "sigmoid", "tanh", "exp", "softplus")
MAPS = {
    "add": 0, "mul": 1, "mul_last": 2, "add_weight": 3, "mul_weight": 4, "scale": 5, "clamp": 6,
    "swiglu_clamped": 7, **{name: 16 + i for i, name in enumerate(FUNCTIONS)},
}  # fmt: skip
"""The number of each function of values in the kernel `map`."""
GATES = {name: 32 + i for i, name in enumerate(FUNCTIONS)}
"""The same of f(a) * b."""
_NO_PLACE = (*VIEWS, "tokens")  # nodes whose values are those of others, or of the batch
_GATINGS = ("softmax", "sigmoid", "sparsemixer")
_NORMS = ("rms_norm", "layer_norm", "sum")
_ALONE = {"tile1": NEVER, "y1": 0, "n1": 0, "tile2": NEVER, "y2": 0, "n2": 0}
_OF_MAP = {"last": 1, "n_weight": 1, "factor": 0.0, "low": 0.0, "high": 0.0}


@dataclass
class Parts:
    """The chunks of attention of few tokens: how many float32 values, and their buffer."""

    floats: int = 0
    buffer: Buffer = None


@dataclass
class Lowered:
    """Steps for batches of few tokens and of many; places are of rows, and of float32 values.

    `short`: those for few tokens of sequences that are one chunk of attention.
    `ropes`: the rotations whose tables the header has, each with the name of the tensor of its
    factors. `given`: where values lie that the graph goes on from. `floats`: what the arena needs
    for a row of each space.
    """

    few: list[Step] = field(default_factory=list)
    short: list[Step] = field(default_factory=list)
    many: list[Step] = field(default_factory=list)
    ropes: list[tuple[Rope, tuple[str, ...]]] = field(default_factory=list)
    parts: Parts = field(default_factory=Parts)
    output: Place = field(default_factory=lambda: Place("output", 0))
    given: Place | None = None
    floats: Mapping[str, int] = field(default_factory=dict)


def lower(
    graph: Graph,
    tensors: Mapping[str, Tensor],
    pool: GpuKvPool,
    constant: Callable[[NDArray[np.float32]], Held],
    n_ctx: int,
    groups: Mapping[int, Group] = NO_GROUPS,
) -> Lowered:
    """Make the steps of a graph over tensors; `constant` brings numbers to the device.

    `groups`: which matmuls of the fused graph are one step, by the first of them.
    """
    work = _Lowering(fuse(graph), tensors, pool, constant, n_ctx)
    work.groups = groups
    for i, node in enumerate(work.graph.nodes):
        work.node(i, node)
    work.finish()
    return work.result


class _Lowering:
    """Goes through the nodes in order; every value is there until its last reader has run."""

    def __init__(
        self,
        graph: Graph,
        tensors: Mapping[str, Tensor],
        pool: GpuKvPool,
        constant: Callable[[NDArray[np.float32]], Held],
        n_ctx: int,
    ) -> None:
        self.graph, self.tensors, self.pool, self.constant = graph, tensors, pool, constant
        self.n_chunks = -(-n_ctx // CHUNK)
        self.arena, self.result = Arena(), Lowered()
        self.nothing, self.unused = (constant(np.zeros(16, np.float32)) for _ in range(2))
        self.places: dict[int, Place] = {}
        self.groups: Mapping[int, Group] = NO_GROUPS
        self.done: set[int] = set()  # with a node before them
        self.ends: dict[int, list[int]] = {}  # node -> the results that nobody reads after it
        last = {i: i for i in range(len(graph.nodes))}
        for i, node in enumerate(graph.nodes):
            for j in node.inputs[:1] if node.op == "attend" else node.inputs:
                last[origin(graph, j)] = i  # attention reads its caches through their pages
        last[origin(graph, graph.output)] = len(graph.nodes)
        for j, i in last.items():
            if graph.nodes[j].op not in _NO_PLACE:
                self.ends.setdefault(i, []).append(j)

    def node(self, i: int, node: Node) -> None:
        """Emit the steps of a node."""
        emit = _EMIT.get(node.op)
        if emit is None:
            raise BackendError(f"the gpu backend has no operation {node.op!r}")
        if i in self.groups:
            places = [self.place(j) for j in self.groups[i].nodes]
            self.linears(node.rows, self.at(node.inputs[0]), self.groups[i], places)
            self.done.update(self.groups[i].nodes)
        elif i not in self.done:
            if node.op not in _NO_PLACE:
                self.place(i)
            emit(self, i, node)
        for j in self.ends.get(i, ()):
            self.arena.give_back(self.places[j])

    def place(self, i: int) -> Place:
        """Take a place for the value of node `i`."""
        node = self.graph.nodes[i]
        self.places[i] = self.arena.take(node.rows, prod(node.shape))
        return self.places[i]

    def next_like(self, i: int, alike: Callable[[Node], bool]) -> int | None:
        """A node soon after node `i` that can be computed with it; it is done then."""
        nodes = self.graph.nodes
        for j in range(i + 1, min(i + NEAR, len(nodes))):
            node = nodes[j]
            same = node.op == nodes[i].op and node.rows == nodes[i].rows and alike(node)
            if same and j not in self.done and origin(self.graph, node.inputs[0]) < i:
                self.done.add(j)
                return j
        return None

    def finish(self) -> None:
        """Say where the logits lie."""
        graph = self.graph
        at = self.at(graph.output)
        if at.space != "output":
            width = graph.n_vocab
            place = self.arena.take("output", width)
            self.copy("output", at, place, (1, width), x_row=width, y_row=width, gather=1)
            at = place
        self.result.output, self.result.floats = at, self.arena.floats

    def at(self, i: int) -> Place:
        """The place of a value, whatever form it is seen in."""
        return self.places[origin(self.graph, i)]

    def shape(self, i: int) -> tuple[int, ...]:
        """The shape of a value."""
        return self.graph.nodes[i].shape

    def scratch(self, rows: str, size: int) -> Place:
        """A place for the steps of one node; `give_back` it after them."""
        return self.arena.take(rows, size)

    def values(self, name: str | None) -> Held:
        """The buffer of a tensor's float32 values."""
        found = self.tensors[name].values if name is not None else None
        return self.nothing if found is None else found

    def step(self, kernel: str, rows: str, items: int, *buffers: Held, **values: Any) -> None:
        """Emit a step that is the same for few and many tokens."""
        self.add(Step(kernel, rows, items, values, buffers))

    def add(self, few: Step, many: Step | None = None) -> None:
        """Emit a step."""
        self.result.few.append(few)
        self.result.short.append(few)
        self.result.many.append(many or few)

    def copy(self, rows: str, x: Place, y: Place, shape: tuple[int, int], **values: int) -> None:
        """Emit a copy of `shape` values a row."""
        outer, inner = shape
        usual = {
            "repeat": 1, "gather": 0, "x_stride": inner, "x_start": 0, "y_stride": inner,
            "y_start": 0,
        }  # fmt: skip
        self.step("copy", rows, outer * inner, x=x, y=y, inner=inner, **(usual | values))

    def map(self, i: int, node: Node, op: int, b: int | None = None, **values: Any) -> None:
        """Emit a function of values."""
        weight = self.values(node.weights[0] if node.weights else None)
        x = self.at(node.inputs[0])
        self.step(
            "map", node.rows, prod(node.shape), weight, x=x, b=x if b is None else self.at(b),
            y=self.places[i], op=op, **(_OF_MAP | values),
        )  # fmt: skip

    def linear(
        self,
        rows: str,
        x: Place,
        y: Place,
        weights: str,
        bias: str | None = None,
        residual: Place | None = None,
        mode: tuple[int, int, int, Place | int] = (0, 1, 0, 0),
    ) -> None:
        """Emit a matmul; `mode`: its number, items a row, whether they share x, the experts."""
        tensor, (kind, per, shared, chosen) = self.tensors[weights], mode
        for part in tensor.parts:
            values = {
                "x": x, "y": y, "n_in": tensor.shape[-1], "n_out": tensor.shape[-2],
                "words": tensor.words, "base": part.base, "tiles": part.tiles,
                "first_row": part.first_row,
                "mode": kind, "per": per, "same_x": shared, "chosen": chosen,
                "first_matrix": part.first_matrix, "n_matrices": part.n_matrices,
                "n_rows": part.n_rows,
                "has_bias": int(bias is not None), "has_residual": int(residual is not None),
                "residual": 0 if residual is None else residual, **_ALONE,
            }  # fmt: skip
            self.multiply(tensor, rows, values, (part, self.values(bias)))

    def multiply(
        self, tensor: Tensor, rows: str, values: Mapping[str, Any], buffers: tuple[Held, ...]
    ) -> None:
        """Emit a step of the kernel `linear`."""
        few = Step(
            "linear", rows, values["tiles"], values, buffers, (tensor.dtype.name, 1), values["per"]
        )
        many = few._replace(variant=(tensor.dtype.name, WIDE), many=WIDE)
        self.add(few, few if values["mode"] else many)

    def linears(self, rows: str, x: Place, group: Group, places: Sequence[Place]) -> None:
        """Emit matmuls of one input whose matrices lie one behind another."""
        tensors = [self.tensors[name] for name in group.weights]
        parts = [tensor.parts[0] for tensor in tensors]
        ends = [sum(part.tiles for part in parts[: i + 1]) for i in range(len(parts))]
        values = {
            "x": x, "y": places[0], "n_in": tensors[0].shape[1], "n_out": tensors[0].shape[0],
            "words": tensors[0].words, "base": parts[0].base, "tiles": ends[-1], "first_row": 0,
            "mode": 0, "per": 1, "same_x": 0, "chosen": 0, "first_matrix": 0, "n_matrices": 1,
            "n_rows": parts[0].n_rows, "has_bias": int(group.bias is not None), "has_residual": 0,
            "residual": 0, **_ALONE,
        }  # fmt: skip
        for i, (tensor, place) in enumerate(zip(tensors[1:], places[1:], strict=True), 1):
            values |= {f"tile{i}": ends[i - 1], f"y{i}": place, f"n{i}": tensor.shape[0]}
        self.multiply(tensors[0], rows, values, (parts[0], group.bias or self.nothing))

    def rope_table(self, rope: Rope, weights: tuple[str, ...]) -> int:
        """The float32 values a row before a rotation's table in the header."""
        if (rope, weights) not in self.result.ropes:
            self.result.ropes.append((rope, weights))
        before = self.result.ropes[: self.result.ropes.index((rope, weights))]
        return sum(other.n_dims for other, _ in before)


def _view(work: _Lowering, i: int, node: Node) -> None:
    """The same values, seen otherwise, or the batch's."""


def _given(work: _Lowering, i: int, node: Node) -> None:  # noqa: ARG001
    """A value that another device has computed; it is there before the first step."""
    work.result.given = work.places[i]


def _embed(work: _Lowering, i: int, node: Node) -> None:
    tensor, offset, n = work.tensors[node.weights[0]], 0, node.shape[0]
    if node.op == "embed_position":
        offset = node.attrs.offset
    elif node.op == "embed_row":
        offset = node.attrs.row
    for part in tensor.parts:
        step = Step(
            "embed", node.rows, -(-n // 16),
            {"y": work.places[i], "n": n, "words": tensor.words, "base": part.base,
             "mode": EMBED.index(node.op), "offset": offset, "first": part.first_row,
             "n_rows": part.n_rows},
            (part,), (tensor.dtype.name, 1),
        )  # fmt: skip
        work.add(step)


def _norm(work: _Lowering, i: int, node: Node) -> None:
    (source,), weights = node.inputs, [*node.weights, None, None]
    shape = work.shape(source)
    n = [prod(work.tensors[w].shape) if w is not None else 0 for w in weights[:2]]
    work.step(
        "norm", node.rows, prod(shape[:-1]), *(work.values(w) for w in weights[:2]),
        x=work.at(source), y=work.places[i], width=shape[-1],
        eps=0.0 if node.op == "sum" else node.attrs.eps,
        kind=_NORMS.index(node.op), n_weight=n[0], n_bias=n[1], per=prod(shape[:-1]),
    )  # fmt: skip


def _linear(work: _Lowering, i: int, node: Node) -> None:
    *residual, source = node.inputs
    weight, bias = (*node.weights, None)[:2]
    added = work.at(residual[0]) if residual else None
    work.linear(node.rows, work.at(source), work.places[i], str(weight), bias, added)


def _linear_heads(work: _Lowering, i: int, node: Node) -> None:
    mode = (1, node.shape[0], 0, 0)
    source = work.at(node.inputs[0])
    work.linear(node.rows, source, work.places[i], node.weights[0], mode=mode)


def _slice(work: _Lowering, i: int, node: Node) -> None:
    whole = work.shape(node.inputs[0])
    work.copy(
        node.rows, work.at(node.inputs[0]), work.places[i], (prod(node.shape[:-1]), node.shape[-1]),
        x_row=prod(whole), x_stride=whole[-1], x_start=node.attrs.start, y_row=prod(node.shape),
    )  # fmt: skip


def _concat(work: _Lowering, i: int, node: Node) -> None:
    start = 0
    for j in node.inputs:
        shape = work.shape(j)
        work.copy(
            node.rows, work.at(j), work.places[i], (prod(shape[:-1]), shape[-1]),
            x_row=prod(shape), y_row=prod(node.shape), y_stride=node.shape[-1], y_start=start,
        )  # fmt: skip
        start += shape[-1]


def _repeat(work: _Lowering, i: int, node: Node) -> None:
    heads, d = work.shape(node.inputs[0])
    n = node.shape[0]
    work.copy(
        node.rows, work.at(node.inputs[0]), work.places[i], (n, d),
        x_row=heads * d, y_row=n * d, repeat=n // heads,
    )  # fmt: skip


def _output_rows(work: _Lowering, i: int, node: Node) -> None:
    n = prod(node.shape)
    shape, source = (1, n), work.at(node.inputs[0])
    work.copy("output", source, work.places[i], shape, x_row=n, y_row=n, gather=1)


def _rope(work: _Lowering, i: int, node: Node) -> None:
    rope, (heads, d) = node.attrs.rope, node.shape

    def alike(other: Node) -> bool:
        return (other.attrs, other.weights, other.shape[1]) == (node.attrs, node.weights, d)

    j = work.next_like(i, alike)
    second: dict[str, Any] = {"x1": 0, "y1": 0, "heads1": 0}
    if j is not None:
        x = work.at(work.graph.nodes[j].inputs[0])
        second = {"x1": x, "y1": work.place(j), "heads1": work.shape(j)[0]}
    work.step(
        "rope", node.rows, (heads + second["heads1"]) * (d - rope.n_dims // 2),
        x=work.at(node.inputs[0]), y=work.places[i], heads=heads, d=d, n_dims=rope.n_dims,
        neox=int(rope.neox), table=work.rope_table(rope, node.weights), **second,
    )  # fmt: skip


def _cached(work: _Lowering, i: int, node: Node) -> None:
    cache = work.pool.caches[node.attrs.index]

    def alike(other: Node) -> bool:
        return bool(work.pool.caches[other.attrs.index].windowed == cache.windowed)

    j = work.next_like(i, alike)
    second: dict[str, Any] = dict.fromkeys(("items1", "x1", "heads1", "d1", "words1", "stride1"), 0)
    slab: Held = work.unused
    if j is not None:
        other = work.pool.caches[work.graph.nodes[j].attrs.index]
        second = {
            "items1": other.items, "x1": work.at(j), "heads1": other.heads, "d1": other.d,
            "words1": other.words, "stride1": other.stride,
        }  # fmt: skip
        slab = other.slab
    work.step(
        "store", node.rows, cache.items + second["items1"], cache.slab, slab, x=work.at(i),
        heads=cache.heads, d=cache.d, words=cache.words, stride=cache.stride, kind=cache.kind,
        windowed=int(cache.windowed), **second,
    )  # fmt: skip


def _attend(work: _Lowering, i: int, node: Node) -> None:
    a, (heads, d) = node.attrs, work.shape(node.inputs[0])
    keys, values = (work.pool.caches[c] for c in a.caches)
    if max(d, values.d) > MOST_HEAD:
        raise BackendError(
            f"gpu: expected heads of at most {MOST_HEAD} values, found {max(d, values.d)}"
        )
    slopes = work.nothing
    if a.alibi:
        slopes = work.constant(alibi_slopes(heads, a.alibi).astype(np.float32))
    sinks = work.values(node.weights[0] if node.weights else None)
    options: dict[str, Any] = {
        "q": work.at(node.inputs[0]), "y": work.places[i], "heads": heads, "kv": keys.heads, "d": d,
        "dv": values.d, "factor": a.scale, "window": a.window,
        "causal": int(a.causal), "softcap": a.softcap,
        "has_alibi": int(bool(a.alibi)), "has_sinks": len(node.weights), "kind": keys.kind,
        "key_stride": keys.stride, "value_stride": values.stride, "windowed": int(keys.windowed),
    }  # fmt: skip

    def step(kernel: str, rows: str, *buffers: Held) -> Step:
        fields = KERNELS[kernel].fields[2:]
        return Step(kernel, rows, heads, {name: options[name] for name in fields}, buffers)

    chunks = "output_chunks" if node.rows == "output" else "chunks"
    parts = work.result.parts
    work.result.few += [
        step("attend_part", chunks, keys.slab, values.slab, slopes, parts),
        step("attend_merge", node.rows, sinks, parts),
    ]
    whole = step("attend", node.rows, keys.slab, values.slab, slopes, sinks)
    work.result.short.append(whole)
    work.result.many.append(whole)
    parts.floats = max(parts.floats, FEW * heads * work.n_chunks * (values.d + 2))


def _two(work: _Lowering, i: int, node: Node) -> None:
    a, b = node.inputs
    op, last = node.op, 1
    if op == "mul" and work.shape(b) != work.shape(a):
        op, last = "mul_last", node.shape[-1]
    work.map(i, node, MAPS[op], b, last=last)


def _with_tensor(work: _Lowering, i: int, node: Node) -> None:
    work.map(i, node, MAPS[node.op], n_weight=prod(work.tensors[node.weights[0]].shape))


def _gate(work: _Lowering, i: int, node: Node) -> None:
    work.map(i, node, GATES[node.attrs.function], node.inputs[1])


def _one(work: _Lowering, i: int, node: Node) -> None:
    work.map(i, node, MAPS[node.op], **node.attrs.told())


def _route(work: _Lowering, i: int, node: Node) -> None:
    a, (n,) = node.attrs, node.shape
    place = work.scratch(node.rows, 3 * n)
    work.step(
        "route", node.rows, 1, work.values(node.weights[0] if node.weights else None),
        x=work.at(node.inputs[0]), y=work.places[i], n=n, n_used=a.n_used,
        gating=_GATINGS.index(a.gating), normalize=int(a.normalize), factor=a.factor,
        n_group=a.n_group, n_group_used=a.n_group_used, has_bias=len(node.weights),
        scratch=place,
    )  # fmt: skip
    work.arena.give_back(place)


def _moe(work: _Lowering, i: int, node: Node) -> None:
    rows, n_used = node.rows, node.attrs.n_used
    x, router_weights = (work.at(j) for j in node.inputs)
    (n_expert,), (n_embd,) = work.shape(node.inputs[1]), node.shape
    n_ff = work.tensors[node.weights[0]].shape[1]
    biases: Sequence[str | None] = node.weights[3:] or (None, None, None)
    chosen = work.scratch(rows, 2 * n_used)
    g, u = (work.scratch(rows, n_used * n_ff) for _ in range(2))
    work.step("choose", rows, 1, x=router_weights, y=chosen, n=n_expert, n_used=n_used)
    for y, weights, bias in zip((g, u), node.weights, biases, strict=False):
        work.linear(rows, x, y, weights, bias, mode=(2, n_used, 1, chosen))
    activation = node.attrs.activation
    op = MAPS[activation] if activation == "swiglu_clamped" else GATES[activation]
    z = work.scratch(rows, n_used * n_ff)
    work.step("map", rows, n_used * n_ff, work.nothing, x=g, b=u, y=z, op=op, **_OF_MAP)
    work.arena.give_back(g)
    work.arena.give_back(u)
    down = work.scratch(rows, n_used * n_embd)
    work.linear(rows, z, down, node.weights[2], biases[2], mode=(2, n_used, 0, chosen))
    work.step(
        "combine", rows, n_embd, x=down, y=work.places[i], n=n_embd, n_used=n_used, chosen=chosen
    )
    for place in (chosen, z, down):
        work.arena.give_back(place)


def _recurrent(work: _Lowering, i: int, node: Node) -> None:
    x, weights = [work.at(j) for j in node.inputs], [work.values(w) for w in node.weights]
    states = work.pool.state_slabs[node.attrs.state :]
    items, y, shapes = prod(node.shape), work.places[i], [work.shape(j) for j in node.inputs]
    if node.op == "previous":
        work.step("previous", "sessions", items, states[0], x=x[0], y=y, n=items)
    elif node.op == "conv":
        bias, width = [*weights, work.nothing][1], work.tensors[node.weights[0]].shape[1]
        work.step(
            "conv", "sessions", items, weights[0], bias, states[0], x=x[0], y=y, n=items,
            width=width, has_bias=len(weights) - 1,
        )  # fmt: skip
    elif node.op == "scan":
        work.step(
            "scan", "sessions", items, *weights, states[0], x=x[0], dt=x[1], b=x[2], c=x[3], y=y,
            heads=shapes[0][0], d=shapes[0][1], groups=shapes[2][0], n=shapes[2][1],
            n_a=work.tensors[node.weights[0]].shape[1],
        )  # fmt: skip
    elif node.op == "delta_rule":
        names = dict(zip(("q", "decay", "k", "v", "a", "b"), x, strict=True))
        work.step(
            "delta_rule", "sessions", items, states[0], **names, y=y, heads=shapes[0][0],
            dk=shapes[0][1], dv=shapes[3][1], n_decay=shapes[1][1],
        )  # fmt: skip
    else:
        work.step("wkv4", "sessions", items, *weights, *states[:3], k=x[0], v=x[1], y=y, n=items)


_EMIT: dict[str, Callable[[_Lowering, int, Node], None]] = {
    **dict.fromkeys(("tokens", "heads", "flatten"), _view),
    "given": _given,
    **dict.fromkeys(EMBED, _embed),
    **dict.fromkeys(_NORMS, _norm),
    **dict.fromkeys(("linear", "linear_add"), _linear),
    **dict.fromkeys(("add", "mul"), _two),
    **dict.fromkeys(("add_weight", "mul_weight"), _with_tensor),
    **dict.fromkeys(("scale", "clamp", *FUNCTIONS), _one),
    **dict.fromkeys(("previous", "conv", "scan", "delta_rule", "wkv4"), _recurrent),
    "linear_heads": _linear_heads, "slice": _slice, "concat": _concat, "repeat": _repeat,
    "output_rows": _output_rows, "rope": _rope, "cached": _cached, "attend": _attend,
    "gate": _gate, "route": _route, "moe": _moe,
}  # fmt: skip
