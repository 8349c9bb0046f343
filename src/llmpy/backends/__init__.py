"""Backends: their contract, and those that come with llmpy."""

from __future__ import annotations

from llmpy.backends.base import (
    PAGE_TOKENS,
    Backend,
    Batch,
    ContinuingPlan,
    Describing,
    Determinism,
    DrawnResult,
    GeneratingPlan,
    KvCache,
    KvPool,
    MemoryPool,
    Plan,
    Preparation,
    Requirements,
    Sampling,
    SlottedPool,
    SparseResult,
    StepResult,
    StoredTensor,
    WindowedPool,
)
from llmpy.backends.making import (
    ALL_ON_ONE,
    GpuShare,
    checked_kv_dtype,
    make_backend,
    shared_with_cpu,
)
from llmpy.backends.plain import PlainBackend, PlainPlan
from llmpy.backends.pool import ArrayKvPool, Logits, Piece
from llmpy.backends.space import Space

__all__ = [
    "ALL_ON_ONE",
    "PAGE_TOKENS",
    "ArrayKvPool",
    "Backend",
    "Batch",
    "ContinuingPlan",
    "Describing",
    "Determinism",
    "DrawnResult",
    "GeneratingPlan",
    "GpuShare",
    "KvCache",
    "KvPool",
    "Logits",
    "MemoryPool",
    "Piece",
    "PlainBackend",
    "PlainPlan",
    "Plan",
    "Preparation",
    "Requirements",
    "Sampling",
    "SlottedPool",
    "Space",
    "SparseResult",
    "StepResult",
    "StoredTensor",
    "WindowedPool",
    "checked_kv_dtype",
    "make_backend",
    "shared_with_cpu",
]
