"""The result of lowering: tensors in the form that kernels read, operations, tables, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.cpu.packing import Weights
from llmpy.dtypes import DType
from llmpy.ffi.abi import NO_PLACE, OpKind

__all__ = ["Cost", "Op", "Program", "RopeTable", "Tensor"]


class Cost(NamedTuple):
    """The cost of an operation for tracing: for each call, and for each row of it."""

    op: str
    weight: str = ""
    dtype: str = ""
    bytes: int = 0  # of weights, read by each call
    macs: int = 0  # multiply-accumulates of each row


@dataclass(frozen=True)
class Tensor:
    """A tensor as the operations want it: for products, rows to embed, or plain float32."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    weights: Weights | None = None
    rows: NDArray[np.uint8] | None = None
    values: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class RopeTable:
    """Frequencies of one rotary embedding, and where its cosines and sines go."""

    frequencies: NDArray[np.float64]
    magnitude: float
    growth: tuple[float, int]
    place: int


@dataclass(frozen=True)
class Program:
    """The program for native code: operations, tables, sizes of a row; `kept` must outlive it.

    `whole_sessions`: some attention is not causal, so all tokens of a session must be in a batch.
    """

    ops: NDArray[np.void]
    ropes: list[RopeTable]
    all_bytes: int
    output_bytes: int
    cache_type: int
    n_vocab: int
    n_rows: int  # tokens that can be embedded
    n_positions: int  # positions that can
    whole_sessions: bool
    kept: list[Tensor | NDArray[np.float32]]
    costs: list[Cost]  # of each operation


@dataclass
class Op:
    """One native operation before its values have places in the arena."""

    kind: OpKind
    rows: str
    x: int = NO_PLACE
    x2: int = NO_PLACE
    y: int = NO_PLACE
    n: tuple[int, ...] = ()
    f: tuple[float, ...] = ()
    w: tuple[int, ...] = ()
    also: tuple[int, ...] = ()  # further operands
    in_place: tuple[int, ...] = ()  # values whose place y may take over, if this is their end

    def cost(self, weights: Mapping[int, Tensor]) -> Cost:
        """Return what tracing says of this; `weights`: tensors by the address of their weights."""
        name, tensor = self.kind.name.lower(), weights.get(self.w[0]) if self.w else None
        if tensor is None:
            return Cost(name)
        whole = tensor.dtype.row_bytes(tensor.shape[-1]) * prod(tensor.shape[:-1])
        if self.kind is OpKind.MOE:  # how many experts a step reads depends on its tokens
            n_embd, n_ff, _, n_used = self.n[:4]
            return Cost(name, tensor.name, tensor.dtype.name, macs=3 * n_embd * n_ff * n_used)
        return Cost(name, tensor.name, tensor.dtype.name, whole, prod(tensor.shape))
