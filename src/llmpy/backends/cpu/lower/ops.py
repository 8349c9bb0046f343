"""The native operations, each with its fields by name and in the order of llmpy.h.

Fields of the type `Count` go to `n`, `Real` to `f`, and `Pointer` to `w`. Operands are numbers of
values; a `Pointer` says whose memory is meant, so that nothing here depends on addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.ffi.abi import NO_PLACE, OpKind

__all__ = [
    "OPERATIONS", "Attend", "Constant", "Linear", "LinearHeads", "Moe", "Op", "PackedMatrix",
    "Pointer", "Region", "Rows", "SumsOf", "Values",
]  # fmt: skip

Count = int
Real = float


class Values(NamedTuple):
    """The float32 values of a tensor."""

    name: str


class PackedMatrix(NamedTuple):
    """The matrices of a tensor, as matmuls read them."""

    name: str


class Rows(NamedTuple):
    """The rows of a table, as the file has them."""

    name: str


class SumsOf(NamedTuple):
    """Sums of the squared inputs [matrices, width] that these tensors share."""

    names: tuple[str, ...]
    matrices: int
    width: int


class Constant(NamedTuple):
    """Float32 values that no file has."""

    name: str
    values: tuple[float, ...]

    def array(self) -> NDArray[np.float32]:
        """Return them as native code reads them."""
        return np.array(self.values, np.float32)


Pointer = Values | PackedMatrix | Rows | SumsOf | Constant | int | None
_FIELDS = {"Count": "n", "Real": "f", "Pointer": "w"}


@dataclass(eq=False, kw_only=True)
class Op:
    """One operation for `rows` ("all" or "output"): operands and result by number."""

    kind: ClassVar[OpKind]
    rows: str
    x: int = NO_PLACE
    x2: int = NO_PLACE
    y: int = NO_PLACE
    also: tuple[int, ...] = ()  # further operands
    in_place: tuple[int, ...] = ()  # values whose place y may take over, if this is their end

    def operands(self) -> list[int]:
        """Return the values that are read."""
        return [v for v in (self.x, self.x2, *self.also) if v != NO_PLACE]

    def attributes(self) -> dict[str, Any]:
        """Return what the operation is told, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.type in _FIELDS}

    def encode(self, out: Any, place: Callable[[int], int], of: Callable[[Pointer], int]) -> None:
        """Fill in an element of an array of `abi.OP`."""
        out["kind"], out["output_rows"] = self.kind, self.rows == "output"
        out["x"], out["x2"], out["y"] = place(self.x), place(self.x2), place(self.y)
        out["also"][: len(self.also)] = [place(v) for v in self.also]
        at = {"n": 0, "f": 0, "w": 0}
        for f in fields(self):
            array = _FIELDS.get(str(f.type))
            if array is not None:
                value = getattr(self, f.name)
                out[array][at[array]] = of(value) if array == "w" else value
                at[array] += 1


@dataclass(eq=False, kw_only=True)
class Embed(Op):
    type: Count
    width: Count
    row_bytes: Count
    choice: Count
    first: Count
    table: Pointer


@dataclass(eq=False, kw_only=True)
class Norm(Op):
    width: Count
    vectors: Count
    n_weights: Count
    centered: Count
    eps: Real
    weight: Pointer = None
    bias: Pointer = None


@dataclass(eq=False, kw_only=True)
class Prepare(Op):
    input_kind: Count
    inputs: Count
    heads: Count


@dataclass(eq=False, kw_only=True)
class Linear(Op):
    """A matmul: y = x times the transposed weights, plus bias, plus x2."""

    type: Count
    outputs: Count
    inputs: Count
    weights: Pointer
    bias: Pointer = None


@dataclass(eq=False, kw_only=True)
class Rope(Op):
    heads: Count
    width: Count
    pairs: Count
    neox: Count
    table: Count


@dataclass(eq=False, kw_only=True)
class Cached(Op):
    heads: Count
    width: Count
    keys: Count
    values: Count
    windows: Pointer


