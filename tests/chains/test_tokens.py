"""Long texts are split into parts of so many tokens, at ends of paragraphs, sentences or words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llmpy
from llmpy.chains import split_text
from llmpy.chains.tokens import pack

WORDS = st.lists(
    st.sampled_from(["One day,", " Lily", " went.", "\n\n", "  ", "é", "x" * 40, "\t"])
)


@pytest.fixture(scope="module")
def tokenizer(shared_data: Callable[[str], Path]) -> llmpy.Tokenizer:
    return llmpy.load_tokenizer(shared_data("weights/stories260K/stories260K.gguf"))


@given(WORDS.map("".join), st.integers(8, 60))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_parts_fit_and_are_the_text(tokenizer: llmpy.Tokenizer, text: str, tokens: int) -> None:
    parts = split_text(text, tokens, tokenizer)
    assert "".join(parts) == text
    assert all(0 < len(tokenizer.encode(part)) <= tokens for part in parts)


@given(WORDS.map("".join), st.integers(8, 60))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_parts_with_overlap_fit_and_cover_the_text(
    tokenizer: llmpy.Tokenizer, text: str, tokens: int
) -> None:
    end = 0
    for part in split_text(text, tokens, tokenizer, overlap=tokens // 3):
        assert len(tokenizer.encode(part)) <= tokens
        starts = [i for i in range(end + 1) if text.startswith(part, i)]
        assert starts
        assert starts[-1] + len(part) > end
        end = starts[-1] + len(part)
    assert end == len(text)


def test_paragraphs_stay_whole_where_they_fit(tokenizer: llmpy.Tokenizer) -> None:
    text = "A cat sat.\n\nA dog ran far.\n\nThe end."
    assert split_text(text, 12, tokenizer) == ["A cat sat.\n\n", "A dog ran far.\n\n", "The end."]


def test_sentences_stay_whole_where_paragraphs_do_not_fit(tokenizer: llmpy.Tokenizer) -> None:
    text = "A cat sat. A dog ran far. The end."
    assert split_text(text, 10, tokenizer) == ["A cat sat. ", "A dog ran far. ", "The end."]


def test_overlap_repeats_whole_sentences(tokenizer: llmpy.Tokenizer) -> None:
    text = "A cat sat. A dog ran. The end. It was good."
    first, second, *_ = split_text(text, 16, tokenizer, overlap=8)
    assert second.startswith(first[first.rindex(". ", 0, -2) + 2 :])


@pytest.mark.parametrize(("tokens", "overlap"), [(0, 0), (5, 5), (5, -1)])
def test_sizes_are_checked(tokenizer: llmpy.Tokenizer, tokens: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="expected tokens > overlap >= 0"):
        split_text("a", tokens, tokenizer, overlap=overlap)


@given(st.lists(st.text("ab", max_size=9), min_size=2), st.integers(1, 20))
def test_groups_have_at_least_two_texts_but_for_the_last(texts: list[str], tokens: int) -> None:
    groups = pack(texts, tokens, len)
    assert [text for group in groups for text in group] == texts
    assert all(len(group) > 1 for group in groups[:-1])
    assert all(sum(map(len, group)) <= tokens for group in groups if len(group) > 2)
