"""From a graph to native operations, and where their results lie.

Results are numbered values; the last step gives each a place in the arena of its kind of rows
("all" or "output"), shared by values that are never needed at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.batches import table_rows
from llmpy.backends.cpu.kv import FORMATS
from llmpy.backends.cpu.lower.attention import ATTENTION
from llmpy.backends.cpu.lower.buffers import Places
from llmpy.backends.cpu.lower.elementwise import SIMPLE
from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.backends.cpu.lower.matmul import PRODUCTS
from llmpy.backends.cpu.lower.program import Op, Program, RopeTable, Tensor
from llmpy.backends.cpu.lower.recurrent import RECURRENT
from llmpy.backends.cpu.lower.sums import Sums
from llmpy.errors import BackendError
from llmpy.ffi.abi import LOGITS_PLACE, NO_PLACE, OP, OpKind
from llmpy.graph import Graph

__all__ = ["lower"]

_LOWERED = {**SIMPLE, **PRODUCTS, **ATTENTION, **RECURRENT}  # how each operation is


def lower(
    graph: Graph, tensors: Mapping[str, Tensor], kv_dtype: str, sums: Sums | None = None
) -> Program:
    """Make the operations of a graph over tensors; `kv_dtype` is one of kv.FORMATS.

    `sums`: where to sum what products are fed.
    """
    work = Emitted(graph, tensors, kv_dtype, sums=sums)
    for i, node in enumerate(graph.nodes):
        if node.op not in _LOWERED:
            raise BackendError(f"the cpu backend has no operation {node.op!r}")
        if i not in work.done:
            _LOWERED[node.op](work, i, node)
    output = work.of(graph.output)
    if work.spaces[output] != "output":
        y = work.new(graph.n_vocab, "output")
        work.ops.append(Op(OpKind.OUTPUT_ROWS, "output", output, y=y, n=(graph.n_vocab,)))
        output = y
    places = Places(work.sizes, work.spaces)
    tables = [places.keep("all", 4 * rope.n_dims) for rope, _, _ in work.ropes]
    ops = np.zeros(len(work.ops), OP)
    _place(work.ops, ops, places, output)
    ropes = []
    for (rope, _, factors), place in zip(work.ropes, tables, strict=True):
        frequencies = rope.frequencies()
        if factors is not None and factors.values is not None:
            frequencies = frequencies / factors.values
        growth = (rope.growth, rope.growth_every if rope.growth else 0)
        ropes.append(RopeTable(np.ascontiguousarray(frequencies), rope.magnitude(), growth, place))
    by_address = {t.weights.address: t for t in tensors.values() if t.weights is not None}
    return Program(
        ops=ops,
        ropes=ropes,
        all_bytes=places.size("all"),
        output_bytes=places.size("output"),
        cache_type=FORMATS[kv_dtype].type,
        n_vocab=graph.n_vocab,
        n_rows=table_rows(graph, "embed"),
        n_positions=table_rows(graph, "embed_position"),
        whole_sessions=any(not node.attrs.get("causal", True) for node in graph.nodes),
        kept=[*tensors.values(), *work.constants],
        costs=[op.cost(by_address) for op in work.ops],
    )


def _place(source: list[Op], ops: NDArray[np.void], places: Places, output: int) -> None:
    """Fill in the native operations, giving places to values in the order of their lives."""
    last = {
        v: i for i, op in enumerate(source) for v in (op.x, op.x2, *op.also, op.y) if v != NO_PLACE
    }
    last[output] = len(source)
    places.fix(output, LOGITS_PLACE)
    for i, op in enumerate(source):
        out = ops[i]
        out["kind"], out["output_rows"] = op.kind, op.rows == "output"
        for name, values in (("n", op.n), ("f", op.f), ("w", op.w)):
            out[name][: len(values)] = values
        out["x"], out["x2"] = places.of(op.x), places.of(op.x2)
        out["also"][: len(op.also)] = [places.of(v) for v in op.also]
        ending = [v for v in {op.x, op.x2, *op.also} if v != NO_PLACE and last[v] == i]
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
