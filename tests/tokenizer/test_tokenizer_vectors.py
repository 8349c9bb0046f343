"""Published vectors: for ten families, 46 texts each, every id must be the expected one."""

from __future__ import annotations

import pytest

from tests.tokenizer.vocabularies import NAMES

FAMILIES = sorted(name for name, path in NAMES.items() if path.startswith("vocab/"))


@pytest.fixture(params=FAMILIES)
def vectors(request, shared_data):
    path = shared_data(NAMES[request.param])
    texts = path.with_name(path.name + ".inp").read_bytes().decode()
    texts = texts.split("\n__ggml_vocab_test__\n")
    lines = path.with_name(path.name + ".out").read_text().split("\n")
    assert texts.pop() == lines.pop() == ""
    expected = [[int(number) for number in line.split()] for line in lines]
    return request.param, list(zip(texts, expected, strict=True))


def test_every_text_becomes_the_expected_ids(vectors, tokenizer_of):
    name, pairs = vectors
    tokenizer = tokenizer_of(name)
    wrong = [(text, tokenizer.encode(text)) for text, ids in pairs if tokenizer.encode(text) != ids]
    assert wrong == []
    assert len(pairs) == 46


def test_every_text_comes_back(vectors, tokenizer_of):
    name, pairs = vectors
    tokenizer = tokenizer_of(name)
    assert [tokenizer.decode(ids) for _, ids in pairs] == [text for text, _ in pairs]


def test_every_text_comes_back_one_token_at_a_time(vectors, tokenizer_of):
    name, pairs = vectors
    tokenizer = tokenizer_of(name)
    for text, ids in pairs:
        decoder = tokenizer.decoder()
        assert "".join([decoder(token) for token in ids]) + decoder.flush() == text
