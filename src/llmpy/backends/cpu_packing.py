"""Weights on their way from the file's layout to that of the kernels, while others do other things.

Jobs are collected, and done in order by one foreign call in a thread of its own, on all processors.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.cpu_native import Memory, functions

__all__ = ["Packing"]

JOB = np.dtype([(name, "i8") for name in ("type", "n_out", "n_in", "rows", "packed")])
_ALIGNMENT = 64  # of each matrix of a tensor
_GLANCE = 1e-3  # seconds between two looks at what is done


class Packing:
    """The jobs of one model. `start` once all are there; `finished` waits for them."""

    def __init__(self, level: int, n_threads: int) -> None:
        self._level, self._n_threads = level, n_threads
        self._jobs: list[tuple[int, ...]] = []
        self._ends: list[tuple[str, int]] = []  # tensor, jobs up to its last
        self._held: list[object] = []  # what the jobs read and write
        self._done = ctypes.c_int64(0)
        self._stop = ctypes.c_int32(0)
        self._thread: threading.Thread | None = None

    def add(
        self, name: str, type_id: int, shape: tuple[int, ...], rows: NDArray[np.uint8]
    ) -> Memory:
        """Memory for a tensor [..., n_out, n_in] whose file bytes are `rows`, filled later.

        `rows` must stay readable until the tensor is `finished`. Raises OutOfMemory.
        """
        *matrices, n_out, n_in = shape
        n, size = prod(matrices), functions().llmpy_packed_bytes(type_id, n_out, n_in)
        stride = -(-size // _ALIGNMENT) * _ALIGNMENT
        memory = Memory(stride * n, f"tensor {name!r}")
        source, step = rows.ctypes.data, rows.size // max(1, n)
        self._jobs += [
            (type_id, n_out, n_in, source + i * step, memory.address + i * stride) for i in range(n)
        ]
        self._ends.append((name, len(self._jobs)))
        self._held += (rows, memory)
        return memory

    def note(self, name: str) -> None:
        """A tensor that needs no work takes its place in the order."""
        self._ends.append((name, len(self._jobs)))

    def start(self) -> None:
        """Begin in a thread of its own."""
        jobs = np.array(self._jobs, JOB)
        arguments = (
            self._level,
            jobs.ctypes.data,
            len(jobs),
            self._n_threads,
            ctypes.addressof(self._done),
            ctypes.addressof(self._stop),
        )

        def run() -> None:
            functions().llmpy_pack(*arguments)

        self._held.append(jobs)
        self._thread = threading.Thread(target=run, name="llmpy-pack", daemon=True)
        self._thread.start()

    def finished(self) -> Iterator[str]:
        """The name of each tensor once it is ready, in order. Leaving early ends the work."""
        if self._thread is None:
            self.start()
        try:
            for name, end in self._ends:
                while self._done.value < end:
                    time.sleep(_GLANCE)
                yield name
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Stop after the job at hand, and let go of what was read."""
        self._stop.value = 1
        if self._thread is not None:
            self._thread.join()
        self._held.clear()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # not made whole
            self.cancel()
