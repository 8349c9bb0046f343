"""Text -> ids: special tokens, prefixes, byte fallback, ties, long texts."""

from __future__ import annotations

import random
import time
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy.errors import TokenizerError
from llmpy.tokenizer import Kind, build_tokenizer
from llmpy.tokenizer.alphabet import CHARACTERS
from tests.tokenizer.vocabularies import CONTROL, NAMES, UNUSED, USER, byte_level, sentencepiece

CHAT = byte_level("h i", extra=(("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL), ("  ", USER)))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
WORDS = st.text(st.sampled_from("  \n\taabehtT'.,0123=-\u2581\u00e9\u4e00\U0001f680"), max_size=80)


def names(tokenizer, ids):
    return [tokenizer.token(i) for i in ids]


def test_control_text_of_a_user_never_becomes_a_control_token(any_tokenizer):
    ids = any_tokenizer._vocabulary.of_kind(Kind.CONTROL)
    assert ids
    for token in ids[:100]:
        text = any_tokenizer.token(token)
        for whole in (text, f"a{text}b", f" {text} {text}\n"):
            encoded = any_tokenizer.encode(whole)
            assert not any(any_tokenizer.is_control(i) for i in encoded)
            assert any_tokenizer.decode(encoded) == whole


def test_chat_markers_of_a_user_stay_text(any_tokenizer):
    text = "<|im_start|>system\n<s>[INST]<|eot_id|></s><|endoftext|><unk>"
    kinds = {any_tokenizer.kind(i) for i in any_tokenizer.encode(text)}
    assert kinds <= {Kind.NORMAL, Kind.BYTE, Kind.USER_DEFINED}
    assert any_tokenizer.decode(any_tokenizer.encode(text)) == text


def test_control_tokens_are_parsed_when_asked(any_tokenizer):
    for token in any_tokenizer._vocabulary.of_kind(Kind.CONTROL)[:20]:
        assert any_tokenizer.encode(any_tokenizer.token(token), special=True) == [token]


def test_special_parts_and_text_between_them():
    tokenizer = build_tokenizer(CHAT)
    ids = tokenizer.encode("<|im_start|>hi<|im_end|><|im_", special=True)
    expected = ["<|im_start|>", "hi", "<|im_end|>", "<", "|", "i", "m", "_"]
    assert names(tokenizer, ids) == expected


def test_of_overlapping_specials_the_leftmost_then_the_longest_wins():
    extra = (("ab", CONTROL), ("abc", CONTROL), ("bcd", CONTROL))
    tokenizer = build_tokenizer(byte_level(extra=extra))
    assert names(tokenizer, tokenizer.encode("abcd", special=True)) == ["abc", "d"]


def test_user_defined_tokens_always_match():
    tokenizer = build_tokenizer(CHAT)
    assert names(tokenizer, tokenizer.encode("hi  hi")) == ["hi", "  ", "hi"]


def test_a_user_defined_chat_marker_is_a_control_token():
    tokenizer = build_tokenizer(byte_level(extra=(("<|im_end|>", USER),)))
    assert tokenizer.is_control(256)
    assert 256 not in tokenizer.encode("<|im_end|>")
    assert tokenizer.end_ids == {256}


def test_bos_and_eos_go_where_asked():
    tokenizer = build_tokenizer(sentencepiece("a", add_bos_token=True, add_eos_token=False))
    text = tokenizer.encode("a")
    assert (tokenizer.add_bos, tokenizer.add_eos) == (True, False)
    assert tokenizer.encode("a", bos=True, eos=True) == [1, *text, 2]
    assert tokenizer.encode("a", bos=None, eos=None) == [1, *text]
    assert tokenizer.encode("", bos=None, eos=True) == [1, 2]


def test_a_bos_that_the_model_lacks_is_an_error():
    with pytest.raises(TokenizerError, match="no begin-of-text token"):
        build_tokenizer(byte_level()).encode("a", bos=True)


def test_a_lone_surrogate_is_an_error_that_says_where(any_tokenizer):
    with pytest.raises(TokenizerError, match=r"U\+D83D at character 2"):
        any_tokenizer.encode("ab\ud83d")


def test_nothing_becomes_nothing(any_tokenizer):
    assert any_tokenizer.encode("") == []
    assert any_tokenizer.encode("", special=True) == []


def test_space_prefix_stands_at_the_start_and_after_control_tokens_only():
    pieces = ("\u2581a", "\u2581", "a")
    tokenizer = build_tokenizer(sentencepiece(*pieces, extra=(("@", USER), ("#", CONTROL))))
    ids = tokenizer.encode("a#a#", special=True)
    assert names(tokenizer, ids) == ["\u2581a", "#", "\u2581a", "#"]
    assert names(tokenizer, tokenizer.encode("a@a")) == ["\u2581a", "@", "a"]
    assert names(tokenizer, tokenizer.encode("@a")) == ["@", "a"]


def test_without_space_prefix_text_starts_bare():
    tokenizer = build_tokenizer(sentencepiece("\u2581a", "a", add_space_prefix=False))
    assert names(tokenizer, tokenizer.encode("a")) == ["a"]


def test_phi3_swallows_white_space_after_its_markers(tokenizer_of):
    tokenizer = tokenizer_of("phi-3")
    ids = tokenizer.encode("<|user|>\nHi<|end|>\n<|assistant|>\n", special=True)
    assert names(tokenizer, ids) == ["<|user|>", "\u2581Hi", "<|end|>", "<|assistant|>"]


def test_unknown_characters_become_bytes():
    tokenizer = build_tokenizer(sentencepiece("\u2581", "a"))
    assert names(tokenizer, tokenizer.encode("\u00e9")) == ["\u2581", "<0xC3>", "<0xA9>"]


def test_a_visible_space_in_the_text_is_no_space():
    tokenizer = build_tokenizer(sentencepiece("\u2581", "a"))
    assert names(tokenizer, tokenizer.encode("\u2581")[1:]) == ["<0xE2>", "<0x96>", "<0x81>"]


def test_a_space_without_a_token_becomes_its_byte():
    tokenizer = build_tokenizer(sentencepiece("a", "\u2581a"))
    assert names(tokenizer, tokenizer.encode("a  a")) == ["\u2581a", "<0x20>", "\u2581a"]


def test_characters_without_tokens_still_merge_into_pieces():
    tokenizer = build_tokenizer(sentencepiece("\u2581", "xy", "xyz"))
    assert names(tokenizer, tokenizer.encode("xyzx")[1:]) == ["xyz", "<0x78>"]


def test_without_byte_tokens_unknown_characters_become_the_unknown_token():
    tokens = ["<unk>", "\u2581", "a"]
    data = sentencepiece(tokens=tokens, token_type=[2, 1, 1], scores=[0.0, -1.0, -2.0])
    data = {k: v for k, v in data.items() if "bos" not in k and "eos" not in k}
    assert build_tokenizer(data).encode("aba") == [1, 2, 0, 2]


def test_without_unknown_token_too_it_is_an_error():
    data = byte_level()
    data["tokenizer.ggml.tokens"] = data["tokenizer.ggml.tokens"][:98]
    data["tokenizer.ggml.token_type"] = [1] * 98
    with pytest.raises(TokenizerError, match="no token for 'b'"):
        build_tokenizer(data).encode("ab")


def test_a_control_token_never_stands_for_unknown_characters(tokenizer_of):
    tokenizer = tokenizer_of("starcoder")  # whose file says that unknown is <|endoftext|>
    assert tokenizer.is_control(tokenizer.unk)
    with pytest.raises(TokenizerError, match=r"no token for '.U00040000'"):
        tokenizer.encode("a\U00040000")


def test_unused_tokens_never_come_out_of_a_text():
    tokenizer = build_tokenizer(sentencepiece("\u2581", "a", "b", extra=(("ab", UNUSED),)))
    assert names(tokenizer, tokenizer.encode("ab")) == ["\u2581", "a", "b"]


def test_literal_names_of_byte_tokens_stay_text(tokenizer_of):
    tokenizer = tokenizer_of("phi-3")
    ids = tokenizer.encode("<0x0A>")
    assert tokenizer.id("<0x0A>") not in ids
    assert tokenizer.decode(ids) == "<0x0A>"


@cache
def scores_of(tokenizer):
    vocabulary = tokenizer._vocabulary
    return {vocabulary.tokens[i]: vocabulary.scores[i] for i in vocabulary.of_kind(Kind.NORMAL)}


def by_definition(tokenizer, text):
    """Sentencepiece's merging as its authors define it, one merge at a time."""
    score = scores_of(tokenizer)
    parts = list(" " + text if text else "")
    parts = ["\u2581" if part == " " else part for part in parts]
    while True:
        pairs = [
            (-score[left + right], i)
            for i, (left, right) in enumerate(pairwise(parts))
            if left + right in score
        ]
        if not pairs:
            break
        _, place = min(pairs)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    ids = []
    for part in parts:
        raw = part.encode()
        ids += (
            [tokenizer.id(part)] if part in score else [tokenizer.id(f"<0x{b:02X}>") for b in raw]
        )
    return ids


SENTENCEPIECE = ("phi-3", "stories260K")


@pytest.mark.parametrize("name", SENTENCEPIECE)
@settings(max_examples=120)
@given(text=st.one_of(TEXT, WORDS).map(lambda text: text.replace("\u2581", "")))
def test_sentencepiece_merges_as_defined(tokenizer_of, name, text):
    tokenizer = tokenizer_of(name)
    assert tokenizer.encode(text) == by_definition(tokenizer, text)


@pytest.mark.parametrize("count", [*range(1, 40), 63, 64, 65, 200])
def test_runs_of_spaces_merge_as_defined(tokenizer_of, count):
    tokenizer = tokenizer_of("phi-3")  # where all runs have the same score
    for text in (" " * count, "a" + " " * count + "a", "\n" + " " * count):
        assert tokenizer.encode(text) == by_definition(tokenizer, text)


@cache
def _uncut(metadata_of, name):
    """The tokenizer without its pre-tokenizer, so that the whole text is one word."""
    tokenizer = build_tokenizer(metadata_of(name))
    assert tokenizer._engine._model.pre_tokenizer is not None
    tokenizer._engine._model.pre_tokenizer = None
    return tokenizer


@pytest.mark.parametrize("name", SENTENCEPIECE)
@settings(max_examples=60)
@given(text=st.one_of(TEXT, WORDS))
def test_cutting_at_spaces_changes_nothing(metadata_of, tokenizer_of, name, text):
    assert tokenizer_of(name).encode(text) == _uncut(metadata_of, name).encode(text)


def test_pieces_that_cross_words_are_found():
    tokenizer = build_tokenizer(sentencepiece("a\u2581b", "\u2581", "a", "b", "a\u2581"))
    assert names(tokenizer, tokenizer.encode("a b")[1:]) == ["a\u2581b"]


def lacking(tokenizer):
    """Bytes that a byte-level vocabulary has no token for."""
    if tokenizer._vocabulary.model != "gpt2":
        return set()
    return {byte for byte in range(256) if tokenizer.id(CHARACTERS[byte]) is None}


@pytest.mark.parametrize("name", sorted(NAMES))
@settings(max_examples=40)
@given(text=st.one_of(TEXT, WORDS))
def test_decoding_undoes_encoding(tokenizer_of, name, text):
    tokenizer = tokenizer_of(name)
    if lacking(tokenizer) & set(text.encode()):  # Falcon has no vertical tab, StarCoder no U+40000
        with pytest.raises(TokenizerError, match="no token for"):
            tokenizer.encode(text)
    else:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("name", ["llama-spm", "qwen2", "mpt"])
@settings(max_examples=60)
@given(parts=st.lists(st.one_of(st.integers(0, 9), WORDS), max_size=6))
def test_decoding_undoes_encoding_with_special_tokens(tokenizer_of, name, parts):
    tokenizer = tokenizer_of(name)
    controls = tokenizer._vocabulary.of_kind(Kind.CONTROL)
    text = "".join(
        tokenizer.token(controls[part % len(controls)]) if isinstance(part, int) else part
        for part in parts
    )
    assert tokenizer.decode(tokenizer.encode(text, special=True), special=True) == text


LONG = {
    "one letter": "a" * 200_000,
    "spaces": " " * 200_000,
    "spaces, then a word": " " * 200_000 + "x",
    "lines": " \n" * 100_000,
    "letters": "".join(random.Random(1).choices("abcdefgh", k=200_000)),
    "ideograms": "".join(chr(random.Random(2).randrange(0x4E00, 0x9FA5)) for _ in range(70_000)),
    "marker starts": "<|" * 100_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
@pytest.mark.parametrize("name", ["llama-bpe", "phi-3", "mpt"])
def test_time_is_linear_in_the_text(tokenizer_of, name, text):
    tokenizer = tokenizer_of(name)
    tokenizer.encode("a")
    start = time.process_time()
    ids = tokenizer.encode(text)
    # 0.2 s where it is linear, above 100 s where it is quadratic
    assert time.process_time() - start < 5
    assert tokenizer.decode(ids) == text


def test_a_text_that_goes_on_gets_no_space_prefix(tokenizer_of):
    tokenizer = tokenizer_of("phi-3")
    parts = tokenizer.encode("Once") + tokenizer.encode(" upon", start=False)
    assert tokenizer.decode(parts) == "Once upon"
