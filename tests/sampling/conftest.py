"""What the sampling tests share."""

from __future__ import annotations

import pytest

from llmpy import ffi


@pytest.fixture
def compiled() -> None:
    """Skips a test of the native sampler where no compiled library is installed."""
    if not ffi.available():
        pytest.skip(f"no compiled library at {ffi.library_path()}")
