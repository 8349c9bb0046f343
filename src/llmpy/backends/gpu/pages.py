"""The memory of sequences on a device: pages of keys and values, and recurrent states.

Each cache of the graph has a slab of its own, [page][slot of 64][head][value], and each recurrent
state one; a page's id is its place in all slabs of its pool, from 1 on. Slabs grow.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS
from llmpy.backends.gpu.device import Buffer, Device
from llmpy.backends.windows import windows_of
from llmpy.errors import BackendError, OutOfMemory
from llmpy.graph import Graph

__all__ = ["KV_TYPES", "CacheSlab", "GpuKvPool", "Slab", "SlabPool", "decoded", "encoded"]

KV_TYPES = ("f16", "f32", "q8_0")
_KINDS = {"f32": 0, "f16": 1, "q8_0": 2}
BLOCK = 32  # values of q8_0 that share a scale; it is a float32, and they are eight words
LEAST = 4  # pieces that a slab is made for, or grows by


class Slab:
    """Memory for pieces of `size` bytes; `buffer` is replaced as it grows."""

    def __init__(self, size: int, fill: bytes = b"") -> None:
        self.size = size
        self.fill = fill  # what a piece holds at first, where that matters
        self.buffer: Buffer = None


@dataclass
class CacheSlab:
    """The keys or values of one cache: `words` of 32 bits for a token, `stride` for a page.

    `kind`: a word is a float32 (0) or two float16 (1), or blocks of 32 are a scale and integers of
    8 bits (2); a head is whole words or blocks. `windowed`: only layers with a window read it.
    """

    heads: int
    d: int
    kind: int
    windowed: bool
    slab: Slab

    @property
    def words(self) -> int:
        """Words of a token."""
        blocks = -(-self.d // BLOCK) * (1 + BLOCK // 4)
        return self.heads * (self.d, -(-self.d // 2), blocks)[self.kind]

    @property
    def items(self) -> int:
        """Words or blocks of a token: an invocation of the kernel `store` writes one."""
        return self.heads * -(-self.d // BLOCK) if self.kind == 2 else self.words

    @property
    def stride(self) -> int:
        """Words of a page."""
        return self.words * PAGE_TOKENS


class SlabPool:
    """A `MemoryPool` of pieces with a part in each of `slabs`.

    `unit`: the pieces of a sequence that is as long as it can be; slabs grow by half of their size,
    and not beyond the next multiple of it, so that they are as large as was planned.
    """

    def __init__(self, device: Device, slabs: Sequence[Slab], purpose: str, unit: int = 1) -> None:
        self._device, self._slabs, self._purpose = device, slabs, purpose
        self.n_bytes = sum(slab.size for slab in slabs)
        self.version = 0  # changes with the buffers
        self._capacity, self._unit = 0, max(LEAST, unit)
        self._used: set[int] = set()
        self._free: list[int] = []
        self._growing = False

    def allocate(self) -> int:
        """Return the id of a piece."""
        self._growing = True
        try:
            if not self._free:
                self._grow()
            piece = self._free.pop()
            self._used.add(piece)
        finally:
            self._growing = False
        for slab in self._slabs:
            if slab.fill:
                self._device.write(slab.buffer, (piece - 1) * slab.size, slab.fill)
        return piece

    def free(self, piece: int) -> None:
        """Free a piece; with the last one, all slabs."""
        if piece in self._used:
            self._used.discard(piece)
            self._free.append(piece)
            if not self._used and not self._growing:
                self._release()

    def copy(self, source: int, target: int) -> None:
        """Copy on the device."""
        self._check(source)
        self._check(target)
        for slab in self._slabs:
            a, b = ((piece - 1) * slab.size for piece in (source, target))
            self._device.copy(slab.buffer, a, slab.buffer, b, slab.size)

    def read(self, piece: int) -> bytes:
        """Return the parts one after another."""
        self._check(piece)
        return b"".join(self.part(slab, piece) for slab in self._slabs)

    def part(self, slab: Slab, piece: int) -> bytes:
        """Return the part of a piece in a slab."""
        self._check(piece)
        return self._device.read(slab.buffer, (piece - 1) * slab.size, slab.size)

    def write(self, piece: int, data: bytes) -> None:
        """Set all parts."""
        self._check(piece)
        if len(data) != self.n_bytes:
            raise ValueError(f"kv pool: expected {self.n_bytes} bytes, found {len(data)}")
        start = 0
        for slab in self._slabs:
            self.set_part(slab, piece, data[start : start + slab.size])
            start += slab.size

    def set_part(self, slab: Slab, piece: int, data: bytes) -> None:
        """Set the part of a piece in a slab."""
        self._check(piece)
        self._device.write(slab.buffer, (piece - 1) * slab.size, data)

    def _release(self) -> None:
        """Free all slabs."""
        self._free.clear()
        self._capacity = 0
        self.version += 1
        for slab in self._slabs:
            buffer, slab.buffer = slab.buffer, None
            if buffer is not None:
                self._device.free(buffer)

    def _check(self, piece: int) -> None:
        if piece not in self._used:
            raise ValueError(f"kv pool: {piece} is not the id of a piece of memory")

    def _grow(self) -> None:
        """Make room for more pieces; what lies there is copied."""
        largest = max((slab.size for slab in self._slabs), default=0)
        most = self._device.limit // largest if largest else 1 << 24
        whole = (self._capacity // self._unit + 1) * self._unit
        capacity = min(self._capacity + max(LEAST, self._capacity // 2), whole, most)
        if capacity <= self._capacity:
            raise OutOfMemory(
                f"gpu: {self._purpose}: expected at most {most} pieces of {largest} bytes, as the "
                f"device binds at most {self._device.limit} bytes at once"
            )
        self.version += 1
        for slab in self._slabs:  # one after another, so that only one is there twice
            try:
                buffer = self._device.buffer(capacity * slab.size)
            except OutOfMemory as error:
                if not self._used:
                    self._release()
                raise OutOfMemory(
                    f"gpu: cannot allocate memory for {capacity} pieces of {self._purpose}, of "
                    f"{self.n_bytes} bytes each"
                ) from error
            if slab.buffer is not None:
                self._device.copy(slab.buffer, 0, buffer, 0, self._capacity * slab.size)
                self._device.free(slab.buffer)
            slab.buffer = buffer
        self._free.extend(range(capacity, self._capacity, -1))
        self._capacity = capacity


class PagePool(SlabPool):
    """Pages; it knows which byte belongs to which token."""

    def slots(self) -> NDArray[np.uint8]:
        """Return which token each byte of a page belongs to."""
        tokens = np.arange(PAGE_TOKENS, dtype=np.uint8)
        parts = [np.repeat(tokens, slab.size // PAGE_TOKENS) for slab in self._slabs]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


class GpuKvPool:
    """A `WindowedPool` and a `KeyedPool` in the memory of a device."""

    has_keys = True

    def __init__(self, device: Device, graph: Graph, kv_dtype: str) -> None:
        kind = _KINDS[kv_dtype]
        self.kv_dtype, self._graph = kv_dtype, graph
        self.windowed_caches, self.window = windows_of(graph)
        self.caches = [
            CacheSlab(prod(c.shape[:-1]), c.shape[-1], kind, i in self.windowed_caches, Slab(0))
            for i, c in enumerate(graph.caches)
        ]
        for cache in self.caches:
            cache.slab.size = 4 * cache.stride
        self.state_slabs = [
            Slab(4 * prod(part.shape), np.full(part.shape, part.fill, np.float32).tobytes())
            for part in graph.recurrences
        ]
        pages = [[c.slab for c in self.caches if c.windowed == apart] for apart in (False, True)]
        unit = -(-graph.n_ctx // PAGE_TOKENS)
        self.pages = PagePool(device, pages[0], "the KV cache", unit)
        self.windowed = PagePool(device, pages[1], "the KV cache of layers with a window")
        self.states = SlabPool(device, self.state_slabs, "recurrent states")
        self.layout = f"gpu/{kv_dtype}/{_digest(graph)}"

    @property
    def version(self) -> tuple[int, int, int]:
        """A number for each pool that changes with its buffers."""
        return self.pages.version, self.windowed.version, self.states.version

    def keys(self, page: int, cache: int) -> NDArray[np.float32]:
        """Return the keys of a cache in a page: [PAGE_TOKENS, heads, d]."""
        found = self.caches[cache]
        return decoded(found, self._pool(found).part(found.slab, page))

    def set_keys(self, page: int, cache: int, keys: NDArray[np.float32], first: int) -> None:
        """Store keys of the page's tokens from number `first` on."""
        found = self.caches[cache]
        pool = self._pool(found)
        rows = np.frombuffer(pool.part(found.slab, page), np.uint32).copy().reshape(PAGE_TOKENS, -1)
        rows[first:] = encoded(found, keys[first:]).reshape(-1, found.words)
        pool.set_part(found.slab, page, rows.tobytes())

    def check(self, graph: Graph) -> None:
        """Raise BackendError for a graph of another layout."""
        expected = f"gpu/{self.kv_dtype}/{_digest(graph)}"
        if self.layout != expected:
            raise BackendError(f"kv_pool: expected the layout {expected}, found {self.layout}")

    def _pool(self, cache: CacheSlab) -> PagePool:
        return self.windowed if cache.windowed else self.pages


