"""The mirror of native/include/llmpy.h: its numbers, enums, structures and signatures.

Same names, without `llmpy_` and in Python's case; same order. tests/ffi compares the two. A pointer
is an `Address`, a plain int for the caller, or POINTER(S) where a structure is given as it is.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import Any

import numpy as np

I32, I64, U64 = ctypes.c_int32, ctypes.c_int64, ctypes.c_uint64
F64, Address = ctypes.c_double, ctypes.c_void_p

ABI_VERSION = 14
MAX_THREADS = 256
ALIGNMENT = 64
QUANTIZE_CHUNK = 65536
OK = 0
NO_MEMORY = -1
PAGE_TOKENS = 64
MOST_EXPERTS = 2048
NO_PLACE = -1
LOGITS_PLACE = -2
SAMPLE_MAX_VOCAB = 1 << 22


class InputKind(IntEnum):
    """The formats of a matmul's input."""

    FLOATS = 0
    INT8 = 1
    INT16 = 2


class OpKind(IntEnum):
    """Kinds of operations of a plan."""

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
    MOE = 12
    OUTPUT_ROWS = 13
    ROUTE = 14
    LINEAR_HEADS = 15
    MUL_EACH = 16
    ADD_WEIGHT = 17
    MUL_WEIGHT = 18
    SUM = 19
    CLAMP = 20
    COPY = 21
    PREVIOUS = 22
    CONV = 23
    SCAN = 24
    DELTA_RULE = 25
    WKV4 = 26
    COLLECT = 27
    REGION = 28


class RegionType(IntEnum):
    """The kinds of regions: which operations belong together."""

    LINEARS = 0
    GATED = 1
    HEADS = 2


class Function(IntEnum):
    """Functions of one number, under the names that the graph has for them."""

    SILU = 0
    GELU = 1
    GELU_EXACT = 2
    RELU = 3
    SIGMOID = 4
    TANH = 5
    EXP = 6
    SOFTPLUS = 7
    SWIGLU_CLAMPED = 8


class Gating(IntEnum):
    """The functions that turn scores of experts into router weights."""

    SOFTMAX = 0
    SIGMOID = 1
    SPARSEMIXER = 2


class RowChoice(IntEnum):
    """The row of a table that `embed` takes."""

    TOKEN = 0
    POSITION = 1
    FIRST = 2


class CacheType(IntEnum):
    """The formats of keys and values in pages."""

    INT14 = 0
    F32 = 1
    Q8_0 = 2
    F16 = 3
    Q4_0 = 4


class SampleKind(IntEnum):
    """Kinds of steps of a sampler."""

    GREEDY = 0
    TEMPERATURE = 1
    TOP_K = 2
    TOP_P = 3
    MIN_P = 4
    REPETITION = 5
    FREQUENCY = 6
    PRESENCE = 7
    LOGIT_BIAS = 8
    DYNAMIC_TEMPERATURE = 9
    TOP_A = 10
    TOP_N_SIGMA = 11
    TAIL_FREE = 12
    LOCALLY_TYPICAL = 13
    XTC = 14
    SEQUENCE_REPETITION = 15
    DRY = 16
    MIROSTAT1 = 17
    MIROSTAT2 = 18
    ADAPTIVE_P = 19


class SampleError(IntEnum):
    """Why no token could be drawn."""

    BAD_ARGUMENT = -1
    NOT_A_NUMBER = -2
    NOTHING_LEFT = -3
    TOKEN_OUT_OF_RANGE = -4


class Weights(ctypes.Structure):
    """The matrices of a tensor, in the file's layout and packed."""

    _fields_ = (
        *((name, I64) for name in ("type", "outputs", "inputs", "matrices")),
        *(("rows", Address), ("rows_stride", I64), ("packed", Address), ("packed_stride", I64)),
        *(("ready", I32), ("unused", I32)),
    )


class Op(ctypes.Structure):
    """One operation of a plan."""

    _fields_ = (
        *(("kind", I32), ("output_rows", I32), ("x", I64), ("x2", I64), ("y", I64)),
        *(("also", I64 * 4), ("n", I64 * 8), ("f", F64 * 2), ("w", U64 * 8)),
    )


OP = np.dtype(Op)
"""The same for arrays of operations."""


class Sums(ctypes.Structure):
    """The sums of squared inputs of a tensor, for importance."""

    _fields_ = (("squares", Address), ("counts", Address))


class Rope(ctypes.Structure):
    """One rotary embedding."""

    _fields_ = (
        *(("n_pairs", I64), ("frequencies", Address), ("magnitude", F64), ("growth", F64)),
        *(("growth_every", I64), ("place", I64)),
    )


