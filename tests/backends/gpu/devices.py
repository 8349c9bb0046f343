"""The GPU that the tests use: the first adapter of this machine, or Mesa's software one."""

from __future__ import annotations

import os
from typing import Any

import pytest

from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.find import open_device
from llmpy.errors import BackendError


def gpu_device() -> Any:
    """The device, the same for all tests; skips, or fails if LLMPY_TEST_GPU says there is one."""
    try:
        return open_device()
    except BackendError as error:
        if os.environ.get("LLMPY_TEST_GPU"):
            raise
        pytest.skip(str(error))


def gpu_backend(max_tokens: int = 512) -> GpuBackend:
    """A backend on it."""
    return GpuBackend(gpu_device(), max_tokens=max_tokens)
