"""The GPU backend keeps the contract, on a device in NumPy and on the adapter that there is."""

from __future__ import annotations

from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.device import KERNELS
from llmpy.testing import check_backend
from tests.backends.gpu.devices import gpu_backend
from tests.backends.gpu.recording import RecordingDevice


def test_the_core_passes_on_a_device_in_numpy() -> None:
    device = RecordingDevice()
    assert check_backend(GpuBackend(device)).missing == ()
    long = {"attend_part", "attend_merge"}  # of more tokens than the contract's
    assert set(device.ran) == set(KERNELS) - long


def test_the_core_passes_on_an_adapter() -> None:
    assert check_backend(gpu_backend()).missing == ()
