"""The beginning of a text that keeps its ids while the text is being typed."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmpy.tokenizer import Tokenizer, build_tokenizer
from llmpy.tokenizer.engine import words_of
from llmpy.tokenizer.pretokenizers import FAMILIES
from llmpy.tokenizer.world import read_world
from tests.tokenizer.vocabularies import CONTROL, USER, keys, sentencepiece

PARTS = st.sampled_from(
    [
        *"abzAZ09'\".,!?-/<>|_() \n\r\t\u00e9\u4f60\U0001f600\u0301\u3000\u00a0",
        *(" a", " The", "'s", "'S", "  ", "12345", "\u0e44\u0e17\u0e22", "don't", "<s>", "[/INST]"),
    ]
)
TEXTS = st.lists(PARTS, max_size=12).map("".join)


def check(tokenizer: Tokenizer, text: str, more: str, special: bool = False) -> int:
    n = tokenizer.stable(text, special=special)
    assert 0 <= n <= len(text)
    ids = tokenizer.encode(text[:n], special=special)
    assert tokenizer.encode(text + more, special=special)[: len(ids)] == ids
    return n


@settings(max_examples=150)
@given(text=TEXTS, more=TEXTS, special=st.booleans())
@example(text="one two", more="'s", special=False)
@example(text="12345 a1234", more="5678", special=False)
def test_no_text_behind_it_changes_its_ids(
    any_tokenizer: Tokenizer, text: str, more: str, special: bool
) -> None:
    check(any_tokenizer, text, more, special)


def test_a_sentence_is_stable_up_to_the_word_that_is_typed(any_tokenizer: Tokenizer) -> None:
    text = "Hello, how are you doing? It's fi"
    assert text[: any_tokenizer.stable(text)] == "Hello, how are you doing? It's"


@pytest.mark.parametrize("text", ["", "word", "word ", "one  two", "\n a", "1 2", "one\ttwo"])
def test_without_a_border_nothing_is_stable(any_tokenizer: Tokenizer, text: str) -> None:
    assert any_tokenizer.stable(text) == 0


@cache
def cutter(name: str) -> Any:
    return words_of(FAMILIES[name])


def cuts(name: str, text: str) -> set[int]:
    """Where a family cuts a text, in characters."""
    return {span[0] for _, span in cutter(name).pre_tokenize_str(text)}


@pytest.mark.parametrize("name", sorted({id(f): n for n, f in FAMILIES.items()}.values()))
@settings(max_examples=150)
@given(text=TEXTS, more=TEXTS)
def test_each_family_cuts_at_a_border(name: str, text: str, more: str) -> None:
    whole = f"{text}x a{more}"
    if not FAMILIES[name].crosses_spaces:
        assert len(text) + 1 in cuts(name, whole)
        before = {at for at in cuts(name, whole) if at <= len(text)}
        assert before == cuts(name, f"{text}x")


def test_words_that_cross_spaces_are_known() -> None:
    crossing = {name for name in FAMILIES if len("x") not in cuts(name, "x a")}
    assert crossing == {name for name, family in FAMILIES.items() if family.crosses_spaces}


@pytest.mark.parametrize(
    ("extra", "text", "special", "expected"),
    [
        ((), "go on now", False, "go on"),
        ((("go on", USER),), "go on now", False, "go on"),
        ((("go on", USER),), "now go on", False, "now"),
        ((("go on", CONTROL),), "now go on", False, "now go"),
        ((("go on", CONTROL),), "now go on", True, "now"),
    ],
)
def test_tokens_that_hold_a_space(
    extra: tuple[tuple[str, int], ...], text: str, special: bool, expected: str
) -> None:
    pieces = ["\u2581", "\u2581on", "go", "now", "\u2581now", *"gonw"]
    tokenizer = build_tokenizer(sentencepiece(*pieces, extra=extra))
    assert text[: tokenizer.stable(text, special=special)] == expected


def test_pieces_that_go_on_across_a_space() -> None:
    plain = sentencepiece("\u2581", *"abc", "\u2581c")
    assert build_tokenizer(plain).stable("ab c") == 2
    assert build_tokenizer(sentencepiece("\u2581", *"abc", "b\u2581c")).stable("ab c") == 0
    assert build_tokenizer(sentencepiece("\u2581", *"abc", "b\u2581c")).stable("a c b c") == 3


def test_the_world_vocabulary() -> None:
    words = [" ", " on", "go on", *"abcdefghijklmnopqrstuvwxyz"]
    lines = [f"{i} {word!r} {len(word)}" for i, word in enumerate(words, 1)]
    tokenizer = build_tokenizer(keys(**read_world("\n".join(lines))))
    assert [tokenizer.stable(t) for t in ("go on", "gi on", "gi on go", "go on it")] == [0, 2, 5, 5]


def test_what_is_searched_as_a_whole_is_never_stable() -> None:
    unigram = build_tokenizer(sentencepiece("\u2581", *"abc", "\u2581c") | keys(model="t5"))
    assert unigram.stable("ab c ab c") == 0
