"""A small trained model and a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import llmpy

STORIES = "weights/stories260K/stories260K.gguf"


@pytest.fixture(scope="session")
def stories(shared_data: Callable[[str], Path]) -> Path:
    """A trained model whose rows are no multiples of 256, and some none of 32."""
    return shared_data(STORIES)


@pytest.fixture(scope="session")
def text(shared_data: Callable[[str], Path]) -> str:
    """The beginning of a book."""
    return shared_data("text/frankenstein.txt").read_text(encoding="utf-8")[3000:9000]


@pytest.fixture(scope="session")
def model(stories: Path) -> llmpy.Model:
    """The model, with keys and values as they are."""
    return llmpy.load(stories, kv_dtype="f32")
