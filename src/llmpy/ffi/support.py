"""Capabilities of the compiled library, asked of itself: instruction sets and types of weights."""

from __future__ import annotations

import functools
import os

from llmpy.dtypes import BY_ID
from llmpy.errors import BackendError
from llmpy.ffi.load import available, library

__all__ = ["level_names", "level_number", "weight_types"]


def level_names() -> list[str]:
    """The instruction sets that the library has kernels for, worst first."""
    names: list[str] = []
    while name := library().llmpy_level_name(len(names)):
        names.append(name.decode())
    return names


def level_number(name: str | None = None) -> int:
    """Number of the named level, or of the best that runs here.

    Without a name, the environment variable LLMPY_CPU may give one. Raises BackendError for an
    unknown name, and for instructions that this processor lacks.
    """
    name = name or os.environ.get("LLMPY_CPU") or None
    names = level_names()
    runnable = [i for i in range(len(names)) if library().llmpy_level_runs_here(i)]
    if name is None:
        return runnable[-1]
    if name not in names:
        raise BackendError(f"LLMPY_CPU: expected one of {', '.join(names)}, found {name!r}")
    if names.index(name) not in runnable:
        usable = ", ".join(names[i] for i in runnable)
        raise BackendError(f"LLMPY_CPU: this processor cannot run {name!r}; it can run {usable}")
    return names.index(name)


@functools.cache
def weight_types() -> frozenset[int]:
    """GGUF's numbers of the types whose weights native products read as they are.

    None of them where there is no compiled library.
    """
    if not available():
        return frozenset()
    packed_bytes = library().llmpy_packed_bytes
    return frozenset(t.id for t in BY_ID.values() if packed_bytes(t.id, 1, t.block) >= 0)
