"""What the sampling tests share."""

from __future__ import annotations

import pytest

from llmpy import native


@pytest.fixture
def compiled() -> None:
    """Skips a test of the native sampler where no compiled library is installed."""
    if not native.available():
        pytest.skip(f"no compiled library at {native.library_path()}")
