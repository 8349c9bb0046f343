"""Rerankers: texts scored for a query as the original implementations score them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import llmpy
from llmpy.session.ranking import pairs_of
from tests.session import rerankers
from tests.session.rerankers import QUERY, TEXTS

NAMES = list(rerankers.CONFIGS)
Load = Callable[..., llmpy.Model]


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    with np.load(rerankers.GOLDEN) as found:
        return dict(found)


@pytest.fixture(scope="module")
def loaded(
    golden: dict[str, NDArray[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Load]:
    """`loaded(name, **options)`: a tiny reranker."""
    folder, models = tmp_path_factory.mktemp("rerankers"), list[llmpy.Model]()

    def find(name: str, **options: Any) -> llmpy.Model:
        about = json.loads(str(golden[f"{name}.about"]))
        path = rerankers.write(folder / name, name, about["config"], about["shapes"])
        models.append(llmpy.load(path, n_threads=2, **options))
        return models[-1]

    yield find
    for model in models:
        model.close()


def scores(found: list[llmpy.Ranked]) -> list[float]:
    return [r.score for r in sorted(found, key=lambda r: r.index)]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_transformers(
    name: str, backend: str, loaded: Load, golden: dict[str, NDArray[Any]]
) -> None:
    model = loaded(name, backend=backend, kv_dtype="f32")
    expected = golden[f"{name}.scores"][:, 0]
    found = scores(model.rank(QUERY, TEXTS, normalize=False))
    np.testing.assert_allclose(found, expected, atol=2e-3 if backend == "cpu" else 2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_pairs_are_read_as_transformers_reads_them(
    name: str, loaded: Load, golden: dict[str, NDArray[Any]]
) -> None:
    model = loaded(name, backend="reference")
    ids = pairs_of(model, QUERY, TEXTS, False, False)
    assert ids == [golden[f"{name}.ids.{i}"].tolist() for i in range(len(TEXTS))]


def test_tokens_of_the_second_text_have_a_type_of_their_own(
    loaded: Load, golden: dict[str, NDArray[Any]]
) -> None:
    model = loaded("bert", backend="reference")
    n = model.graph.shapes["token_embd.weight"][0]
    for i, ids in enumerate(pairs_of(model, QUERY, TEXTS, True, False)):
        assert [token // n for token in ids] == golden[f"bert.types.{i}"].tolist()


@pytest.mark.parametrize("name", ["bert", "qwen3"])
def test_the_best_comes_first_whatever_is_beside_it(name: str, loaded: Load) -> None:
    model = loaded(name, backend="cpu")
    found = model.rank(QUERY, TEXTS)
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
    assert len({r.score for r in found}) == len(TEXTS)
    alone = [model.rank(QUERY, [text])[0].score for text in TEXTS]
    assert scores(found) == alone
    assert model.rank(QUERY, []) == []


def test_scores_are_normalized_by_the_logistic_function(loaded: Load) -> None:
    model = loaded("bert", backend="reference")
    raw = np.array(scores(model.rank(QUERY, TEXTS, normalize=False)))
    np.testing.assert_allclose(scores(model.rank(QUERY, TEXTS)), 1 / (1 + np.exp(-raw)))


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_long_texts_are_refused_or_cut(name: str, loaded: Load) -> None:
    model = loaded(name, backend="reference")
    long = "crab " * 200
    with pytest.raises(llmpy.ContextFull, match="text 1 has"):
        model.rank(QUERY, ["crab", long])
    found = model.rank(QUERY, ["crab", long], truncate=True)
    assert {r.index for r in found} == {0, 1}
    ids = pairs_of(model, QUERY, [long], False, True)[0]
    assert len(ids) == model.n_ctx
    assert ids[-1] == model.tokenizer.eos


def test_a_model_without_a_head_cannot_rank(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("weights/stories260K/stories260K.gguf")
    with (
        llmpy.load(path) as model,
        pytest.raises(llmpy.UnsupportedModelError, match=r"tensors cls\.\*.*embed"),
    ):
        model.rank(QUERY, TEXTS)


def test_several_labels_are_no_score(golden: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    about = json.loads(str(golden["bert.about"]))
    shapes = {**about["shapes"], "classifier.weight": [3, 64], "classifier.bias": [3]}
    labels = {"0": "contradiction", "1": "entailment", "2": "neutral"}
    config = {**about["config"], "id2label": labels}
    path = rerankers.write(tmp_path / "nli", "bert", config, shapes)
    with (
        llmpy.load(path, backend="reference") as model,
        pytest.raises(llmpy.UnsupportedModelError, match=r"one label, or yes and no.*entail"),
    ):
        model.rank(QUERY, TEXTS)


def test_a_head_that_does_not_fit_is_refused(
    golden: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    about = json.loads(str(golden["bert.about"]))
    shapes = {**about["shapes"], "classifier.weight": [1, 63]}
    path = rerankers.write(tmp_path / "odd", "bert", about["config"], shapes)
    with pytest.raises(llmpy.ModelFileError, match=r"tensors cls\.\*"):
        llmpy.load(path, backend="reference")


def test_a_converted_reranker_scores_the_same(
    loaded: Load, golden: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    about = json.loads(str(golden["modernbert.about"]))
    path = rerankers.write(tmp_path / "m", "modernbert", about["config"], about["shapes"])
    llmpy.convert(path, tmp_path / "m.gguf", type="f32")
    with llmpy.load(tmp_path / "m.gguf", backend="reference") as model:
        expected = loaded("modernbert", backend="reference").rank(QUERY, TEXTS)
        assert model.rank(QUERY, TEXTS) == expected


def test_wrong_arguments_are_named(loaded: Load) -> None:
    model = loaded("bert", backend="reference")
    for query, texts, message in [
        (5, [], "query"),
        ("a", "b", "texts"),
        ("a", [5], "texts: text 0"),
    ]:
        with pytest.raises(TypeError, match=f"^{message}"):
            model.rank(query, texts)  # type: ignore[arg-type]
