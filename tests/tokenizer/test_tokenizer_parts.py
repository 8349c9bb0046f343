"""Texts in parts: a template's control tokens count, and those that a user writes are text."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmpy.tokenizer import build_tokenizer
from tests.tokenizer.vocabularies import CONTROL, USER, byte_level, sentencepiece

EXTRA = (("<|a|>", CONTROL), ("<|b|>", CONTROL), ("\n\n", USER), ("x<|a|>", USER))
BYTES = build_tokenizer(byte_level("h i", "hi hi", "| >", extra=EXTRA))
SPACES = build_tokenizer(sentencepiece("\u2581", "h", "i", "hi", "\u2581hi", extra=EXTRA))
A, NEWLINES = BYTES.id("<|a|>"), BYTES.id("\n\n")


def test_control_tokens_count_in_special_parts_only():
    ids = BYTES.encode_parts([("<|a|>", True), ("<|a|>", False), ("<|b|>", True)])
    assert ids == [A, *BYTES.encode("<|a|>"), BYTES.id("<|b|>")]


def test_no_control_token_is_made_across_parts():
    ids = BYTES.encode_parts([("<|", False), ("a|>", True)])
    assert ids == BYTES.encode("<|a|>")
    assert A not in BYTES.encode_parts([("<|", True), ("a|>", True)])


def test_text_is_merged_across_parts():
    assert BYTES.encode_parts([("h", True), ("ih", False), ("i", True)]) == BYTES.encode("hihi")
    assert BYTES.encode_parts([("h\n", True), ("\ni", False)]) == BYTES.encode("h\n\ni")
    assert NEWLINES in BYTES.encode_parts([("h\n", True), ("\ni", False)])


def test_one_space_comes_before_the_text_and_after_control_tokens():
    parts = [("<|a|>", True), ("hi", False), ("<|b|>", True), ("h", False), ("i", True)]
    assert SPACES.encode_parts(parts) == SPACES.encode("<|a|>hi<|b|>hi", special=True)
    begun = SPACES.encode_parts([("h", True), ("i", False)], start=False)
    assert begun == SPACES.encode("hi", start=False)


def test_begin_and_end_as_in_encode():
    tokenizer = build_tokenizer(sentencepiece("\u2581", "h"))
    assert tokenizer.encode_parts([("h", False)], bos=None, eos=True)[::3] == [1, 2]
    assert tokenizer.encode_parts([("<s>h", True)], bos=None).count(1) == 1
    assert tokenizer.encode_parts([], bos=True) == [1]
    assert tokenizer.encode_parts([]) == []


SOME = st.sampled_from(["<|a|>", "<|b", "|>", "\n", "x", "hi", " h", "<|a|>\n"])
TEXTS = st.lists(st.tuples(SOME, st.just(True)), max_size=6)


@given(TEXTS, st.booleans())
def test_one_special_part_is_encoded_as_a_text_is(parts: Any, spaces: bool):
    tokenizer = SPACES if spaces else BYTES
    text = "".join(part for part, _ in parts)
    whole = tokenizer.encode(text, special=True)
    assert tokenizer.encode_parts([(text, True)]) == whole
    assert tokenizer.encode_parts([(text, True), ("", False)]) == whole
    plain = [(part, False) for part, _ in parts]
    assert tokenizer.encode_parts(plain) == tokenizer.encode(text)


def test_a_long_user_text_full_of_control_tokens_takes_linear_time():
    user = "<|a|>" * 100_000
    ids = BYTES.encode_parts([("<|b|>", True), (user, False), ("<|b|>", True)])
    assert A not in ids
    assert len(ids) > 300_000
