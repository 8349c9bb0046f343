"""Nodes on texts: search in a folder, rank by meaning, split, dates."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from llmpy import chains
from llmpy.apps import dates as dating
from llmpy.apps.flow.graph import FlowError
from llmpy.apps.flow.kinds import Shown, node
from llmpy.apps.flow.nodes.models import Embedder, Model
from llmpy.apps.flow.types import Folder
from llmpy.apps.flow.work import Work

__all__ = ["dates", "rank", "search", "split"]

Number = Annotated[int, Shown(least=1, most=100)]


@node("Texts", icon="search", title="Search in folder", is_cached=False,
      outputs={"text": str, "passages": list[dict[str, Any]]})  # fmt: skip
def search(
    work: Work,
    query: str,
    folder: Folder,
    *,
    passages: Number = 4,
    tokens: Annotated[int, Shown(least=16, most=4000)] = 200,
    model: Embedder = "",
) -> dict[str, Any]:
    """The passages of a folder's texts that are most similar to the query."""
    place = work.allowed.place(folder)
    embedder = work.embedder(model)
    work.stage("reading the folder")
    step = chains.Search(str(place), "{{query}}", k=passages, tokens=tokens, embedder=embedder)
    found = work.step(step, query=query)
    text = "\n\n".join(f"[{one.source}:{one.line}]\n{one.text}" for one in found)
    return {"text": text, "passages": found}


@node(
    "Texts", icon="rank", title="Rank by meaning",
    outputs={"nearest": str, "ranked": list[str], "scores": list[float]},
)  # fmt: skip
def rank(work: Work, query: str, texts: list[str], *, model: Embedder = "") -> dict[str, Any]:
    """Order texts by how near they are to the query; scores from -1 to 1 are in their own order."""
    if not texts:
        raise FlowError("texts: expected one or more, found an empty list")
    vectors = work.embedder(model).embed([query, *texts], truncate=True)
    work.check()
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    scores = [round(float(x), 4) for x in unit[1:] @ unit[0]]
    ranked = [texts[i] for i in sorted(range(len(texts)), key=lambda i: -scores[i])]
    return {"nearest": ranked[0], "ranked": ranked, "scores": scores}


@node("Texts", icon="split", outputs={"parts": list[str]})
def split(
    work: Work,
    text: str,
    *,
    tokens: Annotated[int, Shown(least=1, most=1_000_000)] = 300,
    overlap: Annotated[int, Shown(least=0, most=100_000)] = 0,
    model: Model = "",
) -> list[str]:
    """Split a long text at paragraphs, sentences or words, into parts of so many tokens."""
    return chains.split_text(text, tokens, work.model(model).tokenizer, overlap=overlap)


@node("Texts", icon="calendar", outputs={"edtf": str, "dates": list[dict[str, Any]]})
def dates(text: str) -> dict[str, Any]:
    """The dates in a text of up to 200 characters, in any form, as EDTF (ISO 8601-2)."""
    found = dating.parse(text)
    return {"edtf": found.edtf, "dates": found.as_dict()["dates"]}
