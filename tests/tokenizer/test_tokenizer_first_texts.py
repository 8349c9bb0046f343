"""Merging in Python, before the engine in Rust is made: the same ids, and then that engine."""

from __future__ import annotations

import pytest

from llmpy.errors import ModelFileError
from llmpy.tokenizer import build_tokenizer, engine, merging
from tests.tokenizer.test_tokenizer_vectors import vectors  # noqa: F401
from tests.tokenizer.vocabularies import byte_level


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(engine, "MANY_MERGES", 0)
    monkeypatch.setattr(merging, "MOST_CHARACTERS", 10**9)


@pytest.mark.usefixtures("always")
def test_every_text_becomes_the_expected_ids(vectors, metadata_of):  # noqa: F811
    name, pairs = vectors
    if metadata_of(name)["tokenizer.ggml.model"] != "gpt2":
        return  # has no such engine
    tokenizer = build_tokenizer(metadata_of(name))
    wrong = [(text, tokenizer.encode(text)) for text, ids in pairs if tokenizer.encode(text) != ids]
    assert wrong == []
    assert tokenizer._engine._engine is None


def test_more_text_is_for_the_engine(monkeypatch):
    monkeypatch.setattr(engine, "MANY_MERGES", 0)
    tokenizer = build_tokenizer(byte_level("a b", "ab c"))
    few = tokenizer.encode("abc")
    assert tokenizer._engine._engine is None
    assert tokenizer.encode("abc" * 200) == few * 200
    assert tokenizer._engine._engine is not None
    assert tokenizer.encode("abc") == few


@pytest.mark.usefixtures("always")
def test_a_word_that_is_a_token_is_not_merged():
    whole = byte_level("a b", pre="llama-bpe", extra=(("abc", 1),))
    tokenizer = build_tokenizer(whole)
    assert tokenizer.encode("abc") == [tokenizer.id("abc")]


def test_merges_that_the_engine_refuses_are_refused_when_it_is_made(monkeypatch):
    monkeypatch.setattr(engine, "MANY_MERGES", 0)
    tokenizer = build_tokenizer(byte_level("a b") | {"tokenizer.ggml.merges": ["a b", "a zz"]})
    assert tokenizer.encode("ab") == [tokenizer.id("ab")]
    with pytest.raises(ModelFileError, match="merges"):
        tokenizer.encode("ab" * merging.MOST_CHARACTERS)
