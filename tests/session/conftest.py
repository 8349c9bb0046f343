"""A real small model for the tests of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llmpy

STORIES = "weights/stories260K/stories260K.gguf"


@pytest.fixture(scope="session", params=["cpu", "reference", "array"])
def stories(
    request: pytest.FixtureRequest, shared_data: Callable[[str], Path]
) -> Iterator[llmpy.Model]:
    """stories260K on each backend."""
    with llmpy.load(shared_data(STORIES), backend=request.param, n_threads=2) as model:
        yield model


@pytest.fixture(scope="session")
def fast_stories(shared_data: Callable[[str], Path]) -> Iterator[llmpy.Model]:
    """stories260K on the compiled backend, for what does not depend on one."""
    with llmpy.load(shared_data(STORIES), backend="cpu") as model:
        yield model
