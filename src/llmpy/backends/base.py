"""The contract of a backend: what it is given, what it gives back.

A backend turns tensors into buffers of its own (`upload`), makes memory for keys and values
(`kv_pool`) and turns a graph over the tensors into a plan (`compile`). A plan runs one batch at a
time over the KV caches of sequences, which hold ids of pages and know nothing of where they lie.
`llmpy.testing.check_backend` tries all of it; docs/backends.md writes a backend step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import DType
from llmpy.graph import Graph

__all__ = [
    "PAGE_TOKENS",
    "Backend",
    "Batch",
    "Counter",
    "Determinism",
    "GeneratingPlan",
    "KeyedPool",
    "KvCache",
    "KvPool",
    "MemoryPool",
    "Plan",
    "Preparation",
    "Requirements",
    "Sampler",
    "SlottedPool",
    "StepResult",
    "StoredTensor",
    "TokenIds",
]

PAGE_TOKENS = 64  # tokens a page holds, for every cache of the graph

Determinism = Literal["bitwise", "per_run"]


class Batch(NamedTuple):
    """One step for any number of sequences; rows of the four arrays belong together.

    `tokens`, `positions` (in its sequence) and `sessions` (index into the caches given to `run`)
    are int32 [T]; `wanted` int32 [W] are the rows, ascending, whose logits are asked for. Within a
    sequence positions ascend one by one, and all before the first are in its pages already; its
    recurrent state has read exactly those.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sessions: NDArray[np.int32]
    wanted: NDArray[np.int32]


class Requirements(NamedTuple):
    """Bytes that a model takes where the backend keeps it, known before anything is allocated.

    `weights`: all tensors that the graph reads; `page`: keys and values of PAGE_TOKENS tokens of
    one sequence; `recurrent`: the recurrent state of one sequence; `available`: what is free there
    now, None where nobody tells.
    """

    weights: int
    page: int
    recurrent: int
    available: int | None


class MemoryPool(Protocol):
    """Pieces of memory of one size, each with an id from 1 to 2**64 - 1 that the pool chooses.

    An id may be an index, or an address: callers only hand it back. One call at a time, but for
    `free`, which the garbage collector may cause at any moment and in any thread.
    """

    n_bytes: int  # of one piece; 0 where the model has no use for it

    def allocate(self) -> int:
        """Return the id of a new piece; raises OutOfMemory and then changes nothing.

        A recurrent state is as before the first token; what a page holds is never read.
        """

    def free(self, piece: int) -> None:
        """Take a piece back."""

    def copy(self, source: int, target: int) -> None:
        """Make `target` hold what `source` holds."""

    def read(self, piece: int) -> bytes:
        """Return what it holds, `n_bytes` bytes in this pool's layout; ValueError for other ids."""

    def write(self, piece: int, data: bytes) -> None:
        """Make it hold what `read` gave, here or in another pool of the same layout.

        Raises ValueError for other ids, or for data of another size.
        """


@runtime_checkable
class SlottedPool(Protocol):
    """Pages that say which bytes belong to which token; without it snapshots end at whole pages."""

    def slots(self) -> NDArray[np.uint8]:
        """Return for each byte of a page which of its tokens it belongs to: uint8 [n_bytes].

        PAGE_TOKENS or more for bytes of none. A byte of bits of several belongs to the last.
        """


@runtime_checkable
class KeyedPool(Protocol):
    """A `KvPool` whose keys can be changed, so that tokens can be moved to other positions."""

    @property
    def has_keys(self) -> bool:
        """Whether that is so for the pool's storage type."""

    def keys(self, page: int, cache: int) -> NDArray[np.float32]:
        """Return the keys of a cache of the graph: [PAGE_TOKENS, heads, d], the caller's own."""

    def set_keys(self, page: int, cache: int, keys: NDArray[np.float32], first: int) -> None:
        """Store keys of the page's tokens from number `first` on, rounded as plans round them.

        `keys` is [PAGE_TOKENS, heads, d]; what it has before `first` is not looked at.
        """


class KvPool(Protocol):
    """Memory of sequences in one layout, for all plans of that layout."""

    @property
    def layout(self) -> str:
        """Its name: bytes of a page mean the same wherever the names are equal.

        That is the storage type, the shapes of the caches, and whatever else the bytes depend on.
        """

    @property
    def pages(self) -> MemoryPool:
        """Keys and values of PAGE_TOKENS tokens each."""

    @property
    def states(self) -> MemoryPool:
        """The recurrent state of a sequence each."""


