"""Real vocabularies, read once, and small ones made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llmpy.format import open_gguf
from llmpy.tokenizer import Tokenizer, build_tokenizer
from tests.tokenizer.vocabularies import NAMES


@cache
def _metadata(path: Path) -> Mapping[str, Any]:
    return open_gguf(path).metadata


@cache
def _tokenizer(path: Path) -> Tokenizer:
    return build_tokenizer(_metadata(path), path)


@pytest.fixture(scope="session")
def metadata_of(shared_data: Callable[[str], Path]) -> Callable[[str], Mapping[str, Any]]:
    """The metadata of a real vocabulary, by its short name."""
    return lambda name: _metadata(shared_data(NAMES[name]))


@pytest.fixture(scope="session")
def tokenizer_of(shared_data: Callable[[str], Path]) -> Callable[[str], Tokenizer]:
    """The tokenizer of a real vocabulary, by its short name; one for all tests."""
    return lambda name: _tokenizer(shared_data(NAMES[name]))


@pytest.fixture(scope="session", params=sorted(NAMES))
def any_tokenizer(request: pytest.FixtureRequest, tokenizer_of: Any) -> Tokenizer:
    """Each real tokenizer in turn."""
    return tokenizer_of(request.param)
