"""/v1/rerank."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import llmpy
from tests.server.conftest import Running, serving
from tests.session import rerankers
from tests.session.rerankers import QUERY, TEXTS

PATH = "/v1/rerank"


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = next(iter(rerankers.CONFIGS))
    with np.load(rerankers.GOLDEN) as golden:
        about = json.loads(str(golden[f"{name}.about"]))
    folder = tmp_path_factory.mktemp("reranker")
    return rerankers.write(folder / name, name, about["config"], about["shapes"])


@pytest.fixture(scope="module")
def ranking(reranker: Path) -> Iterator[Running]:
    with serving(f"ranker={reranker}") as running:
        yield running


def test_texts_are_ordered_as_the_library_orders_them(ranking: Running, reranker: Path) -> None:
    answer = ranking.post(PATH, {"query": QUERY, "documents": TEXTS}).json
    with llmpy.load(reranker) as model:
        expected = [(one.index, one.score) for one in model.rank(QUERY, TEXTS)]
    assert [(r["index"], r["relevance_score"]) for r in answer["results"]] == expected
    assert answer["usage"]["prompt_tokens"] > len(TEXTS)


def test_the_best_come_alone_and_with_their_texts(ranking: Running) -> None:
    documents = [{"text": text} for text in TEXTS]
    asked = {"query": QUERY, "documents": documents, "top_n": 2, "return_documents": True}
    results = ranking.post(PATH, asked).json["results"]
    assert [r["document"]["text"] for r in results] == [TEXTS[r["index"]] for r in results]
    assert len(results) == 2


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": [5]}, "documents[0]"),
        ({"top_n": 0}, "top_n"),
        ({"query": None}, "query"),
        ({"documents": ["long " * 5000]}, "documents"),
    ],
    ids=str,
)
def test_a_wrong_field_is_refused(ranking: Running, more: dict[str, object], param: str) -> None:
    answer = ranking.post(PATH, {"query": QUERY, "documents": TEXTS, **more})
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


def test_a_model_that_ranks_nothing_says_so(server: Running) -> None:
    answer = server.post(PATH, {"query": "a", "documents": ["b"]})
    assert answer.status == 400
    assert "classifier" in answer.json["error"]["message"]
