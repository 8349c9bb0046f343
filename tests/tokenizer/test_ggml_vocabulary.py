"""Vocabularies of old files: the merges that they left out, and what kind each token is."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import llmpy
from llmpy.format import open_gguf
from llmpy.tokenizer import Kind, build_tokenizer
from llmpy.tokenizer.alphabet import CHARACTERS, from_characters
from llmpy.tokenizer.ggml import ggml_vocabulary, merges_of

TEXT = ["the cat sat on the mat, the hat", "a cat and another catalogue of cats", "äöü än ön"] * 9


def trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|endoftext|>", "<|padding|>"],
        initial_alphabet=sorted(CHARACTERS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def raw(tokens: list[str]) -> list[bytes]:
    return [t.encode() if t.startswith("<|") else from_characters(t) for t in tokens]


def test_a_trained_vocabulary_encodes_as_before():
    tokenizer = trained()
    size = tokenizer.get_vocab_size()
    tokens = raw([tokenizer.id_to_token(i) for i in range(size)])
    ours = build_tokenizer(ggml_vocabulary("gptneox", tokens, None))
    for text in [*TEXT[:3], "unseen words ... über 123"]:
        assert ours.encode(text) == tokenizer.encode(text).ids
        assert ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize(
    ("name", "architecture"), [("gpt-2", "gpt2"), ("falcon", "falcon"), ("mpt", "mpt")]
)
def test_genuine_vocabularies_give_their_own_merges(shared_data, name, architecture):
    today = open_gguf(shared_data(f"vocab/ggml-vocab-{name}.gguf")).metadata
    texts, kinds = today["tokenizer.ggml.tokens"], today["tokenizer.ggml.token_type"]
    tokens = [
        b"" if t.startswith("[PAD") else from_characters(t) if k == Kind.NORMAL else t.encode()
        for t, k in zip(texts, kinds, strict=True)
    ]
    found = ggml_vocabulary(architecture, tokens, None)
    for key in ("merges", "tokens", "bos_token_id", "eos_token_id", "pre", "model"):
        assert found[f"tokenizer.ggml.{key}"] == today[f"tokenizer.ggml.{key}"], key
    ours = np.asarray(found["tokenizer.ggml.token_type"])
    padding = np.array([t.startswith("[PAD") for t in texts])
    np.testing.assert_array_equal(ours[~padding], kinds[~padding])
    assert (ours[padding] == Kind.UNUSED).all()


def test_llama_scores_that_are_missing_are_known(shared_data):
    path = shared_data("legacy/llama-vocab-ggjt-v1-20230330.bin")
    with llmpy.open_model(path, architecture="llama") as file:
        scores = file.metadata["tokenizer.ggml.scores"]
        texts = file.metadata["tokenizer.ggml.tokens"]
    tokens = [b"x" if i < 259 else t.replace("\u2581", " ").encode() for i, t in enumerate(texts)]
    found = ggml_vocabulary("llama", tokens, None)["tokenizer.ggml.scores"]
    np.testing.assert_array_equal(found, scores)


def test_merges_follow_the_order_of_tokens():
    tokens = [b"a", b"b", b"c", b"ab", b"bc", b"abc"]
    assert merges_of(tokens) == [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c")]
    tokens = [b"a", b"b", b"c", b"bc", b"ab", b"abc"]
    assert merges_of(tokens) == [(b"b", b"c"), (b"a", b"b"), (b"a", b"bc")]


@pytest.mark.parametrize("tokens", [[b"ab"], [b"a", b"ab", b"b"], [b"a", b"aaa"], [b"", b""]])
def test_tokens_that_no_earlier_ones_make_have_no_merge(tokens):
    assert merges_of(tokens) == []


def test_a_token_that_comes_twice_counts_once():
    assert merges_of([b"a", b"aa", b"aa"]) == [(b"a", b"a")]


def test_a_text_that_looks_like_a_control_token_is_none_if_merges_make_it():
    tokens = [b"<s>", b"<", b"/", b"s", b">", b"</", b"s>", b"</s>", b"<unk>"]
    found = ggml_vocabulary("bloom", tokens, None)
    kinds = list(found["tokenizer.ggml.token_type"])
    assert [kinds[0], *kinds[-2:]] == [Kind.CONTROL, Kind.NORMAL, Kind.CONTROL]
