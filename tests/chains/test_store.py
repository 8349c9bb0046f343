"""The vector store: the nearest passages, folders that change, files that are no stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import llmpy
from llmpy import chains
from llmpy.chains import Store

TEXTS = {
    "animals.txt": "Cats are small animals that catch mice.\n\nDogs guard houses and bark.",
    "sky.md": "# The sky\n\nThe moon goes around the earth in a month.",
    "deep/food.txt": "Bread is baked from flour, water and yeast.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def store(embedder: llmpy.Model, tmp_path: Path) -> Store:
    return Store(tmp_path / "store.db", embedder, tokens=12, overlap=0)


def test_the_most_similar_passage_comes_first(store: Store, folder: Path) -> None:
    assert store.add_folder(folder) == 3
    found = store.search("What do I need to make bread?")
    assert (found[0].source, found[0].line) == ("deep/food.txt", 1)
    assert found[0].text == TEXTS["deep/food.txt"]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_a_passage_knows_its_line(store: Store, folder: Path) -> None:
    store.add_folder(folder)
    assert store.search("barking dogs", 1)[0].line == 3
    assert store.search("the moon", 1)[0].line == 3


def test_scores_are_cosines_of_the_embeddings(store: Store, embedder: llmpy.Model) -> None:
    texts = [f"Number {i} is {'even' if i % 2 == 0 else 'odd'}." for i in range(50)]
    for i, text in enumerate(texts):
        store.add_text(text, f"{i}")
    query = "Which numbers are odd?"
    cosines = embedder.embed(texts) @ embedder.embed(query)[0]
    found = store.search(query, 10)
    best = np.argsort(-cosines)[:10]
    assert {one.source for one in found} == {str(i) for i in best}
    for one in found:
        assert one.score == pytest.approx(cosines[int(one.source)], abs=1e-5)


def test_only_what_has_changed_is_embedded_again(
    store: Store, folder: Path, embedder: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_folder(folder)
    n = len(store)
    calls: list[object] = []
    monkeypatch.setattr(store, "embedder", _Counting(embedder, calls))
    assert store.add_folder(folder) == 0
    assert calls == []
    (folder / "sky.md").write_text("The sun is a star.")
    assert store.add_folder(folder) == 1
    assert calls == [["The sun is a star."]]
    (folder / "animals.txt").unlink()
    assert store.add_folder(folder) == 1
    assert len(store) < n
    assert {one.source for one in store.search("cats", 100)} == {"sky.md", "deep/food.txt"}


class _Counting:
    """An embedder that notes what it embeds."""

    def __init__(self, model: llmpy.Model, calls: list[object]) -> None:
        self.tokenizer, self._model, self._calls = model.tokenizer, model, calls

    def embed(self, texts: object, **options: object) -> object:
        if isinstance(texts, list):
            self._calls.append(texts)
        return self._model.embed(texts, **options)  # type: ignore[arg-type]


def test_what_is_no_text_is_left_out(store: Store, folder: Path) -> None:
    (folder / "image.png").write_bytes(b"\x89PNG\0\0")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / ".hidden").write_text("secret")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    (folder / "empty.txt").write_text("")
    assert store.add_folder(folder) == 3


def test_a_store_is_there_after_a_restart(
    store: Store, folder: Path, embedder: llmpy.Model, tmp_path: Path
) -> None:
    store.add_folder(folder)
    n = len(store)
    store.close()
    with Store(tmp_path / "store.db", embedder, tokens=12, overlap=0) as again:
        assert len(again) == n
        assert again.search("moon", 1)[0].source == "sky.md"


def test_other_sizes_of_passages_empty_a_store(
    store: Store, folder: Path, embedder: llmpy.Model, tmp_path: Path
) -> None:
    store.add_folder(folder)
    store.close()
    with Store(tmp_path / "store.db", embedder, tokens=30, overlap=0) as again:
        assert len(again) == 0


def test_a_store_of_another_model_is_refused(
    store: Store, model: llmpy.Model, tmp_path: Path
) -> None:
    store.close()
    with pytest.raises(ValueError, match="the embeddings of this model, found those of another"):
        Store(tmp_path / "store.db", model)


def test_another_kind_of_file_is_refused(embedder: llmpy.Model, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database" * 100)
    with pytest.raises(ValueError, match=r"x\.db: expected a vector store"):
        Store(tmp_path / "x.db", embedder)


def test_a_folder_that_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"found none at .*nowhere"):
        store.add_folder(tmp_path / "nowhere")


def test_an_interrupted_update_leaves_the_store_whole(store: Store, folder: Path) -> None:
    checks = iter([None])
    with pytest.raises(StopIteration):
        store.add_folder(folder, lambda: next(checks))
    assert len(store.search("cats", 10)) == len(store)
    assert store.add_folder(folder) == 2


@pytest.mark.parametrize("k", [0, 1001])
def test_the_number_of_passages_is_checked(store: Store, k: int) -> None:
    with pytest.raises(ValueError, match="k: expected 1 to 1000"):
        store.search("a", k)


def test_an_answer_cites_passages_that_were_found(
    model: llmpy.Model, embedder: llmpy.Model, folder: Path, tmp_path: Path
) -> None:
    with chains.Runner(model, embedder=embedder) as runner:
        answer = chains.ask(
            folder, "What is bread made from?", runner=runner, k=2, store=tmp_path / "s.db",
            temperature=0.0, max_tokens=40,
        )  # fmt: skip
        search = chains.Search(folder, k=2, store=str(tmp_path / "s.db"))
        found = runner.run(search, question="What is bread made from?")
    assert answer.text
    assert answer.citations
    assert all(one in found for one in answer.citations)
    place = f"{answer.citations[0].source}:{answer.citations[0].line}"
    assert str(answer) == "\n".join(
        [answer.text, *str(answer).splitlines()[-len(answer.citations) :]]
    )
    assert f"[1] {place}" in str(answer)


def test_an_answer_from_nothing_says_so(runner: chains.Runner) -> None:
    answer = runner.run(chains.Cite("{{question}}"), question="Who?", passages=[])
    assert answer == chains.Answer("There are no passages to answer from.", [])
