"""The contract of a backend: what it is given, what it gives back.

A backend turns tensors into buffers of its own (`upload`) and a graph over them into a plan
(`compile`). A plan runs one batch at a time; sessions own their memory, pages that it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import BY_NAME, DType
from llmpy.ffi import weight_types
from llmpy.graph import Graph

__all__ = [
    "KV_DTYPES",
    "PAGE_TOKENS",
    "Backend",
    "Batch",
    "Page",
    "Plan",
    "Preparation",
    "State",
    "kv_bytes",
    "weight_bytes",
]

PAGE_TOKENS = 64  # tokens a page holds, for every cache of the graph
KV_DTYPES = {"f16": "F16", "f32": "F32", "q8_0": "Q8_0"}  # how keys and values can be stored


def kv_bytes(kv_dtype: str, shape: tuple[int, ...]) -> int:
    """What a token's keys, or values, of `shape` [heads, d] take.

    q8_0 pads each head to blocks of 32, f16 to 16 values, which share a scale of 4 bytes.
    """
    *heads, width = shape
    if kv_dtype == "f16":
        return prod(heads) * (-(-width // 16) * 32 + 4)
    dtype = BY_NAME[KV_DTYPES[kv_dtype]]
    return prod(heads) * dtype.row_bytes(-(-width // dtype.block) * dtype.block)


def weight_bytes(dtype: DType, size: int) -> int:
    """What a tensor of `size` bytes in a file takes in memory: F16 where no product reads it."""
    if dtype.id in weight_types():
        return size
    return size // dtype.size * dtype.block * BY_NAME["F16"].size


class Batch(NamedTuple):
    """One step for any number of sessions; rows of the four arrays belong together.

    `tokens`, `positions` (in its session) and `sessions` (index into the states given to `run`)
    are int32 [T]; `wanted` int32 [W] are the rows, ascending, whose logits are asked for. Within a
    session positions ascend one by one, and all before the first are in its pages already; its
    recurrent memory has read exactly those.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sessions: NDArray[np.int32]
    wanted: NDArray[np.int32]


class Page:
    """Memory for `PAGE_TOKENS` tokens of one session, in the layout of the plan that made it.

    `refs` counts the sessions that hold it; a page held more than once is copied before it is
    written. `address` is where its bytes lie, 0 where a backend has no use for that.
    """

    __slots__ = ("address", "memory", "refs")

    def __init__(self, memory: Any, address: int = 0) -> None:
        self.memory = memory
        self.address = address
        self.refs = 1


class State(Protocol):
    """What a plan needs of a session: its pages in order, and their addresses in one array;

    and, for a graph with recurrences, their memory.
    """

    pages: list[Page]
    addresses: NDArray[np.uint64]
    addresses_at: int  # where that array lies
    recurrent: Page | None


class Plan(Protocol):
    """A graph made ready to run. Not thread-safe: one `run` at a time."""

    n_vocab: int
    page_bytes: int
    recurrent_bytes: int  # 0 for a graph without recurrences

    def new_page(self) -> Page:
        """A page of zeros; raises OutOfMemory."""

    def copy_page(self, page: Page) -> Page:
        """A page of its own with the same contents."""

    def new_recurrent(self) -> Page:
        """Memory for all recurrences of one session, as before its first token."""

    def copy_recurrent(self, page: Page) -> Page:
        """Memory of its own with the same contents."""

    def run(self, batch: Batch, states: Sequence[State]) -> NDArray[np.float32]:
        """Read the batch: keys and values go to the pages, logits [W, n_vocab] come back.

        The array is the plan's own and lasts until the next call.
        """

    def warm_up(self) -> None:
        """Do now what would be done behind the first steps."""

    def close(self) -> None:
        """Free all native memory at once."""


class Preparation(Protocol):
    """Work on uploaded tensors."""

    def __iter__(self) -> Iterator[str]:
        """The names of the tensors, each once plans can read it."""

    def close(self) -> None:
        """End what still goes on."""


class Backend(Protocol):
    """Where a model runs."""

    name: str

    def upload(
        self,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        data: NDArray[np.uint8],
        uses: frozenset[str],
    ) -> Any:
        """Take over a tensor: `data` are its bytes as the file has them, little-endian;

        `uses` are the operations that will read it. The bytes stay readable while `data` is held.
        """

    def prepare(self, release: Callable[[str], object] = ...) -> Preparation:
        """Begin what the uploaded tensors need, and give the name of each that can be read.

        The work may go on behind the caller's back, and behind the first steps of the plans.
        `release` is called with the name of each tensor whose bytes in the file will hardly be
        read again.
        """

    def compile(
        self, graph: Graph, buffers: Mapping[str, Any], *, n_ctx: int, kv_dtype: str
    ) -> Plan:
        """Make a plan; `buffers` has what `upload` gave, by name; `kv_dtype`: one of KV_DTYPES."""
