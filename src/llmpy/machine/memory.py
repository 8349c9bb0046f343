"""The memory that this machine can still give, so that a model can be refused with numbers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llmpy.ffi import windows
from llmpy.machine.cgroups import group_folders

__all__ = [
    "address_space_left",
    "available_memory",
    "group_memory_left",
    "huge_pages",
    "readable_bytes",
    "total_memory",
]


def available_memory() -> int | None:
    """Bytes that can be taken without swapping: the least of system and control groups.

    None where the system does not tell.
    """
    if sys.platform == "win32":
        return windows.available_memory()
    limits = [
        n for n in (_meminfo("MemAvailable"), group_memory_left(), _unused_pages()) if n is not None
    ]
    return min(limits, default=None)


def total_memory() -> int | None:
    """Bytes of physical memory; None where the system does not tell."""
    if sys.platform == "win32":
        return windows.total_memory()
    return _meminfo("MemTotal") or _unused_pages()


def huge_pages(root: Path = Path("/")) -> str | None:
    """When Linux uses huge pages: "always", "madvise" or "never"; None where it does not tell."""
    try:
        modes = (root / "sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return None
    return modes.partition("[")[2].partition("]")[0] or None


def address_space_left() -> int | None:
    """Bytes that the process may still map (`ulimit -v`); None where there is no such limit."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return max(0, most - pages * resource.getpagesize())
    except (ImportError, AttributeError, OSError, ValueError):
        return None


def readable_bytes(n: float) -> str:
    """A size for people: 1234567 -> "1.2 MB"."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if n < 1000 or unit == "TB":
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    raise AssertionError


def _meminfo(key: str) -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None


def group_memory_left(root: Path = Path("/")) -> int | None:
    """Bytes that Linux control groups leave, version 2 or 1; None where they do not limit."""
    found = map(_left_in_group, group_folders("memory", root))
    return min((left for left in found if left is not None), default=None)


def _left_in_group(folder: Path) -> int | None:
    """The limit less what is used and is not mere file cache."""
    for limits, used, cache in (
        (("memory.max", "memory.high"), "memory.current", "inactive_file"),
        (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            texts = [(folder / limit).read_text().strip() for limit in limits]
            taken = int((folder / used).read_text())
            stat = (folder / "memory.stat").read_text()
        except (OSError, ValueError):
            continue
        most = min((int(text) for text in texts if text.isdecimal()), default=None)
        if most is None:
            return None
        fields = dict(line.split() for line in stat.splitlines())
        return max(0, most - taken + int(fields.get(cache, 0)))
    return None


def _unused_pages() -> int | None:
    """macOS and others: physical memory as the upper bound."""
    if sys.platform == "linux":
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
