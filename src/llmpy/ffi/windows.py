"""Facts about the machine that only Windows itself can tell."""

from __future__ import annotations

import ctypes

__all__ = ["available_memory", "total_memory"]


class _MemoryStatus(ctypes.Structure):
    """`MEMORYSTATUSEX`."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("total", "available", "a", "b", "c", "d", "e")),
    )


def available_memory() -> int | None:
    """Bytes of physical memory that are free; None where the system does not tell."""
    return _memory("available")


def total_memory() -> int | None:
    """Bytes of physical memory; None where the system does not tell."""
    return _memory("total")


def _memory(field: str) -> int | None:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    call = getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx  # noqa: B009
    return int(getattr(status, field)) if call(ctypes.byref(status)) else None
