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
    "ContinuingPlan",
    "Counter",
    "Describing",
    "Determinism",
    "DrawnResult",
    "GeneratingPlan",
    "KeyedPool",
    "KvCache",
    "KvPool",
    "MemoryPool",
    "Plan",
    "Preparation",
    "Requirements",
    "Sampler",
    "Sampling",
    "SlottedPool",
    "SparseResult",
    "StepResult",
    "StoredTensor",
    "TokenIds",
    "WindowedPool",
    "window_pages",
]

PAGE_TOKENS = 64  # tokens a page holds, for every cache of the graph
NO_LIMIT = 1 << 48  # pages

Determinism = Literal["bitwise", "per_run"]


class Batch(NamedTuple):
    """The input of one step, for any number of sequences.

    `tokens`, `positions` (in its sequence) and `sessions` (index into the caches given to `run`)
    are int32 [T]; `output_rows` int32 [R] are the rows, ascending, whose logits are
    requested. Within a sequence positions are consecutive, and all before the first are in its
    pages already; its recurrent state is the one after exactly those.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sessions: NDArray[np.int32]
    output_rows: NDArray[np.int32]


class Requirements(NamedTuple):
    """The memory in bytes that a model needs on the backend, known before allocation.

    `weights`: all tensors that the graph reads; `page`: keys and values of PAGE_TOKENS tokens of
    one sequence; `recurrent`: the recurrent state of one sequence; `available`: free memory there
    now, None if it is not known. Of a `WindowedPool`, `page` is what stays; `windowed` is the
    window's part of a page, and `window` its tokens.
    """

    weights: int
    page: int
    recurrent: int
    available: int | None
    windowed: int = 0
    window: int = 0

    def cache_bytes(self, n_ctx: int) -> int:
        """Return the bytes of keys and values of a sequence of `n_ctx` tokens between two steps."""
        n_pages = -(-n_ctx // PAGE_TOKENS)
        n_windowed = min(n_pages, window_pages(self.window))
        return n_pages * self.page + n_windowed * self.windowed

    def most_tokens(self, n_bytes: int) -> int:
        """Return the largest `n_ctx`, of whole pages, whose `cache_bytes` are at most `n_bytes`."""
        n_windowed = window_pages(self.window)
        rest = n_bytes - n_windowed * self.windowed
        if rest < n_windowed * self.page:
            return max(0, n_bytes // max(1, self.page + self.windowed)) * PAGE_TOKENS
        return (rest // self.page if self.page else NO_LIMIT) * PAGE_TOKENS


def window_pages(window: int) -> int:
    """Return how many pages a sequence holds at most for a window, and to go back by one page."""
    return -(-(window + PAGE_TOKENS) // PAGE_TOKENS) + 1 if window else 0


class MemoryPool(Protocol):
    """An allocator of blocks of one size, each with an id from 1 to 2**64 - 1.

    The pool chooses the ids: they may be indices or addresses, and callers only pass them back.
    Calls are made one at a time, except `free`, which the garbage collector may call at any moment
    and in any thread.
    """

    n_bytes: int  # of one piece; 0 where the model has no use for it

    def allocate(self) -> int:
        """Allocate a block and return its id; raises OutOfMemory and then changes nothing.

        A recurrent state has its initial value; the content of a new page is never read.
        """

    def free(self, piece: int) -> None:
        """Free a block."""

    def copy(self, source: int, target: int) -> None:
        """Copy the content of `source` to `target`."""

    def read(self, piece: int) -> bytes:
        """Return the content, `n_bytes` bytes in this pool's layout; ValueError for unknown ids."""

    def write(self, piece: int, data: bytes) -> None:
        """Write bytes that `read` returned, of this pool or of another one of the same layout.

        Raises ValueError for other ids, or for data of another size.
        """


@runtime_checkable
class SlottedPool(Protocol):
    """A pool that knows which bytes of a page belong to which token.

    Without it snapshots end at whole pages.
    """

    def slots(self) -> NDArray[np.uint8]:
        """Return for each byte of a page which of its tokens it belongs to: uint8 [n_bytes].

        The value is PAGE_TOKENS or more for bytes of no token. A byte with bits of several tokens
        belongs to the last.
        """


