"""The native library as the CPU backend sees it: what plan.h and generate.h declare."""

from __future__ import annotations

import ctypes
import functools
import os
from enum import IntEnum
from typing import Any

import numpy as np

from llmpy.errors import BackendError, OutOfMemory
from llmpy.native import library

__all__ = [
    "FUNCTIONS", "LOGITS_PLACE", "MOST_EXPERTS", "NO_PLACE", "OP", "BatchAddresses", "Kind",
    "Memory", "PlanSpec", "RopeSpec", "WeightsSpec", "functions", "level_names", "level_number",
]  # fmt: skip

MOST_EXPERTS = 2048  # that a token can choose from
NO_PLACE = -1
LOGITS_PLACE = -2

I32, I64, U64, Address = ctypes.c_int32, ctypes.c_int64, ctypes.c_uint64, ctypes.c_void_p


class Kind(IntEnum):
    """Kinds of native operations."""

    EMBED = 0
    NORM = 1
    PREPARE = 2
    LINEAR = 3
    ROPE = 4
    CACHED = 5
    ATTEND = 6
    ADD = 7
    MUL = 8
    SCALE = 9
    FUNCTION = 10
    GATE = 11
    MIXTURE = 12
    WANTED = 13
    ROUTE = 14
    LINEAR_HEADS = 15
    MUL_EACH = 16
    ADD_WEIGHT = 17
    MUL_WEIGHT = 18
    TOTAL = 19
    CLAMP = 20
    COPY = 21
    PREVIOUS = 22
    CONV = 23
    SCAN = 24
    DELTA_RULE = 25
    WKV4 = 26
    COLLECT = 27


FUNCTIONS = (
    *("silu", "gelu", "gelu_exact", "relu", "sigmoid", "tanh", "exp", "softplus"),
    "swiglu_clamped",
)
"""Functions by their native number; the last is only that of a gate, in a mixture."""

OP = np.dtype(
    [
        ("kind", "i4"), ("wanted", "i4"), ("x", "i8"), ("x2", "i8"), ("y", "i8"),
        ("also", "i8", (4,)), ("n", "i8", (8,)), ("f", "f8", (2,)), ("w", "u8", (8,)),
    ]
)  # fmt: skip
"""One operation, as `llmpy_op`."""


class RopeSpec(ctypes.Structure):
    """`llmpy_rope`."""

    _fields_ = (
        ("n_pairs", I64),
        ("frequencies", Address),
        ("magnitude", ctypes.c_double),
        ("growth", ctypes.c_double),
        ("growth_every", I64),
        ("place", I64),
    )


class BatchAddresses(ctypes.Structure):
    """`llmpy_batch`."""

    _fields_ = tuple(
        (name, Address)
        for name in (
            "tokens", "positions", "sessions", "wanted",
            "ends", "first_page", "pages", "recurrent", "logits",
        )
    )  # fmt: skip


class PlanSpec(ctypes.Structure):
    """`llmpy_plan_spec`."""

    _fields_ = (
        ("level", I32),
        ("cache_type", I32),
        ("n_ops", I32),
        ("n_ropes", I32),
        ("ops", Address),
        ("ropes", ctypes.POINTER(RopeSpec)),
        ("all_bytes", I64),
        ("wanted_bytes", I64),
    )


class WeightsSpec(ctypes.Structure):
    """`llmpy_weights`."""

    _fields_ = (
        *((name, I64) for name in ("type", "n_out", "n_in", "matrices")),
        *(("rows", Address), ("rows_stride", I64), ("packed", Address), ("packed_stride", I64)),
        *(("ready", I32), ("unused", I32)),
    )


_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llmpy_plan_create": (Address, (ctypes.POINTER(PlanSpec),)),
    "llmpy_plan_destroy": (None, (Address,)),
    "llmpy_plan_bind": (None, (Address, ctypes.POINTER(BatchAddresses))),
    "llmpy_plan_reserve": (I32, (Address, I64, I64, I64, I32)),
    "llmpy_plan_run": (None, (Address, I32, I32, I32)),
    "llmpy_plan_generate": (
        I32,
        (Address, Address, Address, I64, I32, Address, U64, U64, U64, I32),
    ),
    "llmpy_allocate": (Address, (I64,)),
    "llmpy_release": (None, (Address, I64)),
    "llmpy_packed_bytes": (I64, (I32, I64, I64)),
    "llmpy_pack": (None, (I32, Address, I32)),
    "llmpy_touch": (None, (Address, I64)),
    "llmpy_input_kind": (I32, (I32,)),
    "llmpy_input_bytes": (I64, (I32, I64)),
    "llmpy_level_name": (ctypes.c_char_p, (I32,)),
    "llmpy_level_runs_here": (I32, (I32,)),
}


@functools.cache
def functions() -> Any:
    """The library, with the types of all functions of plan.h and generate.h declared."""
    loaded = library()
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def level_names() -> list[str]:
    """The instruction sets that the library has kernels for, worst first."""
    names: list[str] = []
    while name := functions().llmpy_level_name(len(names)):
        names.append(name.decode())
    return names


def level_number(name: str | None = None) -> int:
    """Number of the named level, or of the best that runs here.

    Without a name, the environment variable LLMPY_CPU may give one. Raises BackendError for an
    unknown name, and for instructions that this processor lacks.
    """
    name = name or os.environ.get("LLMPY_CPU") or None
    names = level_names()
    runnable = [i for i in range(len(names)) if functions().llmpy_level_runs_here(i)]
    if name is None:
        return runnable[-1]
    if name not in names:
        raise BackendError(f"LLMPY_CPU: expected one of {', '.join(names)}, found {name!r}")
    if names.index(name) not in runnable:
        usable = ", ".join(names[i] for i in runnable)
        raise BackendError(f"LLMPY_CPU: this processor cannot run {name!r}; it can run {usable}")
    return names.index(name)


class Memory:
    """Zeroed native memory at a 64-byte boundary, given back with the object."""

    __slots__ = ("_release", "address", "size")

    def __init__(self, size: int, purpose: str) -> None:
        self.size = size
        self._release = functions().llmpy_release
        self.address: int = functions().llmpy_allocate(max(1, size)) or 0
        if not self.address:
            raise OutOfMemory(f"{purpose}: {size} bytes of memory are not to be had")

    def __del__(self) -> None:
        address, self.address = getattr(self, "address", 0), 0
        if address:
            self._release(address, max(1, self.size))
