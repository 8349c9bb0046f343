"""A parser with a tiny model of random weights: what it says is chance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import llmpy
from llmpy.apps import dates
from tests.apps.dates.stand_in import write_random


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[llmpy.Model]:
    """The tiny model."""
    path = tmp_path_factory.mktemp("dates") / "random.gguf"
    write_random(path)
    with llmpy.load(path) as model:
        yield model


@pytest.fixture
def parser(random_model: llmpy.Model) -> dates.Parser:
    """A parser that remembers nothing yet."""
    return dates.Parser(random_model)
