"""Making the backend that a name means, and sharing a model out to the CPU and GPUs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from llmpy import checks, ffi
from llmpy.backends.base import Backend

__all__ = ["ALL_ON_ONE", "GpuShare", "checked_kv_dtype", "make_backend", "shared_with_cpu"]


class GpuShare(NamedTuple):
    """The part of a model that GPUs compute: the arguments of `load` by these names.

    `n_ctx`: the context that layers on a GPU leave room for.
    """

    n_gpu_layers: int | None = None
    device: str | None = None
    device_memory: int | str | Sequence[int | str] | None = None
    n_ctx: int | None = None


ALL_ON_ONE = GpuShare()
PART_OF_FREE = 0.9  # of a GPU's memory that "auto" takes: other programs use it too
_UNITS = {"": 1, "b": 1, **{f"{u}{b}": 1000**i for i, u in enumerate("kmgt", 1) for b in ("", "b")}}
_UNITS |= {f"{u}ib": 1024**i for i, u in enumerate("kmgt", 1)}
_METHODS = ("requirements", "upload", "prepare", "kv_pool", "compile")


def make_backend(
    backend: str | Backend, n_threads: int | None, n_batch: int, share: GpuShare = ALL_ON_ONE
) -> Backend:
    """Return the backend of that name, or `backend` itself if it is an object already.

    "auto" is a GPU that is faster than the compiled one, the compiled one, or the reference with a
    warning if there is none. Raises ValueError for another name or a `share` that it cannot have,
    TypeError for an object that is no backend.
    """
    if share[:3] != ALL_ON_ONE[:3]:
        return _shared(backend, n_threads, n_batch, share)
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
        which = backend.partition(":")[2]
        return _shared("gpu", n_threads, n_batch, GpuShare(device=which, n_ctx=share.n_ctx))
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


def shared_with_cpu(gpu: Any, n_threads: int | None, n_batch: int, n_ctx: int | None) -> Backend:
    """Return a backend of the CPU and as much of the backend `gpu` as its memory has room for."""
    from llmpy.backends.gpu.backend import GpuBackend
    from llmpy.backends.gpu.budget import Budget
    from llmpy.backends.split.backend import SplitBackend

    cpu, free = make_backend("cpu", n_threads, n_batch), gpu.device.free_memory()
    if free is None:
        return cpu
    most = int(free * PART_OF_FREE)
    part = GpuBackend(Budget(gpu.device, most), max_tokens=n_batch)
    return SplitBackend(cpu, [part], memory=[most], n_ctx=n_ctx, quiet=True)


def _shared(
    backend: str | Backend, n_threads: int | None, n_batch: int, share: GpuShare
) -> Backend:
    """A backend that computes some layers on GPUs."""
    n_layers, which, memory = _checked(backend, share)
    if n_layers == 0:
        return make_backend("cpu" if ffi.available() else "reference", n_threads, n_batch)
    from llmpy.backends.gpu.backend import GpuBackend
    from llmpy.backends.gpu.budget import Budget
    from llmpy.backends.gpu.find import open_device
    from llmpy.backends.split.backend import SplitBackend

    devices: list[Any] = [open_device(name.strip()) for name in which.split(",")]
    if memory is not None:
        if len(memory) not in (1, len(devices)):
            raise ValueError(
                f"device_memory: expected one size, or one for each of {len(devices)} devices, "
                f"found {len(memory)}"
            )
        memory = memory * (len(devices) // len(memory))
        devices = [Budget(each, most) for each, most in zip(devices, memory, strict=True)]
    gpus = [GpuBackend(each, max_tokens=n_batch) for each in devices]
    if len(gpus) == 1 and n_layers is None and memory is None:
        return gpus[0]
    cpu = make_backend("cpu" if ffi.available() else "reference", n_threads, n_batch)
    return SplitBackend(cpu, gpus, n_layers=n_layers, memory=memory, n_ctx=share.n_ctx)


def _checked(backend: str | Backend, share: GpuShare) -> tuple[int | None, str, list[int] | None]:
    """The layers, the names of the devices, and their memory."""
    n_layers, device, memory, _ = share
    if n_layers is not None:
        checks.whole("n_gpu_layers", n_layers, 0)
    if device is not None:
        checks.text("device", device)
    name = backend if isinstance(backend, str) else type(backend).__name__
    kind, _, which = name.partition(":")
    if kind not in ("auto", "gpu") and not (n_layers == 0 and name == "cpu"):
        given = next(f for f, value in share._asdict().items() if value is not None)
        raise ValueError(f"{given}: expected the backend 'auto' or 'gpu', found {name!r}")
    if device is not None and which:
        raise ValueError(f"device: {device!r} was given beside the backend {name!r}: give one")
    if memory is None:
        return n_layers, device or which, None
    if isinstance(memory, str):
        memory = memory.split(",")
    sizes: list[object] = [memory]
    if isinstance(memory, Sequence) and not isinstance(memory, bytes):
        sizes = list(memory)
    return n_layers, device or which, [_bytes("device_memory", size) for size in sizes]


def _bytes(name: str, size: object) -> int:
    """A number of bytes, as it is or with a unit."""
    if isinstance(size, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", size.lower())
        if found is None or found[2] not in _UNITS:
            raise ValueError(f"{name}: expected bytes or a size such as '6GB', found {size!r}")
        size = int(float(found[1]) * _UNITS[found[2]])
    return checks.whole(name, size, 1, 1 << 62)
