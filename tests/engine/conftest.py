"""Engines over a real small model, which tests may tamper with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llmpy

STORIES = "weights/stories260K/stories260K.gguf"
Load = Callable[..., llmpy.Model]


@pytest.fixture
def load(shared_data: Callable[[str], Path]) -> Iterator[Load]:
    """`load(**options)`: stories260K, closed at the end."""
    models: list[llmpy.Model] = []

    def open_one(**options: Any) -> llmpy.Model:
        models.append(
            llmpy.load(shared_data(STORIES), **{"backend": "cpu", "n_ctx": 256} | options)
        )
        return models[-1]

    yield open_one
    for model in models:
        model.close()


@pytest.fixture
def model(load: Load) -> llmpy.Model:
    """Reads at most 16 tokens in a step."""
    return load(n_batch=16)