@dataclass(eq=False, kw_only=True)
class Attend(Op):
    """Attention of n_head queries over the pages of n_kv keys and values."""

    n_head: Count
    n_kv: Count
    d_key: Count
    d_value: Count
    keys: Count
    values: Count
    window: Count
    causal: Count
    scale: Real
    softcap: Real
    windows: Pointer
    slopes: Pointer = None
    sinks: Pointer = None


@dataclass(eq=False, kw_only=True)
class Add(Op):
    width: Count


@dataclass(eq=False, kw_only=True)
class Mul(Op):
    width: Count


@dataclass(eq=False, kw_only=True)
class Scale(Op):
    width: Count
    factor: Real


@dataclass(eq=False, kw_only=True)
class Function(Op):
    width: Count
    function: Count


@dataclass(eq=False, kw_only=True)
class Gate(Op):
    width: Count
    function: Count


@dataclass(eq=False, kw_only=True)
class Moe(Op):
    """The n_used best of n_expert gated feed-forwards, summed by their shares."""

    n_embd: Count
    n_ff: Count
    n_expert: Count
    n_used: Count
    gate_type: Count
    up_type: Count
    down_type: Count
    function: Count
    gate: Pointer
    up: Pointer
    down: Pointer
    gate_bias: Pointer = None
    up_bias: Pointer = None
    down_bias: Pointer = None
    sums: Pointer = None
    sums_down: Pointer = None


@dataclass(eq=False, kw_only=True)
class OutputRows(Op):
    width: Count


@dataclass(eq=False, kw_only=True)
class Route(Op):
    n_expert: Count
    n_used: Count
    gating: Count
    normalize: Count
    groups: Count
    groups_used: Count
    factor: Real
    bias: Pointer = None


@dataclass(eq=False, kw_only=True)
class LinearHeads(Op):
    """A matmul of its own for each head."""

    type: Count
    outputs: Count
    inputs: Count
    heads: Count
    weights: Pointer


@dataclass(eq=False, kw_only=True)
class MulEach(Op):
    width: Count
    vectors: Count


@dataclass(eq=False, kw_only=True)
class AddWeight(Op):
    width: Count
    times: Count
    weight: Pointer


@dataclass(eq=False, kw_only=True)
class MulWeight(Op):
    width: Count
    times: Count
    weight: Pointer


@dataclass(eq=False, kw_only=True)
class Sum(Op):
    width: Count
    vectors: Count


@dataclass(eq=False, kw_only=True)
class Clamp(Op):
    width: Count
    low: Real
    high: Real


@dataclass(eq=False, kw_only=True)
class Copy(Op):
    vectors: Count
    width: Count
    start: Count
    size: Count
    width2: Count
    times: Count


@dataclass(eq=False, kw_only=True)
class Previous(Op):
    width: Count
    memory: Count


@dataclass(eq=False, kw_only=True)
class Conv(Op):
    channels: Count
    width: Count
    memory: Count
    weight: Pointer
    bias: Pointer = None


@dataclass(eq=False, kw_only=True)
class Scan(Op):
    heads: Count
    d: Count
    n: Count
    groups: Count
    width_of_a: Count
    memory: Count
    a: Pointer
    skip: Pointer


@dataclass(eq=False, kw_only=True)
class DeltaRule(Op):
    heads: Count
    d_value: Count
    d_key: Count
    width_of_decay: Count
    memory: Count


@dataclass(eq=False, kw_only=True)
class Wkv4(Op):
    width: Count
    total: Count
    weight: Count
    most: Count
    decay: Pointer
    first: Pointer


@dataclass(eq=False, kw_only=True)
class Collect(Op):
    width: Count
    matrices: Count
    sums: Pointer


@dataclass(eq=False, kw_only=True)
class Region(Op):
    """The next `operations` belong together, the first `linears` of them are matmuls."""

    operations: Count
    linears: Count
    type: Count


OPERATIONS: dict[OpKind, type[Op]] = {}
"""The class of each kind."""

for _class in Op.__subclasses__():
    _words = "".join(f"_{c}" if c.isupper() else c for c in _class.__name__)
    _class.kind = OpKind[_words[1:].upper()]
    OPERATIONS[_class.kind] = _class