class Batch(ctypes.Structure):
    """The arrays of a batch and of its logits."""

    _fields_ = tuple(
        (name, Address)
        for name in (
            "tokens", "positions", "sessions", "output_rows",
            "ends", "first_page", "pages", "windows", "recurrent", "logits",
        )
    )  # fmt: skip


class PlanSpec(ctypes.Structure):
    """The arrays and sizes that a plan is made of."""

    _fields_ = (
        *((name, I32) for name in ("level", "cache_type", "n_ops", "n_ropes", "logits", "unused")),
        *(("ops", Address), ("ropes", ctypes.POINTER(Rope))),
        *(("all_bytes", I64), ("output_bytes", I64)),
    )


class OpTime(ctypes.Structure):
    """The measured time of an operation."""

    _fields_ = (*((name, I64) for name in ("calls", "rows", "ops")), ("nanoseconds", U64))


OP_TIME = np.dtype(OpTime)
"""The same for arrays of them."""


class SampleStep(ctypes.Structure):
    """One step of a sampler."""

    _fields_ = (
        *(("kind", I32), ("min_keep", I32), ("count", I32 * 4), ("value", F64 * 3)),
        *(("ids", Address), ("biases", Address)),
    )


class Chain(ctypes.Structure):
    """The steps of a sampler with all that they need."""

    _fields_ = (
        *(("steps", Address), ("workspace", Address), ("workspace_size", I64)),
        *(("n_history", I64), ("ends", Address), ("state", Address)),
        *(("n_steps", I32), ("n_vocab", I32), ("n_ends", I32)),
    )


class Generation(ctypes.Structure):
    """The arguments of `llmpy_plan_generate`."""

    _fields_ = (
        *(("chain", Address), ("ids", Address), ("n", I64), ("most", I64)),
        *(("pages", Address), ("windows", Address)),
        *(("recurrent", U64), ("seed", U64), ("counter", U64), ("threads", I64)),
    )


class Draw(ctypes.Structure):
    """A sampler and what it looks at besides logits."""

    _fields_ = (
        *(("chain", Address), ("history", Address), ("n_history", I64)),
        *(("seed", U64), ("counter", U64)),
    )


class GpuFunctions(ctypes.Structure):
    """Functions of wgpu-native that record a compute pass."""

    _fields_ = (
        *(("set_pipeline", Address), ("set_bind_group", Address)),
        ("dispatch_workgroups", Address),
    )


class GpuDispatch(ctypes.Structure):
    """One dispatch of a compute pass."""

    _fields_ = (("pipeline", Address), ("bind_group", Address), ("x", I32), ("y", I32))


GPU_DISPATCH = np.dtype(GpuDispatch)
"""The same for arrays of them."""


FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llmpy_abi_version": (I32, ()),
    "llmpy_level_name": (ctypes.c_char_p, (I32,)),
    "llmpy_level_runs_here": (I32, (I32,)),
    "llmpy_read_bandwidth": (F64, (I64, I32, I32)),
    "llmpy_allocate": (Address, (I64,)),
    "llmpy_release": (None, (Address, I64)),
    "llmpy_touch": (None, (Address, I64)),
    "llmpy_input_kind": (I32, (I32,)),
    "llmpy_input_bytes": (I64, (I32, I64)),
    "llmpy_packed_bytes": (I64, (I32, I64, I64)),
    "llmpy_pack": (None, (I32, ctypes.POINTER(Weights), I32)),
    "llmpy_quantize": (
        I32,
        (I32, I32, I32, Address, I64, I64, Address, Address, Address, I32),
    ),
    "llmpy_plan_create": (Address, (ctypes.POINTER(PlanSpec),)),
    "llmpy_plan_destroy": (None, (Address,)),
    "llmpy_plan_bind": (None, (Address, ctypes.POINTER(Batch))),
    "llmpy_plan_reserve": (I32, (Address, I64, I64, I64, I32)),
    "llmpy_plan_run": (None, (Address, I32, I32, I32)),
    "llmpy_plan_trace": (None, (Address, Address)),
    "llmpy_sample_workspace": (I64, (I32,)),
    "llmpy_sample": (I32, (Address, Address, Address, I64, U64, U64)),
    "llmpy_sample_apply": (I32, (Address, Address, Address, I64, U64, U64, Address)),
    "llmpy_sample_top": (I32, (Address, I32, I32, Address, Address, Address, I64)),
    "llmpy_plan_generate": (I32, (Address, Address)),
    "llmpy_plan_draw": (None, (Address, Address, I32, I64, Address, I32)),
    "llmpy_strings": (I64, (Address, I64, I64, I64, Address)),
    "llmpy_string_hashes": (None, (Address, I64, Address)),
    "llmpy_gpu_record": (None, (ctypes.POINTER(GpuFunctions), Address, Address, I64)),
}
"""Result and arguments of each function, by name."""