class KvCache(Protocol):
    """The KV cache of one sequence as a plan sees it; the ids are those of the plan's pool.

    `page_table` has the ids of the pages in order of position, the first `n_pages` of which are
    there; those that a batch writes belong to this sequence alone. `state` is the id of the
    recurrent state, 0 for a graph without recurrences.
    """

    page_table: NDArray[np.uint64]
    n_pages: int
    state: int


class StepResult(Protocol):
    """What a step gave; the device may still be at work. It lasts until the plan's next step."""

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the wanted rows, float32 [W, n_vocab]: the plan's own memory."""


class Plan(Protocol):
    """A graph made ready to run. Not thread-safe: one `run` at a time."""

    n_vocab: int

    def run(self, batch: Batch, caches: Sequence[KvCache]) -> StepResult:
        """Compute the batch; keys, values and recurrent states go to the caches.

        Raises ValueError for a batch that fits neither the model nor the caches.
        """

    def warm_up(self) -> None:
        """Do now what would be done behind the first steps."""

    def close(self) -> None:
        """Free all memory at once, but for the pool's."""


class TokenIds(Protocol):
    """The tokens of a sequence, in host memory with room for more."""

    address: int  # of the first one, int32

    def __len__(self) -> int: ...

    def item(self, i: int) -> int:
        """Return token number `i`, from the end where it is negative."""

    def last(self, n: int) -> tuple[int, int]:
        """Return address and number of the last `n`, or of all if there are fewer; -1: all."""


class Sampler(Protocol):
    """A chain of built-in steps (`llmpy.sampling.NativeChain`)."""

    steps: tuple[Any, ...]
    n_vocab: int
    n_history: int
    address: int  # of an `llmpy_chain`, see native/include/llmpy.h

    def explain(self, status: int, logits: int, history: int, n_history: int) -> None:
        """Raise SamplerError for what native code refused."""


class Counter(Protocol):
    """Random numbers: number `counter` is a function of it and of `seed`."""

    seed: int
    counter: int


@runtime_checkable
class GeneratingPlan(Protocol):
    """A plan that also computes several tokens of one sequence without coming back for each."""

    def generate(
        self, cache: KvCache, tokens: TokenIds, most: int, sampler: Sampler, rng: Counter
    ) -> int:
        """As `run` for the last token of one sequence; append what the sampler draws, and so on.

        There is room for `most` more in `tokens` and in the cache. Returns how many were appended,
        at least one: so many numbers of `rng` are used. Raises SamplerError for logits that cannot
        be sampled.
        """


class Preparation(Protocol):
    """Work on uploaded tensors."""

    def __iter__(self) -> Iterator[str]:
        """The names of the tensors, each once plans can read it."""

    def close(self) -> None:
        """End what still goes on."""


class StoredTensor(Protocol):
    """What is known of a tensor before its bytes are read."""

    @property
    def dtype(self) -> DType:
        """How it is stored."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions; the last one is a row."""

    @property
    def size(self) -> int:
        """Bytes in the file."""


class Backend(Protocol):
    """Where a model runs. Any object of this shape can be given to `load(backend=...)`.

    `determinism`: "bitwise" if a token's logits have the same bits however its sequence is cut into
    steps and whatever is computed beside it, else "per_run": the same calls give the same bits.
    """

    name: str
    determinism: Determinism

    @property
    def kv_dtypes(self) -> tuple[str, ...]:
        """Names of the storage types of keys and values; "auto" means the first, "f32" is there."""

    def requirements(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str
    ) -> Requirements:
        """Return what the graph over these tensors takes in memory."""

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

    def kv_pool(self, graph: Graph, kv_dtype: str) -> KvPool:
        """Make an empty pool for plans of this graph; `kv_dtype`: one of `kv_dtypes`."""

    def compile(
        self, graph: Graph, buffers: Mapping[str, Any], pool: KvPool, *, n_ctx: int
    ) -> Plan:
        """Make a plan over memory of `pool`; `buffers` has what `upload` gave, by name.

        Raises BackendError for a pool of another layout than the graph's.
        """
