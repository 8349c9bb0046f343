"""/v1/rerank: how well texts fit a query, as Jina's and Cohere's APIs have it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from llmpy.server.api.fields import read, within
from llmpy.server.call import Call
from llmpy.server.errors import ApiError
from llmpy.server.state import State
from llmpy.session.ranking import has_pairs, pairs_of

__all__ = ["RerankRequest", "rerank"]

MOST_TEXTS = 2048


class Document(msgspec.Struct):
    """A text in an object."""

    text: str


class RerankRequest(msgspec.Struct, kw_only=True):
    """A query, and texts that are ordered by how well they fit it."""

    query: str
    documents: list[str | Document]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool | None = None


async def rerank(call: Call, state: State) -> None:
    """POST /v1/rerank."""
    request = await read(call, RerankRequest, {}, {})
    within("top_n", request.top_n, 1, 2**31)
    n = len(request.documents)
    if not 0 < n <= MOST_TEXTS:
        problem = f"documents: expected 1 to {MOST_TEXTS} texts, found {n}"
        raise ApiError(400, problem, param="documents")
    texts = [text if isinstance(text, str) else text.text for text in request.documents]
    async with state.models.use(request.model) as loaded, loaded.embedding:
        call.notes["model"] = loaded.name
        model = loaded.model
        try:
            ranked = await model.arank(request.query, texts)
            paired = has_pairs(model.tensors, model.graph)
            pairs = await asyncio.to_thread(pairs_of, model, request.query, texts, paired, False)
        except ValueError as error:  # of a text that is too long, or of a model that ranks nothing
            raise ApiError(400, f"documents: {error}", param="documents") from None
        results = []
        for one in ranked[: request.top_n]:
            found: dict[str, Any] = {"index": one.index, "relevance_score": one.score}
            if request.return_documents:
                found["document"] = {"text": texts[one.index]}
            results.append(found)
        n_tokens = sum(map(len, pairs))
        used = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        await call.answer({"model": loaded.name, "results": results, "usage": used})