@runtime_checkable
class KeyedPool(Protocol):
    """A `KvPool` whose keys can be changed, so that tokens can be moved to other positions.

    `page` is the id of the piece that the cache lies in.
    """

    @property
    def has_keys(self) -> bool:
        """Whether that is so for the pool's storage type."""

    def keys(self, page: int, cache: int) -> NDArray[np.float32]:
        """Return the keys of a cache of the graph: [PAGE_TOKENS, heads, d], the caller's own."""

    def set_keys(self, page: int, cache: int, keys: NDArray[np.float32], first: int) -> None:
        """Store keys of the page's tokens from number `first` on, rounded as plans round them.

        `keys` is [PAGE_TOKENS, heads, d]; what it has before `first` is not looked at.
        """


@runtime_checkable
class WindowedPool(Protocol):
    """A `KvPool` that frees what layers with a sliding window read, once no query can see it.

    The keys and values of these layers lie in pieces of `windowed`, those of all others in `pages`;
    a page is one of each, and either may have no bytes. See `KvCache.window_table`.
    """

    @property
    def windowed(self) -> MemoryPool:
        """Pool of the pages of caches that only windows read; `n_bytes` is 0 if there are none."""

    @property
    def window(self) -> int:
        """The tokens that a query sees there, itself among them; 0 if there are no such caches."""

    @property
    def windowed_caches(self) -> frozenset[int]:
        """The indices of these caches of the graph."""


class KvPool(Protocol):
    """The memory of KV caches and recurrent states in one layout, for all plans of that layout."""

    @property
    def layout(self) -> str:
        """Name of the layout: pages of equal names are interchangeable as bytes.

        It contains the storage type, the shapes of the caches, and all else that the bytes depend
        on.
        """

    @property
    def pages(self) -> MemoryPool:
        """Pool of pages, each with the keys and values of PAGE_TOKENS tokens."""

    @property
    def states(self) -> MemoryPool:
        """Pool of recurrent states, one for each sequence."""


class KvCache(Protocol):
    """The KV cache of one sequence as plans use it; the ids are those of the plan's pool.

    `page_table` has the ids of the pages in order of position, of which the first `n_pages` are
    allocated; the pages that a batch writes belong to this sequence alone. `window_table` has those
    of a `WindowedPool`, 0 for the pages that no window can show any more. `state` is the id of the
    recurrent state, 0 for a graph without recurrences.
    """

    page_table: NDArray[np.uint64]
    window_table: NDArray[np.uint64]
    n_pages: int
    state: int


class StepResult(Protocol):
    """The result of a step, valid until the plan's next step; the device may still compute it."""

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the output rows, float32 [W, n_vocab], in the plan's own memory."""


class Sampling(NamedTuple):
    """A sampler that will draw from a row of logits: what it looks at besides.

    `history` and `n_history`: address and number of the latest tokens, int32. `mask`: uint32
    [ceil(n_vocab / 32)], a bit for each token that may come, the lowest first; None: all may.
    `rng`: the random numbers that it draws with; None where it does not draw.
    """

    sampler: Sampler
    history: int
    n_history: int
    mask: NDArray[np.uint32] | None = None
    rng: Counter | None = None


@runtime_checkable
class DrawnResult(Protocol):
    """A `StepResult` that can also draw tokens itself."""

    def drawn(self, samplings: Sequence[Sampling]) -> Sequence[int | None]:
        """Return the token that each sampler draws from `logits`, None where it has to see them.

        `samplings` has a sampler for each output row. If the result has `largest` too, that gives
        only the rows without a token after this.
        """


@runtime_checkable
class SparseResult(Protocol):
    """A `StepResult` that can also give the few logits that samplers need."""

    def largest(self, samplings: Sequence[Sampling]) -> NDArray[np.float32] | None:
        """Return logits that give the same tokens, float32 [W, n_vocab] in the plan's own memory.

        `samplings` has a sampler for each output row. All but the logits that it may need are -inf.
        None where these are not known: then `logits` has all.
        """


