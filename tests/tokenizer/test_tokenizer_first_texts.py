"""Merging in Python, before the engine in Rust is made: the same ids, and then that engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmpy
from bench import vocabulary
from llmpy.errors import ModelFileError
from llmpy.format import write_gguf
from llmpy.strings import Strings
from llmpy.tokenizer import Tokenizer, build_tokenizer, engine, merging, scored
from tests.tokenizer.test_tokenizer_vectors import vectors  # noqa: F401
from tests.tokenizer.vocabularies import byte_level, sentencepiece


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(engine, "MANY_MERGES", 0)
    monkeypatch.setattr(scored, "MANY_TOKENS", 0)
    monkeypatch.setattr(merging, "MOST_CHARACTERS", 10**9)


@pytest.mark.usefixtures("always")
def test_every_text_becomes_the_expected_ids(vectors, metadata_of):  # noqa: F811
    name, pairs = vectors
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


def both(data: dict[str, Any]) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizer that merges in Python, and the one with the engine in Rust."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scored, "MANY_TOKENS", 0)
        first = build_tokenizer(data)
    return first, build_tokenizer(data)


def gemma4_like() -> dict[str, Any]:
    data = sentencepiece("\u2581", *"abc\n", "ab", "\u2581a", "abc", "\n\n", "\n\n\n", "bc", "aa")
    merges = ["a b", "\u2581 a", "b c", "ab c", "a bc", "a a"]
    return data | {"tokenizer.ggml.model": "gemma4", "tokenizer.ggml.merges": merges}


EQUAL = (
    "\u2581",
    "a",
    "b",
    "c",
    "\n",
    "ab",
    "aa",
    "aaa",
    "aaaa",
    "bc",
    "abc",
    "\u2581a",
    "\u2581\u2581",
)
VOCABULARIES = {
    "words": both(sentencepiece(*EQUAL)),
    "no words": both(sentencepiece(*EQUAL, "a\u2581", "a\u2581b")),
    "equal scores": both(sentencepiece(*EQUAL, scores=[0.0] * (259 + len(EQUAL)))),
    "a part without a token": both(
        sentencepiece("\u2581", "ab", "\u00e9a", "b\n", "\u2581\u00e9a")
    ),
    "a NUL in a piece": both(sentencepiece("\u2581", "a", "a\0", "\0\u2581", "b\u2581")),
    "gemma4": both(gemma4_like()),
}


def test_merges_are_searched_for_and_then_known(monkeypatch) -> None:
    text = "abc aab\n\n\n\n bca"
    expected = build_tokenizer(gemma4_like()).encode(text)
    for searches in (0, 3, 500):
        monkeypatch.setattr(scored, "SEARCHES", searches)
        monkeypatch.setattr(scored, "MANY_TOKENS", 0)
        data = gemma4_like()
        data["tokenizer.ggml.merges"] = Strings.of(data["tokenizer.ggml.merges"])
        assert build_tokenizer(data).encode(text) == expected


@pytest.mark.parametrize("name", VOCABULARIES)
@given(text=st.text(st.sampled_from("abc\n \u2581\u00e9\0"), max_size=40))
def test_scored_pieces_merge_as_in_the_engine(name: str, text: str) -> None:
    first, engine = VOCABULARIES[name]
    assert first.encode(text, start=False) == engine.encode(text, start=False)


def test_a_large_vocabulary_opens_without_the_engine(tmp_path: Path) -> None:
    write_gguf(tmp_path / "large.gguf", vocabulary.metadata(60_000, False), [])
    tokenizer = llmpy.load_tokenizer(tmp_path / "large.gguf")
    text = vocabulary.text_of(300) + " \U0001f600"
    ids = tokenizer.encode(text)
    assert tokenizer._engine._engine is None
    assert tokenizer.decode(ids) == text
    assert tokenizer._engine._make().encode(text) == ids
    assert tokenizer.encode("\u2581" + text)[3:] == ids, "which only the engine says"
    assert tokenizer._engine._engine is not None
