"""The result of lowering: operations with places, and what native code is given of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.cpu.lower.ops import (
    Attend,
    Constant,
    Linear,
    LinearHeads,
    Moe,
    Op,
    PackedMatrix,
    Pointer,
    Region,
    Rows,
    SumsOf,
    Values,
)
from llmpy.backends.cpu.lower.sums import Sums
from llmpy.backends.cpu.packing import Weights
from llmpy.dtypes import DType
from llmpy.ffi import address
from llmpy.ffi.abi import NO_PLACE, OP
from llmpy.graph import Rope

__all__ = ["Code", "Cost", "Program", "RopeTable", "Shaped", "Tensor"]


class Cost(NamedTuple):
    """The cost of an operation for tracing: for each call, and for each row of it."""

    op: str
    weight: str = ""
    dtype: str = ""
    bytes: int = 0  # of weights, read by each call
    macs: int = 0  # multiply-accumulates of each row


class Shaped(Protocol):
    """The type and the shape of a tensor, which lowering needs."""

    @property
    def dtype(self) -> DType:
        """Return its storage type, which kernels read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return its shape, the last dimension a row."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as the operations want it: for products, rows to embed, or plain float32."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    weights: Weights | None = None
    rows: NDArray[np.uint8] | None = None
    values: NDArray[np.float32] | None = None


class RopeTable(NamedTuple):
    """A rotary embedding, the tensor of its divisors ("": none), and where its table lies."""

    rope: Rope
    divisors: str
    place: int


@dataclass(frozen=True)
class Program:
    """Operations over values, a place in the arena for each value, and sizes of a row.

    `whole_sessions`: some attention is not causal, so all tokens of a session must be in a batch.
    `logits`: the matmul that writes the logits, -1 where something else does.
    """

    ops: Sequence[Op]
    tensors: Mapping[str, Shaped]
    places: Mapping[int, int]
    ropes: Sequence[RopeTable]
    all_bytes: int
    output_bytes: int
    cache_type: int
    logits: int
    n_vocab: int
    n_rows: int  # tokens that can be embedded
    n_positions: int  # positions that can
    whole_sessions: bool

    def costs(self) -> list[Cost]:
        """Return what tracing says of each operation."""
        return [self._cost(op) for op in self.ops]

    def _cost(self, op: Op) -> Cost:
        if isinstance(op, Region):  # its time is that of the matmuls that it begins with
            return Cost(Linear.kind.name.lower() if op.linears else Attend.kind.name.lower())
        name = op.kind.name.lower()
        if not isinstance(op, Linear | LinearHeads | Moe):
            return Cost(name)
        pointer = op.gate if isinstance(op, Moe) else op.weights
        assert isinstance(pointer, PackedMatrix)
        t = self.tensors[pointer.name]
        if isinstance(op, Moe):  # how many experts a step reads depends on its tokens
            return Cost(name, pointer.name, t.dtype.name, macs=3 * op.n_embd * op.n_ff * op.n_used)
        n_bytes = t.dtype.row_bytes(t.shape[-1]) * prod(t.shape[:-1])
        return Cost(name, pointer.name, t.dtype.name, n_bytes, prod(t.shape))


class Code:
    """A program over tensors that are in memory, as native code is given it.

    `sums`: where to sum what matmuls are fed. The addresses are good for as long as this lives.
    """

    def __init__(
        self, program: Program, tensors: Mapping[str, Tensor], sums: Sums | None = None
    ) -> None:
        self.program = program
        self.ops: NDArray[np.void] = np.zeros(len(program.ops), OP)
        self.tensors = tensors
        self._sums = sums
        self._kept: list[NDArray[np.float32]] = []
        places = {**program.places, NO_PLACE: NO_PLACE}
        for op, out in zip(program.ops, self.ops, strict=True):
            op.encode(out, places.__getitem__, self._address)

    def frequencies(self, table: RopeTable) -> NDArray[np.float64]:
        """Return the frequencies of a rotary embedding, divided where the file says so."""
        divisors = self.tensors[table.divisors].values if table.divisors else None
        frequencies = table.rope.frequencies()
        return np.ascontiguousarray(frequencies if divisors is None else frequencies / divisors)

    def _address(self, pointer: Pointer) -> int:
        match pointer:
            case Values(name):
                values = self.tensors[name].values
                assert values is not None
                return address(values)
            case Rows(name):
                rows = self.tensors[name].rows
                assert rows is not None
                return address(rows)
            case PackedMatrix(name):
                weights = self.tensors[name].weights
                assert weights is not None
                return weights.address
            case SumsOf(names, matrices, width):
                assert self._sums is not None
                return self._sums.address(list(names), matrices, width)
            case Constant():
                self._kept.append(pointer.array())
                return address(self._kept[-1])
            case _:
                return pointer or 0