class Plan(Protocol):
    """A compiled graph. It is not thread-safe: one `run` at a time."""

    n_vocab: int

    def run(self, batch: Batch, caches: Sequence[KvCache]) -> StepResult:
        """Compute the batch; keys, values and recurrent states are written to the caches.

        Raises ValueError for a batch that fits neither the model nor the caches.
        """

    def warm_up(self) -> None:
        """Run the work now that would run during the first steps."""

    def close(self) -> None:
        """Free all memory at once, except the pool's."""


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
    has_state: bool  # whether the last step remembers what was drawn
    address: int  # of an `llmpy_chain`, see native/include/llmpy.h

    def explain(self, status: int, logits: int, history: int, n_history: int) -> None:
        """Raise SamplerError for what native code refused."""


class Counter(Protocol):
    """Random numbers: number `counter` is a function of it and of `seed`."""

    seed: int
    counter: int

    def ahead(self, n: int) -> Sequence[float]:
        """Return the next `n` numbers, none of which is used up."""


@runtime_checkable
class GeneratingPlan(Protocol):
    """A plan that can also generate several tokens of one sequence in one call."""

    def generate(
        self, cache: KvCache, tokens: TokenIds, most: int, sampler: Sampler, rng: Counter
    ) -> int:
        """Generate tokens from the last token of one sequence, and append them to `tokens`.

        `tokens` and the cache have capacity for `most` more. Returns how many were appended, at
        least one; each uses one number of `rng`. Raises SamplerError for logits that cannot be
        sampled.
        """


@runtime_checkable
class ContinuingPlan(Protocol):
    """A plan of a graph that begins with a node `given`, whose value another plan has computed."""

    def run_given(
        self, batch: Batch, caches: Sequence[KvCache], given: NDArray[np.float32]
    ) -> StepResult:
        """Compute the batch from these values; see `Plan.run`.

        `given` is float32 [n, width]: a row for each token of the batch, or for each output row,
        as the node says.
        """


class Preparation(Protocol):
    """The running preparation of uploaded tensors; it iterates over the names of ready ones."""

    def __iter__(self) -> Iterator[str]:
        """Yield the name of each tensor once plans can read it."""

    def close(self) -> None:
        """Stop the work that still runs."""


class StoredTensor(Protocol):
    """The description of a tensor, known before its bytes are read."""

    @property
    def dtype(self) -> DType:
        """Storage type."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions; the last one is the length of a row."""

    @property
    def size(self) -> int:
        """Size in the file, in bytes."""


@runtime_checkable
class Describing(Protocol):
    """A backend that can say more for people than its name."""

    def described(self, graph: Graph) -> str:
        """Return where a graph is computed, as in "cpu: layers 0 to 5; Radeon: layers 6 to 23"."""


class Backend(Protocol):
    """A device or library that runs models; any such object can be given to `load(backend=...)`.

    `determinism`: "bitwise" if the backend is batch invariant: a token's logits are bitwise
    identical however its sequence is split into steps and whatever else is in the batch. Else
    "per_run": the same calls give bitwise identical results.
    """

    name: str
    determinism: Determinism

    @property
    def kv_dtypes(self) -> tuple[str, ...]:
        """Names of the storage types of keys and values; "auto" means the first, "f32" is there."""

    def requirements(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str
    ) -> Requirements:
        """Return the memory that the graph with these tensors needs."""

    def upload(
        self,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        data: NDArray[np.uint8],
        uses: frozenset[str],
    ) -> Any:
        """Upload a tensor, and return the buffer that plans read.

        `data` has its bytes as in the file, little-endian; they stay readable while `data` is
        referenced. `uses` are the names of the operations that will read it.
        """

    def prepare(self, release: Callable[[str], object] = ...) -> Preparation:
        """Start preparing the uploaded tensors, and yield the name of each one that is ready.

        The work may continue in the background, also during the first steps of the plans. `release`
        is called with the name of each tensor whose bytes in the file will rarely be read again.
        """

    def kv_pool(self, graph: Graph, kv_dtype: str) -> KvPool:
        """Return an empty pool for plans of this graph; `kv_dtype` is one of `kv_dtypes`."""

    def compile(
        self, graph: Graph, buffers: Mapping[str, Any], pool: KvPool, *, n_ctx: int
    ) -> Plan:
        """Compile a plan that uses `pool`; `buffers` has the results of `upload` by name.

        Raises BackendError for a pool of another layout than the graph's.
        """
