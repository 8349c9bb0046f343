"""Vocabulary -> the engine that makes ids of plain text; here those of byte-level vocabularies."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from llmpy import ffi
from llmpy.strings import Strings
from llmpy.tokenizer import merging
from llmpy.tokenizer.alphabet import CHARACTERS, to_characters
from llmpy.tokenizer.kinds import Kind
from llmpy.tokenizer.merger import (
    Engine,
    Expansion,
    check_room,
    pieces_of,
    refuse_merge,
    unknown_of,
)
from llmpy.tokenizer.merging import BytePairs, FirstTexts, LazyEngine
from llmpy.tokenizer.pieces import Unigram, WordPieces
from llmpy.tokenizer.pretokenizers import FAMILIES, Family
from llmpy.tokenizer.scored import scored_engine
from llmpy.tokenizer.vocabulary import Vocabulary
from llmpy.tokenizer.world import World

__all__ = ["build_engine", "words_of"]

MANY_MERGES = 50_000  # that are not handed to Rust before a text needs them


def build_engine(vocabulary: Vocabulary) -> Engine | LazyEngine | Unigram | WordPieces | World:
    """The engine of a vocabulary; raises ModelFileError for merges that it cannot use.

    Where these are many, only the first text that is not short finds out.
    """
    if vocabulary.model == "t5":
        return Unigram(vocabulary)
    if vocabulary.model == "rwkv":
        return World(vocabulary)
    if vocabulary.model == "bert":
        return WordPieces(vocabulary)
    if vocabulary.model == "gpt2":
        first = _first_texts(vocabulary) if len(vocabulary.merges) >= MANY_MERGES else None
        make = partial(_byte_level, vocabulary)
        return LazyEngine(first, make) if first is not None else make()
    return scored_engine(vocabulary)


def _first_texts(vocabulary: Vocabulary) -> FirstTexts | None:
    tokens, merges = Strings.of(vocabulary.tokens), Strings.of(vocabulary.merges)
    if tokens is None or merges is None or not ffi.available():
        return None
    family = FAMILIES[vocabulary.pre]
    cut = words_of(family).pre_tokenize_str
    word = BytePairs(vocabulary.kinds, tokens, merges, family.whole_words)
    return FirstTexts(lambda text: [word for word, _ in cut(text)], word, merging.MOST_CHARACTERS)


def _byte_level(vocabulary: Vocabulary) -> Engine:
    """Byte-level byte-pair encoding (GPT-2 and its descendants): merges in the file's order."""
    check_room(len(vocabulary.tokens), len(vocabulary.merges))
    ids = pieces_of(vocabulary, Kind.NORMAL, Kind.UNDEFINED)
    family = FAMILIES[vocabulary.pre]
    n = len(vocabulary.tokens)
    unknown = unknown_of(vocabulary)
    expand: dict[int, Expansion] = {}
    for character in CHARACTERS:
        if character not in ids:
            stand_in = n + len(expand)
            ids[character] = stand_in
            expand[stand_in] = unknown
    # Rust joins each merge in a buffer as long as the longest token, and panics where it is short.
    merges = list(vocabulary.merges)
    ids["\0" * _longest(merges)] = n + len(expand)
    try:
        bpe = models.BPE(ids, _pairs(merges), ignore_merges=family.whole_words)
    except Exception:  # tokenizers has no narrower type, and does not say which merge it was
        bpe = models.BPE(ids, _usable(vocabulary, ids), ignore_merges=family.whole_words)
    model = Tokenizer(bpe)
    model.pre_tokenizer = words_of(family)
    fuse = vocabulary.fuse_unk
    return Engine(model, n, expand, spaces=False, literal=(), fuse=fuse, unknown=unknown)


def words_of(family: Family) -> Any:
    """Return the function that cuts a text into words, and writes their bytes as characters."""
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in family.patterns]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*cuts, to_bytes])


def _longest(merges: Sequence[str]) -> int:
    """Bytes of the longest merge, which no merge with less than a quarter of its letters can be."""
    letters = max(map(len, merges), default=0)
    long = (merge for merge in merges if 4 * len(merge) >= letters)
    return max((len(merge.encode("utf-8", "surrogateescape")) for merge in long), default=1)


def _pairs(merges: Sequence[str]) -> Any:
    """The merges cut at their spaces, not looked at: Rust refuses what are no pairs of tokens."""
    # 300,000 new tuples would make the collector walk the whole heap again and again for nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return [tuple(merge.split(" ")) for merge in merges]
    finally:
        if collecting:
            gc.enable()


def _usable(vocabulary: Vocabulary, ids: dict[str, int]) -> list[tuple[str, str]]:
    """The file's merges, after a closer look than Rust's; the first bad one raises.

    Converters rename tokens that a model's authors added ("ĠĠ" becomes two spaces) and leave the
    merges as they were: these names are put back into `ids`. Merges that involve tokens which text
    must never become (control tokens) are dropped.
    """
    for i in vocabulary.of_kind(Kind.USER_DEFINED):
        raw = vocabulary.tokens[i].encode("utf-8", "surrogateescape")
        ids.setdefault(to_characters(raw), i)
    known = ids.keys() | set(vocabulary.tokens)
    usable = []
    for i, merge in enumerate(vocabulary.merges):
        left, _, right = merge.partition(" ")
        names = (left, right, left + right)
        if not left or not right or " " in right:
            refuse_merge(vocabulary, i, "two tokens with one space between")
        for name in names:
            if name not in known:
                refuse_merge(vocabulary, i, f"tokens of the vocabulary (it has no {name[:60]!a})")
        if all(name in ids for name in names):
            usable.append((left, right))
    return usable
