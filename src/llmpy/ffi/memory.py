"""Native memory, and where the memory of Python's objects lies."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.errors import OutOfMemory
from llmpy.ffi.load import library

__all__ = ["Memory", "address", "copy_memory", "view"]


class Memory:
    """Zeroed native memory at a 64-byte boundary, given back with the object."""

    __slots__ = ("_release", "address", "size")

    def __init__(self, size: int, purpose: str) -> None:
        self.size = size
        self._release = library().llmpy_release
        self.address: int = library().llmpy_allocate(max(1, size)) or 0
        if not self.address:
            raise OutOfMemory(f"cannot allocate {size} bytes for {purpose}")

    def __del__(self) -> None:
        address, self.address = getattr(self, "address", 0), 0
        if address:
            self._release(address, max(1, self.size))


def address(memory: Any) -> int:
    """Return the address of an array, or of a structure of `abi`. The caller keeps it alive."""
    try:  # a fifth of the time that `.ctypes.data` takes
        return ctypes.addressof(ctypes.c_char.from_buffer(memory))
    except (TypeError, ValueError):  # empty, read-only, with gaps
        return int(memory.ctypes.data)


def copy_memory(to: int, source: int, size: int) -> None:
    """Copy `size` bytes from one address to another."""
    ctypes.memmove(to, source, size)


def view(place: int, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array of what lies at an address. The caller keeps that memory alive."""
    kind = np.dtype(dtype)
    size = kind.itemsize * (shape if isinstance(shape, int) else math.prod(shape))
    return np.ndarray(shape, kind, memoryview((ctypes.c_uint8 * size).from_address(place)))
