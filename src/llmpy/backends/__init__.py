"""Backends: their contract, and those that come with llmpy."""

from __future__ import annotations

import warnings

from llmpy import checks, ffi
from llmpy.backends.base import (
    PAGE_TOKENS,
    Backend,
    Batch,
    Determinism,
    GeneratingPlan,
    KvCache,
    KvPool,
    MemoryPool,
    Plan,
    Preparation,
    Requirements,
    SlottedPool,
    StepResult,
    StoredTensor,
    WindowedPool,
)
from llmpy.backends.plain import PlainBackend, PlainPlan
from llmpy.backends.pool import ArrayKvPool, Logits, Piece
from llmpy.backends.space import Space

__all__ = [
    "PAGE_TOKENS",
    "ArrayKvPool",
    "Backend",
    "Batch",
    "Determinism",
    "GeneratingPlan",
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
    "SlottedPool",
    "Space",
    "StepResult",
    "StoredTensor",
    "WindowedPool",
    "checked_kv_dtype",
    "make_backend",
]

_METHODS = ("requirements", "upload", "prepare", "kv_pool", "compile")


def make_backend(backend: str | Backend, n_threads: int | None, n_batch: int) -> Backend:
    """Return the backend of that name, or `backend` itself if it is an object already.

    "auto" is a GPU that is faster than the compiled one, the compiled one, or the reference with a
    warning if there is none. Raises ValueError for another name, TypeError for an object that is no
    backend.
    """
    if not isinstance(backend, str):
        methods = (getattr(backend, name, None) for name in _METHODS)
        if isinstance(backend, type) or not all(map(callable, methods)):
            expected = f"a name, or an object with the methods {', '.join(_METHODS)}"
            raise checks.wrong_type("backend", expected, backend)
        return backend
    if backend == "auto":
        if ffi.available() and (device := _faster_gpu(n_threads, n_batch)) is not None:
            return device
        backend = "cpu" if ffi.available() else "reference"
        if backend == "reference":
            warnings.warn(
                "the compiled part of llmpy is not installed: falling back to the reference "
                "backend, which is very slow",
                RuntimeWarning,
                stacklevel=3,
            )
    if backend == "cpu":
        from llmpy.backends.cpu.backend import CpuBackend

        return CpuBackend(n_threads=n_threads, max_tokens=n_batch)
    if backend == "reference":
        from llmpy.backends.reference.backend import ReferenceBackend

        return ReferenceBackend()
    kind, *where = backend.split(":", 2)
    if kind == "gpu":
        from llmpy.backends.gpu.backend import GpuBackend
        from llmpy.backends.gpu.find import open_device

        return GpuBackend(open_device(backend.partition(":")[2]), max_tokens=n_batch)
    if kind == "array":
        from llmpy.backends.array.backend import ArrayBackend

        return ArrayBackend(*where)
    raise ValueError(
        "backend: expected 'auto', 'cpu', 'gpu[:DEVICE]', 'reference' or "
        "'array[:NAMESPACE[:DEVICE]]', "
        f"found {backend!r}"
    )


def _faster_gpu(n_threads: int | None, n_batch: int) -> Backend | None:
    """The backend on a GPU that is faster than the CPU, if llmpy[gpu] is installed."""
    from llmpy.backends.cpu.backend import CpuBackend
    from llmpy.backends.gpu.backend import GpuBackend
    from llmpy.backends.gpu.find import auto_device

    device = auto_device(lambda: CpuBackend(n_threads=n_threads)).device
    return None if device is None else GpuBackend(device, max_tokens=n_batch)


def checked_kv_dtype(backend: Backend, kv_dtype: str) -> str:
    """Return the storage type of that name, or the backend's own choice for "auto".

    Raises ValueError for a name that the backend does not support.
    """
    if kv_dtype == "auto":
        return backend.kv_dtypes[0]
    return checks.one_of("kv_dtype", kv_dtype, ("auto", *backend.kv_dtypes))
