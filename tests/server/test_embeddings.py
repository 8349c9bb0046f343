"""/v1/embeddings."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from tests.server.conftest import Running, serving

PATH = "/v1/embeddings"
TEXTS = ["A dog barks.", "The stock market fell.", "A cat meows."]


@pytest.fixture(scope="module")
def encoder(minilm: Path) -> Iterator[Running]:
    with serving(f"minilm={minilm}") as running:
        yield running


def vectors(answer: Any) -> np.ndarray:
    return np.array([item["embedding"] for item in answer.json["data"]], np.float32)


def test_vectors_are_those_of_the_library(encoder: Running, minilm: Path) -> None:
    answer = encoder.post(PATH, {"model": "minilm", "input": TEXTS})
    with llmpy.load(minilm) as model:
        expected = model.embed(TEXTS)
        n_tokens = sum(len(model.tokenizer.encode(text, bos=None, eos=None)) for text in TEXTS)
    np.testing.assert_array_equal(vectors(answer), expected)
    assert answer.json["usage"] == {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    assert [item["index"] for item in answer.json["data"]] == [0, 1, 2]


def test_vectors_in_base64_are_the_same(encoder: Running) -> None:
    plain = vectors(encoder.post(PATH, {"input": TEXTS}))
    coded = encoder.post(PATH, {"input": TEXTS, "encoding_format": "base64"}).json["data"]
    for row, item in zip(plain, coded, strict=True):
        np.testing.assert_array_equal(
            row, np.frombuffer(base64.b64decode(item["embedding"]), "<f4")
        )


def test_one_text_and_token_ids_are_taken_too(encoder: Running, minilm: Path) -> None:
    ids = llmpy.load_tokenizer(minilm).encode(TEXTS[0], bos=None, eos=None)
    one = vectors(encoder.post(PATH, {"input": TEXTS[0]}))
    np.testing.assert_array_equal(one, vectors(encoder.post(PATH, {"input": ids})))
    np.testing.assert_array_equal(one, vectors(encoder.post(PATH, {"input": [ids]})))


def test_more_texts_than_are_read_at_a_time_keep_their_order(encoder: Running) -> None:
    many = [f"{TEXTS[i % 3]} {i}" for i in range(40)]
    found = vectors(encoder.post(PATH, {"input": many}))
    last = vectors(encoder.post(PATH, {"input": many[-1]}))
    np.testing.assert_array_equal(found[-1:], last)


def test_fewer_dimensions_are_the_first_ones(encoder: Running) -> None:
    whole = vectors(encoder.post(PATH, {"input": TEXTS}))
    short = vectors(encoder.post(PATH, {"input": TEXTS, "dimensions": 32}))
    expected = whole[:, :32] / np.linalg.norm(whole[:, :32], axis=1, keepdims=True)
    np.testing.assert_allclose(short, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": ["x", 5]}, "input[1]"),
        ({"input": [["x"]]}, "input[0][0]"),
        ({"input": [[-1]]}, "input"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "dimensions": 10**6}, "dimensions"),
        ({"input": "x", "encoding_format": "csv"}, "encoding_format"),
        ({}, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_is_refused(encoder: Running, more: Any, param: str | None) -> None:
    answer = encoder.post(PATH, more)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param


def test_a_model_of_vectors_does_not_chat(encoder: Running) -> None:
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    assert encoder.post("/v1/chat/completions", asked).status == 400
    assert encoder.post("/v1/completions", {"prompt": "Hi"}).status == 400
    assert encoder.post(PATH, {"input": "Hi"}).status == 200


def test_a_decoder_gives_vectors_too(server: Running) -> None:
    assert vectors(server.post(PATH, {"input": TEXTS})).shape == (3, 64)
