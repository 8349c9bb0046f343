"""Cutting and merging take time that is linear in the text, whatever the text is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from llmpy.tokenizer import build_tokenizer
from llmpy.tokenizer.pretokenizers import FAMILIES
from tests.tokenizer.vocabularies import NORMAL, byte_level, keys, sentencepiece

# Runs of one class, and pairs whose expressions overlap.
RUNS = (
    "a",
    "A",
    "1",
    "\u0663",
    " ",
    "\n",
    "\t",
    "!",
    "'",
    "\u4e00",
    "\u30ab",
    "\u0301",
    "\U0001f600",
)
PAIRS = ("aB", "a ", "1a", " \n", "\n ", "\r\n", "'s", "a\u0301", "IMGIMGA", "<sentinel:1")
SIZE = 20_000
DISTINCT = sorted({family.patterns: name for name, family in FAMILIES.items()}.values())


def cutter(*patterns: str) -> pre_tokenizers.PreTokenizer:
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence(cuts)


@pytest.mark.parametrize("name", DISTINCT)
def test_every_family_cuts_in_linear_time(name: str) -> None:
    cut = cutter(*FAMILIES[name].patterns)
    for unit in (*RUNS, *PAIRS):
        size = 30 * SIZE if unit == " " else SIZE
        text = (unit * size)[:size]
        text += "x" + text
        start = time.process_time()
        words = cut.pre_tokenize_str(text)
        # Where digits or spaces were quadratic it took 4 s or more, and what is linear 0.2 s.
        assert time.process_time() - start < 3, unit
        assert words[-1][1][1] == len(text)


MODELS = {
    "byte-level": byte_level("a a", "aa aa"),
    "sentencepiece": sentencepiece("\u2581", "a", "aa", "aaaa"),
    "sentencepiece without words": sentencepiece("\u2581", "a", "aa", "a\u2581a"),
    "word pieces": keys(model="bert", tokens=["\u2581a", "a", "aa"], token_type=[NORMAL] * 3),
    "world": keys(model="rwkv", tokens=["a", "aa", " "], token_type=[NORMAL] * 3),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("unit", ["a", " ", "a "])
def test_long_texts_of_few_words_are_encoded(name: str, unit: str) -> None:
    tokenizer = build_tokenizer(MODELS[name])
    start = time.process_time()
    tokenizer.encode((unit * 300_000)[:300_000], errors="drop")
    assert time.process_time() - start < 10


SPACES_OF_JAIS2 = "|".join(rf"\s{{{2**n}}}(?!\S)" for n in range(9, 1, -1))
PUBLISHED = {
    "tiny_aya": cutter(r"\d{1,3}(?=(?:\d{3})*\b)", FAMILIES["gpt-4o"].patterns[0]),
    "jais-2": cutter(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
        rf"|\s*[\r\n]+|{SPACES_OF_JAIS2}|\s{{1,2}}(?!\S)|\s{{1}}"
    ),
}
CHARACTERS = {
    "tiny_aya": "1234567\u0663\u00b2 aB_\u0301.,!\n\u4e2d",
    "jais-2": "      \t\n\r\u3000a1!'s\u0301",
}


@pytest.mark.parametrize("name", PUBLISHED)
@given(data=st.data())
def test_families_written_otherwise_cut_as_published(name: str, data: st.DataObject) -> None:
    some = st.text(st.sampled_from(CHARACTERS[name]), max_size=30)
    runs = st.builds(lambda n: " " * n, st.integers(0, 1200))
    text = "".join(data.draw(st.lists(some | runs, max_size=3)))
    ours = cutter(*FAMILIES[name].patterns)
    assert ours.pre_tokenize_str(text) == PUBLISHED[name].pre_tokenize_str(text)
