"""A program as text: one line for each operation."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from llmpy.backends.cpu.lower import ops
from llmpy.backends.cpu.lower.program import Program, Shaped
from llmpy.dtypes import BY_ID
from llmpy.ffi.abi import LOGITS_PLACE, NO_PLACE, RegionType

__all__ = ["show_program"]

_REGIONS = {
    RegionType.LINEARS: "matmuls of one input",
    RegionType.GATED: "matmuls and their gate",
    RegionType.HEADS: "head by head, for one token",
}


def show_program(program: Program) -> str:
    """Return the operations in order, with operands, result, attributes and tensors.

    `12 linear v9 + v2 blk.0.attn_output.weight:Q4_0 outputs=64 inputs=64 -> v10@256 [T]`: value 10
    lies at byte 256 times the number of rows of the arena; "output" rows are marked with `R`. The
    operations of a region are indented.
    """
    lines, left = [], 0
    for i, op in enumerate(program.ops):
        indent = "  " if left > 0 else ""
        left = op.operations if isinstance(op, ops.Region) else left - 1
        lines.append(f"{i:4} {indent}{_line(op, program)}")
    sizes = f"{program.all_bytes} bytes a token, {program.output_bytes} an output row"
    return "\n".join([f"arena: {sizes}", *lines])


def _line(op: ops.Op, program: Program) -> str:
    name = op.kind.name.lower()
    if isinstance(op, ops.Region):
        return f"{name}: {_REGIONS[RegionType(op.type)]}"
    words = [name, *(f"v{v}" for v in op.operands())]
    for key, value in op.attributes().items():
        words += _attribute(key, value, program.tensors)
    if op.y != NO_PLACE:
        place = program.places[op.y]
        words.append(f"-> v{op.y}" + ("=logits" if place == LOGITS_PLACE else f"@{place}"))
    return " ".join([*words, "[R]" if op.rows == "output" else "[T]"])


def _attribute(key: str, value: Any, tensors: Mapping[str, Shaped]) -> list[str]:
    """Words for a field; none where it says nothing."""
    match value:
        case ops.PackedMatrix(name) | ops.Rows(name):
            return [f"{name}:{tensors[name].dtype}"]
        case ops.Values(name) | ops.Constant(name, _):
            return [name if key in ("weight", "table") else f"{key}={name}"]
        case ops.SumsOf(names, _, _):
            return [f"{key}={','.join(names)}"]
        case IntEnum():
            return [f"{key}={value.name.lower()}"]
        case None:
            return []
        case float():
            return [f"{key}={value:g}"]
    if key == "type" or key.endswith("_type"):
        return [] if key == "type" else [f"{key}={BY_ID[value]}"]
    return [f"{key}={value}"]
