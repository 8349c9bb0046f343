"""Weights on their way from the file's layout to that of the kernels.

Products read a tensor in either layout, so the first text need not wait: what lies in a mapped file
is packed after the first step, or while nothing else is going on, by a thread in the background.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray

from llmpy.ffi import Memory, abi, address, library

__all__ = ["Packing", "Weights"]

AT_ONCE = 64 << 20  # bytes of weights that are packed sooner than anybody could notice
IDLE = 0.25  # seconds after loading without a first step
_GLANCE = 1e-3  # seconds between two looks at what is done


class Weights:
    """A tensor [..., n_out, n_in] that products read, at `address` as native code knows it.

    `rows` are its bytes in the file's layout. Raises OutOfMemory for the memory of the other one.
    """

    def __init__(
        self, name: str, type_id: int, shape: tuple[int, ...], rows: NDArray[np.uint8]
    ) -> None:
        *matrices, n_out, n_in = shape
        n, size = prod(matrices), library().llmpy_packed_bytes(type_id, n_out, n_in)
        stride = -(-size // abi.ALIGNMENT) * abi.ALIGNMENT
        self.rows = rows
        self.packing: Packing | None = None
        self._memory = Memory(stride * n, f"tensor {name!r}")
        places = address(rows), rows.size // max(1, n), self._memory.address, stride
        self._spec = abi.Weights(type_id, n_out, n_in, n, *places)
        self.address = address(self._spec)

    @property
    def ready(self) -> bool:
        """Whether it is packed."""
        return bool(self._spec.ready)

    def pack(self, level: int, n_threads: int) -> None:
        """Pack it, while products may be reading it."""
        library().llmpy_pack(level, self._spec, n_threads)


class Packing:
    """The tensors of one model: `start` once all are there, `go_on` once there is a plan."""

    def __init__(self, level: int, n_threads: int) -> None:
        self._level, self._n_threads = level, n_threads
        self._names: list[str] = []
        self._weights: dict[str, Weights] = {}
        self._behind: dict[str, Weights] = {}  # the rest, packed behind the first step
        self._release: Callable[[str], object] = str
        self._begin, self._stop = threading.Event(), threading.Event()
        self._hurried = False
        self._threads: list[threading.Thread] = []
        # Also at the end of the interpreter, when a thread could not end itself any more.
        self._end = weakref.finalize(self, _end, self._stop, self._begin, self._threads)

    def add(self, name: str, weights: Weights | None) -> None:
        """A tensor; None for one that needs no work."""
        self._names.append(name)
        if weights is not None:
            self._weights[name] = weights
            weights.packing = self

    def start(self, release: Callable[[str], object]) -> None:
        """Begin. `release` is called with the name of each tensor that is packed, maybe much later

        and from another thread.
        """
        self._release = release
        # What was made for this alone is in memory twice until it is packed.
        mapped = {k: w for k, w in self._weights.items() if not w.rows.flags.writeable}
        self._behind = mapped if sum(w.rows.size for w in mapped.values()) > AT_ONCE else {}
        if self._names:
            self._in_background(self._at_once)

    def go_on(self) -> None:
        """Do the rest in the background, after `first_step` or when idle."""
        if self._behind:
            self._in_background(self._rest)

    def first_step(self) -> None:
        """It is done: now there is time for the rest."""
        self._begin.set()

    def finish(self) -> None:
        """Return once all is packed."""
        self._hurried = True
        self._begin.set()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Stop after the tensor at hand, and let go of all of them."""
        self._end()
        self._weights, self._behind, self._release = {}, {}, str

    def _in_background(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, name="llmpy-pack", daemon=True))
        self._threads[-1].start()

    def __iter__(self) -> Iterator[str]:
        """The name of each tensor once products can read it, in order."""
        for name in self._names:
            if name in self._weights and name not in self._behind:
                while not self._weights[name].ready:
                    time.sleep(_GLANCE)
            yield name

    def _at_once(self) -> None:
        for name in self._names:
            if self._stop.is_set():
                return
            if name in self._behind:
                continue
            if name in self._weights:
                self._weights[name].pack(self._level, self._n_threads)
                self._weights[name].rows = np.empty(0, np.uint8)
            self._release(name)
        for weights in self._behind.values():
            if self._stop.is_set():
                return
            library().llmpy_touch(address(weights.rows), weights.rows.size)

    def _rest(self) -> None:
        self._begin.wait(IDLE)
        for name, weights in self._behind.items():
            begin = time.perf_counter()
            if self._stop.is_set():
                return
            weights.pack(self._level, self._n_threads)
            self._release(name)
            if not self._hurried:  # half of the time belongs to the steps that go on meanwhile
                self._stop.wait(time.perf_counter() - begin)


def _end(stop: threading.Event, begin: threading.Event, threads: list[threading.Thread]) -> None:
    """Stop after the tensor at hand."""
    stop.set()
    begin.set()
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join()
