"""From a graph to native operations, and where their results lie.

Fusion is decided by llmpy.graph.fuse alone; here each step becomes operations, and native code does
what these say. Results are numbered values; the last step gives each a place in the arena of its
kind of rows ("all" or "output"), shared by values that are never needed at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmpy.backends.batches import table_rows
from llmpy.backends.cpu.kv import FORMATS
from llmpy.backends.cpu.lower import ops
from llmpy.backends.cpu.lower.attention import ATTENTION
from llmpy.backends.cpu.lower.buffers import Places
from llmpy.backends.cpu.lower.elementwise import SIMPLE
from llmpy.backends.cpu.lower.emitted import Emitted
from llmpy.backends.cpu.lower.matmul import MATMULS, input_kind, linears
from llmpy.backends.cpu.lower.program import Program, RopeTable, Shaped
from llmpy.backends.cpu.lower.recurrent import RECURRENT
from llmpy.errors import BackendError
from llmpy.ffi.abi import LOGITS_PLACE, NO_PLACE, RegionType
from llmpy.graph import (
    Attention,
    GatedLinears,
    Graph,
    Linears,
    One,
    Step,
    fuse,
    is_encoder,
    schedule,
)

__all__ = ["lower"]

_LOWERED = {**SIMPLE, **MATMULS, **ATTENTION, **RECURRENT}  # how each operation is, but matmuls


def lower(
    graph: Graph, tensors: Mapping[str, Shaped], kv_dtype: str, sums: bool = False
) -> Program:
    """Make the operations of a graph over tensors; `kv_dtype` is one of kv.FORMATS.

    `sums`: what matmuls are fed is summed.
    """
    fused = fuse(graph)
    work = Emitted(fused, tensors, kv_dtype, sums)
    for step in schedule(fused, lambda a, b: input_kind(work, a) == input_kind(work, b)):
        _emit(work, step)
    output = work.of(fused.output)
    if work.spaces[output] != "output":
        y = work.new(graph.n_vocab, "output")
        work.ops.append(ops.OutputRows(rows="output", x=output, y=y, width=graph.n_vocab))
        output = y
    places = Places(work.sizes, work.spaces)
    tables = [places.keep("all", 4 * rope.n_dims) for rope, _ in work.ropes]
    _place(work.ops, places, output)
    writes = [i for i, op in enumerate(work.ops) if op.y == output]
    logits = writes[0] if isinstance(work.ops[writes[-1]], ops.Linear) else -1
    return Program(
        ops=work.ops,
        tensors=tensors,
        places={v: places.of(v) for v in range(len(work.sizes))},
        ropes=[RopeTable(*rope, at) for rope, at in zip(work.ropes, tables, strict=True)],
        all_bytes=places.size("all"),
        output_bytes=places.size("output"),
        cache_type=FORMATS[kv_dtype].type,
        logits=logits,
        n_vocab=graph.n_vocab,
        n_rows=table_rows(graph, "embed"),
        n_positions=table_rows(graph, "embed_position"),
        whole_sessions=is_encoder(graph),
    )


def _emit(work: Emitted, step: Step) -> None:
    """Emit the operations of a step."""
    match step:
        case One(i) if work.graph.nodes[i].op == "linear_add":
            _region(work, RegionType.LINEARS, [i], [])
        case One(i):
            _emit_node(work, i)
        case Linears(found):
            _region(work, RegionType.LINEARS, found, [])
        case GatedLinears(found, gate):
            _region(work, RegionType.GATED, found, [gate])
        case Attention(found, between, attend):
            _region(work, RegionType.HEADS, found, [*between, attend])


def _emit_node(work: Emitted, i: int) -> None:
    node = work.graph.nodes[i]
    if node.op not in _LOWERED:
        raise BackendError(f"the cpu backend has no operation {node.op!r}")
    _LOWERED[node.op](work, i, node)


def _region(work: Emitted, kind: RegionType, matmuls: Sequence[int], others: Sequence[int]) -> None:
    """Emit matmuls of one input and what is done with their results in the same region."""
    found = linears(work, matmuls) if matmuls else []
    rows = work.graph.nodes[[*matmuls, *others][0]].rows
    region = ops.Region(rows=rows, operations=0, linears=len(found), type=kind)
    work.ops.append(region)
    first = len(work.ops)
    for i, op in zip(matmuls, found, strict=True):
        work.emit(i, op)
    for i in others:
        _emit_node(work, i)
    region.operations = len(work.ops) - first


def _place(source: Sequence[ops.Op], places: Places, output: int) -> None:
    """Give places to values in the order of their lives.

    Threads are at different operations of a region: what one of them reads is there to its end,
    unless it is taken over by the same part of a result.
    """
    last = {v: i for i, op in enumerate(source) for v in (*op.operands(), op.y) if v != NO_PLACE}
    last[output] = len(source)
    places.fix(output, LOGITS_PLACE)
    ending: list[int] = []
    end_of_region = -1
    for i, op in enumerate(source):
        if isinstance(op, ops.Region):
            end_of_region = i + op.operations
        here = [v for v in dict.fromkeys(op.operands()) if last[v] == i]
        taken = next((v for v in op.in_place if v in here and places.can_take(v, op.y)), None)
        if op.y != NO_PLACE and taken is not None:
            places.take(taken, op.y)
            here.remove(taken)
        elif op.y != NO_PLACE:
            places.begin(op.y)
        ending += here
        if op.y != NO_PLACE and last[op.y] == i:
            ending.append(op.y)
        if i >= end_of_region:
            for value in ending:
                places.end(value)
            ending = []
