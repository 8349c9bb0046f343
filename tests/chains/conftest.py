"""Models that chains use, loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import llmpy
from llmpy import chains


@pytest.fixture(scope="session")
def model(smollm2: Path) -> Iterator[llmpy.Model]:
    with llmpy.load(smollm2, n_ctx=1024) as model:
        yield model


@pytest.fixture(scope="session")
def embedder(minilm: Path) -> Iterator[llmpy.Model]:
    with llmpy.load(minilm) as model:
        yield model


@pytest.fixture
def runner(model: llmpy.Model) -> Iterator[chains.Runner]:
    with chains.Runner(model) as runner:
        yield runner
