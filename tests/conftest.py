"""Shared fixtures: where the real test data lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[1].parent / "shared" / "data"
DATA = Path(os.environ.get("LLMPY_TEST_DATA", BESIDE))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a file of the shared test data, by its name there; skips where it is absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"test data not found: {path} (set LLMPY_TEST_DATA)")
        return path

    return find
