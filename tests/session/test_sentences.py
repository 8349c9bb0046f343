"""all-MiniLM-L6-v2 gives the vectors of sentence-transformers; too long texts are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import llmpy
from llmpy.checkpoint.folder import Folder
from llmpy.checkpoint.sentences import text_vectors
from tests.session.sentences import GOLDEN, TEXTS

LONG = [5, 6, 7]  # of TEXTS


@pytest.fixture(scope="module")
def model(minilm: Path) -> Iterator[llmpy.Model]:
    with llmpy.load(minilm, n_threads=2) as loaded:
        yield loaded


def test_the_folder_says_pooling_and_length(model: llmpy.Model) -> None:
    assert model.metadata["bert.pooling_type"] == 1
    assert model.metadata["bert.max_sequence_length"] == 256


def test_vectors_are_those_of_sentence_transformers(model: llmpy.Model) -> None:
    with np.load(GOLDEN) as golden:
        expected, lengths = golden["vectors"], golden["lengths"].tolist()
    encode = model.tokenizer.encode
    assert [len(encode(text, bos=None, eos=None)) for text in TEXTS] == lengths
    np.testing.assert_allclose(model.embed(TEXTS, truncate=True), expected, atol=2e-6)


def test_texts_are_cut_as_sentence_transformers_does_and_that_is_said(model: llmpy.Model) -> None:
    with pytest.warns(RuntimeWarning, match=r"texts 5, 6, 7 have up to 602 tokens.* for 256 "):
        found = model.embed(TEXTS)
    np.testing.assert_array_equal(found, model.embed(TEXTS, truncate=True))


def test_without_cutting_a_longer_text_is_read_whole(model: llmpy.Model) -> None:
    whole, cut = (model.embed(TEXTS[6], truncate=t)[0] for t in (False, 256))
    assert whole @ cut < 0.999
    with pytest.raises(llmpy.ContextFull, match=r"text 7 has 602 tokens; .* never .* 512"):
        model.embed(TEXTS, truncate=False)


def test_a_cut_text_keeps_the_closing_token(model: llmpy.Model) -> None:
    ids = model.tokenizer.encode(TEXTS[2], bos=None, eos=None)
    kept = [*ids[:9], ids[-1]]
    np.testing.assert_array_equal(model.embed(TEXTS[2], truncate=10), model.embed([kept]))
    np.testing.assert_array_equal(model.embed([ids], truncate=10), model.embed([ids[:10]]))


@pytest.mark.parametrize("truncate", [0, -1])
def test_a_length_to_cut_to_is_positive(model: llmpy.Model, truncate: int) -> None:
    with pytest.raises(ValueError, match="truncate: expected a positive whole number"):
        model.embed("a", truncate=truncate)


def test_an_encoder_has_no_logits(model: llmpy.Model) -> None:
    with pytest.raises(llmpy.UnsupportedModelError, match=r"'bert', an encoder.*Model\.embed"):
        next(model.logits([1, 2, 3]))


@pytest.fixture
def folder(tmp_path: Path, minilm: Path) -> Path:
    """The small files of MiniLM, to be changed."""
    for name in ("modules.json", "sentence_bert_config.json", "tokenizer_config.json"):
        shutil.copy(minilm / name, tmp_path / name)
    shutil.copytree(minilm / "1_Pooling", tmp_path / "1_Pooling")
    return tmp_path


def test_the_folder_of_the_pooling_is_that_of_its_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "pool"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").rename(folder / "pool")
    (folder / "pool" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    found = text_vectors(Folder(folder), "bert")
    assert found == {"bert.pooling_type": 2, "bert.max_sequence_length": 256}


def test_a_module_that_is_not_known_is_named(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(llmpy.UnsupportedModelError, match=r"models\.Dense"):
        text_vectors(Folder(folder), "bert")


def test_without_a_told_length_that_of_the_tokenizer_counts(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text("{}")
    assert text_vectors(Folder(folder), "bert")["bert.max_sequence_length"] == 512
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    assert "bert.max_sequence_length" not in text_vectors(Folder(folder), "bert")


@pytest.mark.parametrize("length", [0, -5, "many", 1.5, True])
def test_a_length_that_is_none_is_refused(folder: Path, length: object) -> None:
    content = json.dumps({"max_seq_length": length})
    (folder / "sentence_bert_config.json").write_text(content)
    with pytest.raises(llmpy.ModelFileError, match="max_seq_length"):
        text_vectors(Folder(folder), "bert")


def test_lowercasing_needs_a_tokenizer_that_does_it(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    with pytest.raises(llmpy.UnsupportedModelError, match="do_lower_case"):
        text_vectors(Folder(folder), "bert")
    (folder / "tokenizer.json").write_text('{"normalizer": {"lowercase": true}}')
    assert text_vectors(Folder(folder), "bert")["bert.max_sequence_length"] == 512
