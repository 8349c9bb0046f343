"""Backends that share a model: the compiled one or the reference, and devices."""

from __future__ import annotations

from typing import Any

from llmpy import ffi
from llmpy.backends import make_backend
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.split.backend import SplitBackend
from tests.backends.gpu.devices import gpu_device
from tests.backends.gpu.recording import RecordingDevice

MAX_TOKENS = 256


def host(name: str = "") -> Any:
    """The compiled backend, where it is, or the reference."""
    return make_backend(name or ("cpu" if ffi.available() else "reference"), 1, MAX_TOKENS)


def split(on: str, n_devices: int = 1, first: str = "", **options: Any) -> SplitBackend:
    """The last layers on devices in NumPy, or on the adapter, opened as often as is asked for."""
    if on == "numpy":
        devices: list[Any] = [RecordingDevice() for _ in range(n_devices)]
    else:
        devices = [gpu_device() for _ in range(n_devices)]
    gpus = [GpuBackend(device, max_tokens=MAX_TOKENS) for device in devices]
    return SplitBackend(host(first), gpus, **options)
