"""Filling a gap in a text, by models with the tokens for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llmpy
from llmpy.format import open_gguf, write_gguf
from tests.session.conftest import STORIES

PRE, SUF, MID = 300, 301, 302


@pytest.fixture(scope="module", params=["fim_{}_token_id", "{}_token_id"])
def filler(
    request: pytest.FixtureRequest,
    shared_data: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[llmpy.Model]:
    """stories260K, told that some of its tokens stand around gaps, by newer keys or older ones."""
    key: str = request.param
    long = {"pre": "prefix", "suf": "suffix", "mid": "middle"} if key[0] == "{" else {}
    path = tmp_path_factory.mktemp("infill") / "model.gguf"
    with open_gguf(shared_data(STORIES)) as file:
        metadata = dict(file.metadata)
        for part, token in (("pre", PRE), ("suf", SUF), ("mid", MID)):
            metadata["tokenizer.ggml." + key.format(long.get(part, part))] = token
        tensors = [(n, i.dtype, i.shape, file.data(n)) for n, i in file.tensors.items()]
        write_gguf(path, metadata, tensors)
    with llmpy.load(path, n_threads=1) as model:
        yield model


def test_prefix_suffix_and_middle_stand_in_their_order(filler: llmpy.Model) -> None:
    tokenizer = filler.tokenizer
    with filler.session(sampler="greedy") as session:
        text = session.infill("Once upon", " there was a cat", max_tokens=8)
        expected = [
            *tokenizer.encode("", bos=True),
            PRE,
            *tokenizer.encode("Once upon"),
            SUF,
            *tokenizer.encode(" there was a cat", start=False),
            MID,
        ]
        assert session.tokens[: len(expected)] == expected
        assert text == tokenizer.decode(session.tokens)[len(tokenizer.decode(expected)) :]
        assert text


def test_the_callback_sees_the_pieces(filler: llmpy.Model) -> None:
    pieces: list[llmpy.Piece] = []
    with filler.session(sampler="greedy") as session:
        text = session.infill("Once", " cat", pieces.append, max_tokens=6)
    assert "".join(piece.text for piece in pieces if piece.kind != "prompt") == text


def test_a_second_gap_has_no_second_beginning(filler: llmpy.Model) -> None:
    with filler.session(sampler="greedy") as session:
        session.infill("Once", " cat", max_tokens=2)
        session.infill("Once", " cat", max_tokens=2)
        assert session.tokens.count(filler.tokenizer.bos or -1) == 1


def test_a_model_without_the_tokens_says_so(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        with pytest.raises(llmpy.UnsupportedModelError, match="trained to fill in the middle"):
            session.infill("a", "b")
        assert len(session) == 0


@pytest.mark.parametrize(("prefix", "suffix"), [(1, "a"), ("a", None)])
def test_what_is_no_text_is_refused(filler: llmpy.Model, prefix: object, suffix: object) -> None:
    with filler.session() as session, pytest.raises(TypeError, match="expected a string"):
        session.infill(prefix, suffix)  # type: ignore[arg-type]
