"""Questions about texts: search a folder, and answer from the passages with citations."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from llmpy.chains.asking import Asking, stats_of
from llmpy.chains.flow import Sequential
from llmpy.chains.runner import Runner
from llmpy.chains.step import Run, Step, Steps
from llmpy.chains.store import Passage, Store
from llmpy.chains.template import Template

__all__ = ["Answer", "Cite", "Search", "ask"]

PROMPT = """\
{passages}

Answer this question in one or two sentences, from the passages above only: {question}"""
CITE = "Which passages is that answer from? Reply with a list of their numbers, in JSON."


@dataclass(frozen=True)
class Answer:
    """An answer and the passages that the model cites for it; `str` has both."""

    text: str
    citations: list[Passage]

    def __str__(self) -> str:
        places = [f"{one.source}:{one.line}" for one in self.citations]
        return "\n".join([self.text, *(f"[{i}] {place}" for i, place in enumerate(places, 1))])


@dataclass(frozen=True)
class Search(Step):
    """Find the passages of a folder's text files that are most similar to the query.

    `query` is a template. The folder's embeddings are kept in `store`, by default a file in the
    cache folder of the user, and are brought up to date first.
    """

    kind: ClassVar[str] = "search"
    folder: Any
    query: str = "{{question}}"
    k: int = 4
    store: str | None = None
    tokens: int = 200
    embedder: Any = None
    into: str = field(default="passages", kw_only=True)

    @property
    def needs(self) -> dict[str, Any]:
        return dict.fromkeys(Template(self.query).names, Any)

    @property
    def gives(self) -> Any:
        return list[Passage]

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        yield from ()
        embedder = run.embedder(self.embedder)
        path = self.store or _place(self.folder, embedder.saved.fingerprint(embedder.path))
        with Store(path, embedder, tokens=self.tokens, overlap=self.tokens // 8) as store:
            store.add_folder(self.folder, run.check)
            return store.search(Template(self.query).render(values), self.k)


@dataclass(frozen=True)
class Cite(Asking):
    """Answer a question from passages, and say which of them the answer is from.

    After the answer the model is asked for the numbers of the passages, and can write no other
    numbers. The value is an `Answer`.
    """

    kind: ClassVar[str] = "cite"
    read: str = "passages"
    into: str = field(default="answer", kw_only=True)

    @property
    def needs(self) -> dict[str, Any]:
        return {**super().needs, self.read: list[Passage]}

    @property
    def gives(self) -> Any:
        return Answer

    def work(self, run: Run, values: Mapping[str, Any]) -> Steps:
        question, system = self.texts(values)
        passages: list[Passage] = values[self.read]
        if not passages:
            return Answer("There are no passages to answer from.", [])
        parts = [f"[{i}] {one.text}" for i, one in enumerate(passages, 1)]
        prompt = PROMPT.format(passages="\n\n".join(parts), question=question)
        with run.model(self.model).chat(system, **self.sampling) as chat:
            yield from chat.say(prompt, **self.options(run))
            yield stats_of(chat)
            text = chat.messages[-1]["content"].strip()
            numbers = chat.parse(CITE, _numbers(len(passages)), progress=run.check)
        return Answer(text, [passages[i - 1] for i in sorted(set(numbers))])


def ask(
    folder: str | os.PathLike[str],
    question: str,
    *,
    runner: Runner,
    k: int = 4,
    store: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Answer:
    """Answer a question from the text files of a folder, with citations.

    The runner needs an `embedder`. `k`: how many passages the model is shown; `store`: the file for
    the folder's embeddings (default: in the user's cache). `options` are those of `Cite`.
    """
    search = Search(folder, k=k, store=None if store is None else os.fspath(store))
    found: Answer = runner.run(
        Sequential((search, Cite("{{question}}", **options))), question=question
    )
    return found


def _numbers(n: int) -> dict[str, Any]:
    """The schema of a list of numbers of passages."""
    number = {"type": "integer", "minimum": 1, "maximum": n}
    return {"type": "array", "items": number, "minItems": 1, "maxItems": n}


def _place(folder: Any, model: str) -> str:
    """The file for a folder's embeddings by a model."""
    import platformdirs

    named = f"{Path(folder).resolve()}\0{model}"
    path = Path(platformdirs.user_cache_dir("llmpy")) / "folders"
    path.mkdir(parents=True, exist_ok=True)
    return str(path / f"{hashlib.sha256(named.encode()).hexdigest()[:24]}.db")