def _digest(graph: Graph) -> str:
    shapes = [cache.shape for cache in graph.caches], [part.shape for part in graph.recurrences]
    apart = sorted(windows_of(graph).caches)
    return f"{zlib.crc32(repr((shapes, apart)).encode()):08x}"


def decoded(cache: CacheSlab, data: bytes) -> NDArray[np.float32]:
    """Return keys or values [tokens, heads, d] from the words of their tokens."""
    if cache.kind < 2:
        rows = np.frombuffer(data, (np.float32, np.float16)[cache.kind])
    else:
        blocks = np.frombuffer(data, np.uint32).reshape(-1, 1 + BLOCK // 4)
        rows = blocks[:, :1].view(np.float32) * np.ascontiguousarray(blocks[:, 1:]).view(np.int8)
    n_tokens = len(data) // (4 * cache.words)
    return rows.reshape(n_tokens, cache.heads, -1)[..., : cache.d].astype(np.float32)


def encoded(cache: CacheSlab, rows: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return the words of keys or values [tokens, heads, d]."""
    width = (1, 2, BLOCK)[cache.kind]
    whole = np.pad(rows, ((0, 0), (0, 0), (0, -cache.d % width)))
    if cache.kind < 2:
        stored = whole.astype((np.float32, np.float16)[cache.kind])
        return np.ascontiguousarray(stored).reshape(-1).view(np.uint32)
    blocks = whole.reshape(-1, BLOCK)
    most = np.abs(blocks).max(axis=1, keepdims=True)
    scale = most * np.float32(1 / 127)
    inverse = np.divide(np.float32(127), most, out=np.zeros_like(most), where=most > 0)
    numbers = np.rint(blocks * inverse).astype(np.int8)
    return np.concatenate([scale.view(np.uint32), numbers.view(np.uint32)], axis=1).reshape(-1)
