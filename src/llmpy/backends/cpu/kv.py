"""The memory of sequences in native code: storage types, what lies where in a page, and the pools.

The id of a piece of memory is its address, so that native code follows a page table as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS
from llmpy.backends.cpu.keys import CODECS
from llmpy.backends.windows import Windows, windows_of
from llmpy.ffi import Memory, copy_memory, view
from llmpy.ffi.abi import ALIGNMENT, CacheType
from llmpy.graph import Graph, Node, Recurrence

__all__ = [
    "FORMATS",
    "CpuKvPool",
    "NativePool",
    "PageLayout",
    "caches_of",
    "layout_name",
    "page_layout",
    "state_layout",
]


@dataclass(frozen=True)
class Format:
    """The storage of a key, or a value, of a head: the native type, and the bytes of `d` values.

    `offset_at`: the levels whose keys are stored unsigned, 128 too large. `key_slots` and
    `value_slots`: which token of the page each byte of a head belongs to, see attend_cache.inl.
    """

    type: CacheType
    n_bytes: Callable[[int], int]
    key_slots: Callable[[int], NDArray[np.uint8]]
    value_slots: Callable[[int], NDArray[np.uint8]]
    offset_at: tuple[str, ...] = ()


_TOKENS = np.arange(PAGE_TOKENS, dtype=np.uint8)


def _columns(n: int, size: int) -> NDArray[np.uint8]:
    """`n` times an item of `size` bytes of each token in turn."""
    return np.tile(np.repeat(_TOKENS, size), n)


def _nobodys(size: int) -> NDArray[np.uint8]:
    """`size` bytes for each token that are never written."""
    return np.full(size * PAGE_TOKENS, PAGE_TOKENS, np.uint8)


def _rows(size: int) -> NDArray[np.uint8]:
    """All `size` bytes of one token after those of another."""
    return np.repeat(_TOKENS, size)


def _int14_values(d: int) -> NDArray[np.uint8]:
    """Numbers of two tokens side by side, then a step for each."""
    pairs = np.repeat(_TOKENS.reshape(-1, 1, 2), 2, axis=2)
    return np.concatenate([np.tile(pairs, (1, -(-d // 16) * 16, 1)).ravel(), _rows(4)])


FORMATS = {
    # 14-bit integers with one float32 scale, filled up to 16 values: docs/decisions/010
    "int14": Format(
        CacheType.INT14,
        lambda d: -(-d // 16) * 32 + 4,
        lambda d: np.concatenate([_columns(-(-d // 16) * 8, 4), _rows(4)]),
        _int14_values,
    ),
    "f32": Format(CacheType.F32, lambda d: 4 * d, lambda d: _columns(d, 4), lambda d: _rows(4 * d)),
    # blocks of 32 with a scale in half precision; levels with products of unsigned and
    # signed bytes keep keys as unsigned ones
    "q8_0": Format(
        CacheType.Q8_0,
        lambda d: -(-d // 32) * 34,
        lambda d: np.concatenate([_columns(-(-d // 32) * 8, 4), _columns(-(-d // 32), 2)]),
        lambda d: np.concatenate([_rows(-(-d // 32) * 32), _columns(-(-d // 32), 2)]),
        ("avx_vnni", "avx512", "amx"),
    ),
    # half precision, filled up to 16 values
    "f16": Format(
        CacheType.F16,
        lambda d: -(-d // 16) * 32,
        lambda d: np.concatenate([_columns(d, 2), _nobodys(-d % 16 * 2)]),
        lambda d: _rows(-(-d // 16) * 32),
    ),
    # blocks of 32 of four bits with a scale in half precision
    "q4_0": Format(
        CacheType.Q4_0,
        lambda d: -(-d // 32) * 18,
        lambda d: np.concatenate([_columns(-(-d // 32) * 4, 4), _columns(-(-d // 32), 2)]),
        lambda d: np.concatenate([_rows(-(-d // 32) * 16), _columns(-(-d // 32), 2)]),
    ),
}
"""Storage types of keys and values; the first is what "auto" means."""


class PageLayout(NamedTuple):
    """The offset of each cache in a page, as keys and as values, and the bytes of a page.

    Caches that only windows read lie in pages of their own, of the size `windowed`.
    """

    keys: dict[int, int]
    values: dict[int, int]
    windows: Windows
    n_bytes: int
    windowed: int


def page_layout(graph: Graph, kv_dtype: str) -> PageLayout:
    """Return where the keys and values of a graph lie."""
    keys: dict[int, int] = {}
    values: dict[int, int] = {}
    windows, ends = windows_of(graph), [0, 0]
    for node in graph.nodes:
        if node.op != "attend":
            continue
        for cache, places in zip(caches_of(graph, node), (keys, values), strict=True):
            if cache not in places:
                apart = cache in windows.caches
                places[cache] = ends[apart]
                *heads, width = graph.caches[cache].shape
                size = prod(heads) * FORMATS[kv_dtype].n_bytes(width) * PAGE_TOKENS
                ends[apart] += -(-size // ALIGNMENT) * ALIGNMENT
    return PageLayout(keys, values, windows, *ends)


def caches_of(graph: Graph, node: Node) -> tuple[int, int]:
    """Return the caches that an attention reads: the one of keys and the one of values."""
    k, v = (graph.nodes[i].attrs.index for i in node.inputs[1:])
    return k, v


def state_layout(graph: Graph) -> tuple[list[tuple[int, Recurrence]], int]:
    """The place of each recurrence in the state of a sequence, in bytes; and the size of it all."""
    places, end = [], 0
    for recurrence in graph.recurrences:
        places.append((end, recurrence))
        end += -(-4 * prod(recurrence.shape) // ALIGNMENT) * ALIGNMENT
    return places, end


class NativePool:
    """Native memory by its address; `fills` are what a new piece holds where it is not zero."""

    def __init__(
        self, n_bytes: int, purpose: str, fills: Sequence[tuple[int, Recurrence]] = ()
    ) -> None:
        self.n_bytes = n_bytes
        self._purpose = purpose
        self._fills = [(place, part) for place, part in fills if part.fill]
        self._pieces: dict[int, Memory] = {}

    def allocate(self) -> int:
        """Return the address of new memory; raises OutOfMemory."""
        memory = Memory(self.n_bytes, self._purpose)
        for place, part in self._fills:
            view(memory.address + place, part.shape, np.float32)[...] = part.fill
        self._pieces[memory.address] = memory
        return memory.address

    def free(self, piece: int) -> None:
        """Give memory back."""
        self._pieces.pop(piece, None)

    def copy(self, source: int, target: int) -> None:
        """Copy all bytes."""
        copy_memory(self.address(target), self.address(source), self.n_bytes)

    def read(self, piece: int) -> bytes:
        """Return all bytes."""
        return view(self.address(piece), self.n_bytes, np.uint8).tobytes()

    def write(self, piece: int, data: bytes) -> None:
        """Set all bytes."""
        if len(data) != self.n_bytes:
            raise ValueError(f"{self._purpose}: expected {self.n_bytes} bytes, found {len(data)}")
        view(self.address(piece), self.n_bytes, np.uint8)[:] = np.frombuffer(data, np.uint8)

    def address(self, piece: int) -> int:
        """Return where a piece lies; ValueError for what is not the id of one."""
        if piece not in self._pieces:
            raise ValueError(f"{self._purpose}: {piece} is not the id of one")
        return piece


class PagePool(NativePool):
    """Pages of a graph: of the caches that only windows read, or of the others."""

    def __init__(self, graph: Graph, kv_dtype: str, layout: PageLayout, apart: bool) -> None:
        n_bytes = layout.windowed if apart else layout.n_bytes
        super().__init__(n_bytes, "a page of keys and values")
        self._of = graph, kv_dtype, layout, apart

    def slots(self) -> NDArray[np.uint8]:
        """Return which token each byte belongs to; PAGE_TOKENS between the caches."""
        graph, kv_dtype, layout, apart = self._of
        result = np.full(self.n_bytes, PAGE_TOKENS, np.uint8)
        kinds = FORMATS[kv_dtype].key_slots, FORMATS[kv_dtype].value_slots
        for places, of_head in zip((layout.keys, layout.values), kinds, strict=True):
            for cache, place in places.items():
                if (cache in layout.windows.caches) != apart:
                    continue
                *heads, width = graph.caches[cache].shape
                found = np.tile(of_head(width), prod(heads))
                result[place : place + found.size] = found
        return result


class CpuKvPool:
    """Pages and recurrent states for plans of this graph at one instruction set."""

    def __init__(self, graph: Graph, kv_dtype: str, level: str) -> None:
        places, n_state = state_layout(graph)
        layout = page_layout(graph, kv_dtype)
        self.kv_dtype = kv_dtype
        self.layout = layout_name(graph, kv_dtype, level)
        self.pages = PagePool(graph, kv_dtype, layout, apart=False)
        self.windowed = PagePool(graph, kv_dtype, layout, apart=True)
        self.windowed_caches, self.window = layout.windows
        self.states = NativePool(n_state, "a recurrent state", places)
        self._offset = 0x80 if level in FORMATS[kv_dtype].offset_at else 0
        self._shapes = [cache.shape for cache in graph.caches]
        self._places = layout.keys

    @property
    def has_keys(self) -> bool:
        """Whether keys can be changed."""
        return self.kv_dtype in CODECS

    def keys(self, page: int, cache: int) -> NDArray[np.float32]:
        """Return the keys of a cache in a page: [PAGE_TOKENS, heads, d]."""
        read, d = CODECS[self.kv_dtype].read, self._shapes[cache][-1]
        found = [read(head, d, self._offset) for head in self._heads(page, cache)]
        return np.stack(found, axis=1)

    def set_keys(self, page: int, cache: int, keys: NDArray[np.float32], first: int) -> None:
        """Store keys of the page's tokens from number `first` on."""
        changed = FORMATS[self.kv_dtype].key_slots(keys.shape[-1]) >= first
        for i, head in enumerate(self._heads(page, cache)):
            found = np.zeros_like(head)
            CODECS[self.kv_dtype].write(found, np.ascontiguousarray(keys[:, i]), self._offset)
            head[changed] = found[changed]

    def _heads(self, page: int, cache: int) -> list[NDArray[np.uint8]]:
        """The bytes of each head, in place."""
        *heads, width = self._shapes[cache]
        n = prod(heads)
        size = FORMATS[self.kv_dtype].n_bytes(width) * PAGE_TOKENS
        pool = self.windowed if cache in self.windowed_caches else self.pages
        whole = view(pool.address(page) + self._places[cache], n * size, np.uint8)
        return list(whole.reshape(n, size))


def layout_name(graph: Graph, kv_dtype: str, level: str) -> str:
    """Return the name of the layout: the same name, the same bytes for the same numbers."""
    keys, values, windows, *_ = page_layout(graph, kv_dtype)
    places, _ = state_layout(graph)
    shapes = (
        [(place, graph.caches[cache].shape) for cache, place in keys.items()],
        [(place, graph.caches[cache].shape) for cache, place in values.items()],
        [(place, part.shape) for place, part in places],
        sorted(windows.caches),
    )
    kind = f"{kv_dtype}-offset" if level in FORMATS[kv_dtype].offset_at else kv_dtype
    return f"cpu/{kind}/{zlib.crc32(repr(shapes).encode()):08x}"
