"""Metadata -> tokenizer: what is filled in, what is refused, and by which name."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex

from llmpy.errors import LlmpyError, ModelFileError, UnsupportedModelError
from llmpy.tokenizer import Kind, build_tokenizer
from llmpy.tokenizer.alphabet import CHARACTERS, from_characters, to_characters
from llmpy.tokenizer.pretokenizers import FAMILIES
from tests.tokenizer.vocabularies import CONTROL, NORMAL, USER, byte_level, keys, sentencepiece

N = 261  # tokens of sentencepiece("a", "b")


def refused(**values):
    """The error for a small sentencepiece vocabulary with these keys changed."""
    with pytest.raises(ModelFileError) as caught:
        build_tokenizer(sentencepiece("a", "b") | _set(values))
    return caught.value


def refused_bytes(*merges, **values):
    """The error for a small byte-level vocabulary with these keys changed."""
    with pytest.raises(ModelFileError) as caught:
        build_tokenizer(byte_level(*merges) | _set(values))
    return caught.value


def _set(values):
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()}


WRONG = {
    "no model": ({"model": ""}, "model"),
    "model no string": ({"model": 3}, "model"),
    "no tokens": ({"tokens": []}, "tokens"),
    "tokens no array": ({"tokens": "abc"}, "tokens"),
    "a token no string": ({"tokens": ["a"] * 260 + [7]}, "tokens[260]"),
    "a token of bytes": ({"tokens": [b"a"] * N}, "tokens[0]"),
    "too few scores": ({"scores": [0.0] * (N - 1)}, "scores"),
    "too many scores": ({"scores": np.zeros(N + 1, np.float32)}, "scores"),
    "scores not numbers": ({"scores": ["x"] * N}, "scores"),
    "scores nested": ({"scores": [[0.0]] * N}, "scores"),
    "scores ragged": ({"scores": [[0.0], 1.0] + [0.0] * (N - 2)}, "scores"),
    "a score NaN": ({"scores": [0.0] * 7 + [float("nan")] * (N - 7)}, "scores[7]"),
    "scores a number": ({"scores": 1.0}, "scores"),
    "too few types": ({"token_type": [1]}, "token_type"),
    "a type unknown": ({"token_type": [1] * (N - 1) + [7]}, "token_type[260]"),
    "a type negative": ({"token_type": np.full(N, -1, np.int32)}, "token_type[0]"),
    "types fractions": ({"token_type": [1.5] * N}, "token_type"),
    "types too large": ({"token_type": [2**70] * N}, "token_type"),
    "bos beyond": ({"bos_token_id": N}, "bos_token_id"),
    "bos negative": ({"bos_token_id": -2}, "bos_token_id"),
    "eos beyond": ({"eos_token_id": 2**31}, "eos_token_id"),
    "eos no number": ({"eos_token_id": "2"}, "eos_token_id"),
    "unk a bool": ({"unknown_token_id": True}, "unknown_token_id"),
    "eot beyond": ({"eot_token_id": N}, "eot_token_id"),
    "eom beyond": ({"eom_token_id": N}, "eom_token_id"),
    "add_bos a number": ({"add_bos_token": 2}, "add_bos_token"),
    "prefix a string": ({"add_space_prefix": "yes"}, "add_space_prefix"),
}


@pytest.mark.parametrize(("values", "field"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_refused_by_name(values, field):
    assert refused(**values).field == f"tokenizer.ggml.{field}"


@pytest.mark.parametrize("key", ["model", "tokens", "scores"])
def test_what_is_missing_is_named(key):
    data = sentencepiece("a", **{key: None})
    with pytest.raises(ModelFileError, match=f"tokenizer.ggml.{key}: .*found nothing"):
        build_tokenizer(data)


def test_byte_level_needs_merges():
    with pytest.raises(ModelFileError, match=r"tokenizer\.ggml\.merges"):
        build_tokenizer(byte_level(merges=None))


@pytest.mark.parametrize(
    "merge", ["ab", "", " ", "a ", " b", "a b c", "a  b", "a z", "x y", "a \udcff", "a\n b"]
)
def test_a_merge_that_is_none_is_refused_by_place(merge):
    data = byte_level("a b")
    data["tokenizer.ggml.merges"] = ["a b", merge]
    with pytest.raises(ModelFileError) as caught:
        build_tokenizer(data)
    assert caught.value.field == "tokenizer.ggml.merges[1]"


def test_the_path_is_in_the_message(tmp_path):
    with pytest.raises(ModelFileError, match=r"model\.gguf: tokenizer\.ggml\.tokens"):
        build_tokenizer(sentencepiece("a", tokens=[]), tmp_path / "model.gguf")


def test_merges_of_renamed_user_tokens_count():
    data = byte_level("a b", extra=(("  ", USER),))
    data["tokenizer.ggml.merges"] = ["a b", "\u0120 \u0120"]
    tokenizer = build_tokenizer(data)
    assert tokenizer.encode("ab  ab") == [256, 257, 256]


def test_merges_into_control_tokens_are_dropped():
    data = byte_level("a b", extra=(("abc", CONTROL),))
    data["tokenizer.ggml.merges"] = ["a b", "ab c"]
    assert build_tokenizer(data).encode("abc") == [256, ord("c")]


def test_an_unknown_tokenizer_model_is_unsupported():
    with pytest.raises(
        UnsupportedModelError, match="one of llama, gpt2, t5, bert, rwkv, gemma4, found 'plamo2'"
    ):
        build_tokenizer(sentencepiece("a", model="plamo2"))


def test_an_unknown_pre_tokenizer_is_unsupported_and_known_ones_are_listed():
    with pytest.raises(UnsupportedModelError, match=r"one of .*llama-bpe.*qwen2.*'qwen9'"):
        build_tokenizer(byte_level(pre="qwen9"))


@pytest.mark.parametrize("pre", [None, "", "default"])
def test_no_pre_tokenizer_is_the_default_one(pre):
    assert "default" in repr(build_tokenizer(byte_level(pre=pre)))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_compiles_and_loses_nothing(name):
    tokenizer = build_tokenizer(byte_level("h e", "l l", pre=name))
    for text in (
        "Hello  world's 12345\n\n \t caf\u00e9!",
        "\u4e00\u3042\uac00 DON'T (a) _x_\r\n",
        "  ",
    ):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert all(Regex(pattern) for pattern in FAMILIES[name].patterns)


def cut(family, text):
    """The words that a family makes of a text."""
    tokenizer = build_tokenizer(byte_level(pre=family))
    words = tokenizer._engine._model.pre_tokenizer.pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in words]


# Families without published vectors at hand: what each cuts otherwise than its relatives.
CUTS = {
    "tekken": ("camelCase ABCdef 12", ["camel", "Case", " ABCdef", " ", "1", "2"]),
    "gpt-4o": ("camelCase I'll 1234", ["camel", "Case", " I'll", " ", "123", "4"]),
    "deepseek-v3": (
        "a\u4e00\u4e8cb 1234 _x",
        ["a", "\u4e00\u4e8c", "b", " ", "123", "4", " _", "x"],
    ),
    "command-r": ("ab 12", ["ab", " ", "1", "2"]),
    "olmo": ("ab 12's", ["ab", " 12", "'s"]),
    "bloom": ("a, b.c", ["a", ",", " b", ".", "c"]),
    "viking": ("ab 12", ["ab", " ", "1", "2"]),
    "dbrx": ("ab 1234\n\nc", ["ab", " ", "123", "4", "\n\n", "c"]),
    "qwen35": ("e\u0301a 12", ["e\u0301a", " ", "1", "2"]),
    "kimi-k2": ("ab\u4e00\u4e8ccd", ["ab", "\u4e00\u4e8c", "cd"]),
    "default": ("ab, 12345", ["ab", ",", " ", "123", "45"]),
}


@pytest.mark.parametrize(("family", "text", "words"), [(k, *v) for k, v in CUTS.items()])
def test_families_cut_as_published(family, text, words):
    assert cut(family, text) == words


def test_whole_words_skip_the_merges_only_where_the_family_says():
    data = byte_level("a b", extra=(("xyz", NORMAL),))
    assert build_tokenizer(data).encode("xyz") != [257]
    assert build_tokenizer(data | _set({"pre": "llama-bpe"})).encode("xyz") == [257]


def test_ids_that_mean_none_are_none():
    data = sentencepiece("a", bos_token_id=0xFFFFFFFF, eos_token_id=-1)
    tokenizer = build_tokenizer(data)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.add_bos) == (None, None, False)


def test_sentencepiece_has_the_ids_of_its_trainer_where_the_file_is_silent():
    data = sentencepiece("a", bos_token_id=None, eos_token_id=None, unknown_token_id=None)
    tokenizer = build_tokenizer(data)
    assert (tokenizer.unk, tokenizer.bos, tokenizer.eos) == (0, 1, 2)
    assert (tokenizer.add_bos, tokenizer.add_eos) == (True, False)


def test_byte_level_has_no_ids_where_the_file_is_silent():
    tokenizer = build_tokenizer(byte_level())
    assert (tokenizer.unk, tokenizer.bos, tokenizer.eos) == (None, None, None)
    assert tokenizer.end_ids == frozenset()


def test_llama3_begins_texts_where_the_file_is_silent(tokenizer_of):
    assert tokenizer_of("llama-bpe").add_bos
    assert not tokenizer_of("qwen2").add_bos


def test_without_types_bytes_and_ends_are_recognised():
    tokenizer = build_tokenizer(sentencepiece("a", "\u2581", token_type=None))
    kinds = [tokenizer.kind(i) for i in (0, 1, 2, 3, 259)]
    assert kinds == [Kind.UNKNOWN, Kind.CONTROL, Kind.CONTROL, Kind.BYTE, Kind.NORMAL]
    assert tokenizer.decode(tokenizer.encode("a\u00e9 ")) == "a\u00e9 "


ENDS = {
    "llama-bpe": {128001, 128009},
    "phi-3": {2, 32000, 32007},
    "qwen2": {151643, 151645},
    "llama-spm": {2},
    "deepseek-llm": {100001},
    "gpt-2": {50256},
}


@pytest.mark.parametrize(("name", "ids"), ENDS.items())
def test_end_ids_of_real_vocabularies(tokenizer_of, name, ids):
    assert tokenizer_of(name).end_ids == ids


def test_end_ids_that_only_the_file_names():
    data = byte_level("a b", extra=(("x1", CONTROL), ("x2", CONTROL)))
    data |= _set({"eos_token_id": 256, "eot_token_id": 257, "eom_token_id": 258})
    assert build_tokenizer(data).end_ids == {256, 257, 258}


def test_a_normal_token_that_reads_like_an_end_is_none():
    assert build_tokenizer(byte_level(extra=(("</s>", NORMAL),))).end_ids == frozenset()


def test_end_of_a_channel_is_no_end_of_the_reply():
    extra = (("<|return|>", CONTROL), ("<|call|>", CONTROL), ("<|end|>", CONTROL))
    assert build_tokenizer(byte_level(extra=extra)).end_ids == {256, 257}


def test_end_of_a_message_is_no_end_of_the_turn_where_that_has_a_token_of_its_own():
    both = (("<|eot|>", CONTROL), ("<|eom|>", CONTROL))
    assert build_tokenizer(byte_level(extra=both)).end_ids == {256}
    assert build_tokenizer(byte_level(extra=both[1:])).end_ids == {256}


def test_duplicates_and_empty_tokens_do_no_harm():
    tokenizer = build_tokenizer(sentencepiece("\u2581", "a", "a", "", "", "aa"))
    assert tokenizer.encode("aaa")[1:] == [264, 260]
    assert tokenizer.id("a") == 260
    assert tokenizer.decode([261, 262]) == "a"


def test_enormous_tokens_do_no_harm():
    extra = tuple(("x" * 1_000_000 + str(i), NORMAL) for i in range(5))
    start = time.process_time()
    tokenizer = build_tokenizer(sentencepiece("\u2581", "x", extra=extra))
    assert len(tokenizer.encode("x" * 100)) == 101
    assert time.process_time() - start < 5


def test_the_byte_alphabet_is_a_bijection():
    assert len(set(CHARACTERS)) == 256
    assert not any(character.isspace() for character in CHARACTERS)
    assert from_characters(to_characters(bytes(range(256)))) == bytes(range(256))
    assert to_characters(b" a\n") == "\u0120a\u010a"


KEYS = ("model", "pre", "tokens", "scores", "token_type", "merges", "add_bos_token", "eos_token_id")
KEYS += ("bos_token_id", "unknown_token_id", "eot_token_id", "add_eos_token", "add_space_prefix")


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        st.one_of(
            st.none(),
            st.integers(),
            st.floats(),
            st.booleans(),
            st.text(max_size=5),
            st.sampled_from(["llama", "gpt2", "qwen2"]),
            st.lists(st.text(st.characters(), max_size=4), max_size=8),
            st.lists(st.integers(-3, 9), min_size=N, max_size=N),
            st.lists(st.floats(width=32), min_size=N, max_size=N),
            st.lists(st.sampled_from(["a b", "b a", "ab a", "a", "", " "]), max_size=4),
        ),
    )
)
def test_whatever_the_metadata_says_only_our_errors_come(values):
    for base in (sentencepiece("a", "b"), byte_level("a b", "ab a", pre=None)):
        try:
            tokenizer = build_tokenizer(base | keys(**values))
            tokenizer.decode(tokenizer.encode("ab <s>\u00e9", special=True))
        except LlmpyError:
            pass
