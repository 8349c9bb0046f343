"""A backend made of others: the first layers of a model on one, the last ones on devices."""

from __future__ import annotations

import contextlib
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import (
    Backend,
    Determinism,
    KvPool,
    Preparation,
    Requirements,
    StoredTensor,
)
from llmpy.backends.split.needs import SLACK, PartNeeds, together, too_little
from llmpy.backends.split.plan import SplitPlan
from llmpy.backends.split.pool import SplitKvPool
from llmpy.dtypes import DType
from llmpy.errors import BackendError, GraphError, OutOfMemory
from llmpy.graph import Graph, Part, cut, layer_starts, layers_text, n_layers

__all__ = ["SplitBackend"]

CONTEXT = 4096  # tokens that layers leave room for on a device if nothing else is asked for


@dataclass
class Uploaded:
    """A tensor, and what it became on each backend: for which operations, and the buffer."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    uses: frozenset[str]
    data: NDArray[np.uint8] | None
    on: dict[int, tuple[frozenset[str], Any]] = field(default_factory=dict)


class SplitBackend:
    """The last layers of a model, and what follows them, on `devices`; the others on `first`.

    `devices` are backends whose plans can go on from given values (`run_given`), and get layers in
    their order. `n_layers`: how many these are, shared out evenly; None: all, or of a device with
    `memory`, bytes of each, as many as fit with a session of `n_ctx` tokens, the last device first.
    What fits is decided when `requirements` are first asked for, with a warning where that is
    nothing, unless it is `quiet`.
    """

    def __init__(
        self, first: Backend, devices: Sequence[Any], *, n_layers: int | None = None,
        memory: Sequence[int] | None = None, n_ctx: int | None = None, quiet: bool = False,
    ) -> None:  # fmt: skip
        self._backends: list[Any] = [first, *devices]
        self._n_layers, self._memory, self._n_ctx = n_layers, memory, n_ctx
        self._quiet = quiet
        self._counts: list[int] | None = None  # layers of each device, once it is decided
        self._readers: dict[str, list[tuple[int, frozenset[str]]]] = {}
        self._release: Callable[[str], object] = str
        self._uploaded: list[str] = []
        self._short: OutOfMemory | None = None  # of the graph that was last asked about
        self.name = " + ".join(backend.name for backend in self._backends)
        levels: set[Determinism] = {backend.determinism for backend in self._backends}
        self.determinism: Determinism = "bitwise" if levels == {"bitwise"} else "per_run"

    @property
    def kv_dtypes(self) -> tuple[str, ...]:
        """The types that all backends have, in the order of the last one."""
        found: list[tuple[str, ...]] = [backend.kv_dtypes for backend in self._backends]
        return tuple(name for name in found[-1] if all(name in names for names in found))

    def described(self, graph: Graph) -> str:
        """Return which layers are where."""
        numbers, starts = self._starts(graph)
        ends = [*starts, n_layers(graph)]
        return "; ".join(
            f"{_name(self._backends[i])}: {layers_text(first, end)}"
            for i, first, end in zip(numbers, [0, *starts], ends, strict=True)
        )

    def requirements(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str
    ) -> Requirements:
        """Return the memory of all parts; what is available is what the tightest of them leaves."""
        if self._counts is None and self._memory is not None and self._n_layers is None:
            self._counts = self._fitting(graph, tensors, kv_dtype)
        self._readers = {}
        for i, part in self._parts(graph):
            for name, uses in part.graph.used.items():
                self._readers.setdefault(name, []).append((i, frozenset(uses)))
        needs = []
        self._short = None
        for i, found in enumerate(self.part_needs(graph, tensors, kv_dtype, 1)):
            free = found.needs.available
            left = None if free is None else max(0, free - found.step - SLACK)
            if self._memory is not None and self._parts(graph)[i][0]:
                short = too_little(found)
                self._short, left = short or self._short, None if short else left
            needs.append(found.needs._replace(available=left))
        return together(needs)

    def part_needs(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str, n_output_rows: int
    ) -> list[PartNeeds]:
        """Return what each backend needs, in the order of the layers."""
        found, parts = [], self._parts(graph)
        starts = [0, *self._starts(graph)[1], n_layers(graph)]
        for k, (i, part) in enumerate(parts):
            backend, last = self._backends[i], k == len(parts) - 1
            needs = backend.requirements(part.graph, tensors, kv_dtype)
            if i and self._memory is not None:
                needs = needs._replace(available=self._memory[i - 1])
            rows = n_output_rows if last else getattr(backend, "max_tokens", n_output_rows)
            step = backend.step_bytes(part.graph, tensors, kv_dtype, rows)
            found.append(PartNeeds(_name(backend), starts[k], starts[k + 1], needs, step))
        return found

    def step_bytes(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str, n_output_rows: int
    ) -> int:
        """Return the bytes of activations and logits of the largest step."""
        parts = self.part_needs(graph, tensors, kv_dtype, n_output_rows)
        return sum(part.step for part in parts)

    def upload(
        self, name: str, dtype: DType, shape: tuple[int, ...], data: NDArray[np.uint8],
        uses: frozenset[str],
    ) -> Uploaded:  # fmt: skip
        """Upload a tensor to the backends whose layers read it, once it is known which do.

        Raises OutOfMemory where layers were asked for that their memory does not hold.
        """
        if self._short is not None:
            raise self._short
        tensor = Uploaded(name, dtype, shape, uses, data)
        self._uploaded.append(name)
        for i, some in self._readers.get(name, ()):
            if some <= uses:
                self._bring(tensor, i, some)
        return tensor

    def prepare(self, release: Callable[[str], object] = str) -> Preparation:
        """Start preparing what was uploaded on all backends."""
        self._release = release
        names, self._uploaded = self._uploaded, []
        return _Preparations([backend.prepare(release) for backend in self._backends], names)

    def kv_pool(self, graph: Graph, kv_dtype: str) -> SplitKvPool:
        """Return an empty pool for plans of this graph."""
        parts = self._parts(graph)
        pools: list[KvPool] = [self._backends[i].kv_pool(part.graph, kv_dtype) for i, part in parts]
        return SplitKvPool(pools, [part for _, part in parts])

    def compile(
        self, graph: Graph, buffers: Mapping[str, Uploaded], pool: KvPool, *, n_ctx: int
    ) -> SplitPlan:
        """Compile a plan for each part."""
        parts = self._parts(graph)
        if not isinstance(pool, SplitKvPool) or len(pool.pools) != len(parts):
            raise BackendError(f"kv_pool: expected one of the {self.name} backend for this graph")
        plans = []
        for (i, part), own in zip(parts, pool.pools, strict=True):
            some = {
                name: self._bring(buffers[name], i, frozenset(uses))
                for name, uses in part.graph.used.items()
                if name in buffers
            }
            for _ in self._backends[i].prepare(self._release):
                pass
            plans.append(self._backends[i].compile(part.graph, some, own, n_ctx=n_ctx))
        for tensor in buffers.values():
            brought = frozenset().union(*(uses for uses, _ in tensor.on.values()))
            if brought >= tensor.uses:
                tensor.data = None  # it is where it is read
        return SplitPlan(graph, plans, [part for _, part in parts], pool, n_ctx)

    def _bring(self, tensor: Uploaded, i: int, uses: frozenset[str]) -> Any:
        """The buffer of a tensor on backend number `i`, uploaded if it is not there."""
        known, buffer = tensor.on.get(i, (frozenset[str](), None))
        if buffer is None or not uses <= known:
            if tensor.data is None:
                raise BackendError(f"tensor {tensor.name!r}: its bytes are not there any more")
            uses |= known
            buffer = self._backends[i].upload(
                tensor.name, tensor.dtype, tensor.shape, tensor.data, uses
            )
            tensor.on[i] = uses, buffer
        return buffer

    def _parts(self, graph: Graph) -> list[tuple[int, Part]]:
        """The backends that have layers, by number, and their parts of a graph."""
        numbers, starts = self._starts(graph)
        try:
            return list(zip(numbers, cut(graph, starts), strict=True))
        except GraphError as error:
            possible = [n_layers(graph) - start for start in layer_starts(graph)]
            raise BackendError(
                f"n_gpu_layers: the model cannot be split like this ({error}); expected 0, "
                f"{_listed([*possible, n_layers(graph)])}"
            ) from None

    def _starts(self, graph: Graph) -> tuple[list[int], list[int]]:
        """The backends that have layers, and the first layers of all of them but the first one."""
        total, n = n_layers(graph), len(self._backends) - 1
        if self._counts is not None:
            return _starts(total, self._counts)
        if self._n_layers is None and self._memory is not None:
            raise BackendError(f"{self.name}: ask for the requirements of the model first")
        some = max(1, total) if self._n_layers is None else min(self._n_layers, max(1, total))
        return _starts(total, [some // n + (i >= n - some % n) for i in range(n)])

    def _fitting(
        self, graph: Graph, tensors: Mapping[str, StoredTensor], kv_dtype: str
    ) -> list[int]:
        """The number of layers that each device holds, the last one first."""
        total, counts = n_layers(graph), [0] * (len(self._backends) - 1)
        possible = [0, *(total - start for start in reversed(layer_starts(graph))), total]
        n_ctx = self._n_ctx or min(graph.n_ctx or CONTEXT, CONTEXT)
        for i in reversed(range(len(counts))):
            behind = sum(counts)

            def too_much(n: int, i: int = i, behind: int = behind) -> bool:
                self._counts = [*counts[:i], n - behind, *counts[i + 1 :]]
                numbers, parts = zip(*self._parts(graph), strict=True)
                at = numbers.index(i + 1)
                *_, needs, step = self.part_needs(graph, tensors, kv_dtype, 1)[at]
                largest = max(tensors[name].size for name in parts[at].graph.used)
                staging: int = self._backends[i + 1].staging_bytes(largest)
                later = needs.cache_bytes(n_ctx) + needs.recurrent + step
                assert self._memory is not None
                return needs.weights + max(staging, later) + SLACK > self._memory[i]

            more = [n for n in possible if n > behind]
            counts[i] = ([behind, *more])[bisect_right(more, False, key=too_much)] - behind
        self._counts = None
        if not sum(counts) and not self._quiet:
            warnings.warn(
                "device_memory: not even the last layer fits on the GPU: the CPU runs this model",
                RuntimeWarning, stacklevel=2,
            )  # fmt: skip
        return counts


class _Preparations:
    """The preparations of several backends; each of `names` is told once."""

    def __init__(self, each: Sequence[Preparation], names: Sequence[str]) -> None:
        self._each, self._names = each, names

    def __iter__(self) -> Iterator[str]:
        known = set[str]()
        each: list[Iterable[str]] = [*self._each, self._names]  # some wait for a plan's part
        for ready in each:
            for name in ready:
                if name not in known:
                    known.add(name)
                    yield name

    def close(self) -> None:
        """Stop all work that still runs."""
        with contextlib.ExitStack() as closing:
            for preparation in self._each:
                closing.callback(preparation.close)


def _name(backend: Any) -> str:
    """The name of a backend, or of its device, for people."""
    name: str = getattr(getattr(backend, "device", None), "name", backend.name)
    return name


def _starts(total: int, counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """The numbers of the backends that have layers of `total`, and where they but one begin."""
    numbers, starts, end = list[int](), list[int](), total
    for i in range(len(counts), 0, -1):
        first = max(0, end - counts[i - 1])
        if first < end or (i == len(counts) and counts[i - 1] and not total):
            numbers.insert(0, i)
            starts.insert(0, first)
        end = first
    if end or not numbers:
        numbers.insert(0, 0)
    else:
        starts.pop(0)
    return numbers, starts


def _listed(numbers: Sequence[int]) -> str:
    """Numbers for people: 1 to 3, 7."""
    found: list[list[int]] = []
    for n in sorted(set(numbers)):
        if found and n == found[-1][-1] + 1:
            found[-1].append(n)
        else:
            found.append([n])
    return ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 1 else f"{r[0]}" for r in found)
