"""A vocabulary that is committed, for tests that need no model."""

from __future__ import annotations

import pytest

import llmpy
from llmpy.tokenizer import Tokenizer
from tests.conftest import COMMITTED


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """GPT-2's: 50,257 tokens of bytes."""
    return llmpy.load_tokenizer(COMMITTED / "vocab" / "ggml-vocab-gpt-2.gguf")
