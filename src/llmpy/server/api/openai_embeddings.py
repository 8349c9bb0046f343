"""OpenAI's /v1/embeddings."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmpy.server.api.fields import read
from llmpy.server.call import Call, Gone
from llmpy.server.errors import ApiError
from llmpy.server.models import Loaded
from llmpy.server.state import State
from llmpy.session.embedding import token_ids
from llmpy.session.lengths import check_lengths

__all__ = ["IGNORED", "REFUSED", "EmbeddingRequest", "embedded", "embeddings", "shortened"]

MOST_TEXTS = 2048
AT_A_TIME = 16  # texts, between which it is seen whether the client is still there


class EmbeddingRequest(msgspec.Struct, kw_only=True):
    """The fields that are honoured."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: str | None = None
    dimensions: int | None = None


REFUSED: dict[str, str] = {}
IGNORED = {"user": "there is no list of users"}


async def embeddings(call: Call, state: State) -> None:
    """POST /v1/embeddings."""
    request = await read(call, EmbeddingRequest, REFUSED, IGNORED)
    form = request.encoding_format or "float"
    if form not in ("float", "base64"):
        raise ApiError(
            400,
            f"encoding_format: expected float or base64, found {form[:40]!r}",
            param="encoding_format",
        )
    async with state.models.use(request.model) as loaded:
        vectors, n_tokens = await embedded(call, loaded, request.input, "input")
        if request.dimensions is not None:
            vectors = shortened(vectors, request.dimensions)
        data = [
            {"object": "embedding", "index": i, "embedding": _written(vector, form)}
            for i, vector in enumerate(vectors)
        ]
        used = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        await call.answer({"object": "list", "data": data, "model": loaded.name, "usage": used})


async def embedded(
    call: Call,
    loaded: Loaded,
    texts: str | list[str | int | list[int]],
    name: str,
    truncate: bool | None = None,
) -> tuple[NDArray[np.float32], int]:
    """A vector for each text, [n, n_embd], and how many tokens they had; ApiError names a text.

    `truncate` is that of `Model.embed`.
    """
    call.notes["model"] = loaded.name
    listed: list[Any] = [texts] if isinstance(texts, str) else texts
    if listed and all(isinstance(item, int) for item in listed):
        listed = [listed]
    if not 0 < len(listed) <= MOST_TEXTS:
        raise ApiError(
            400, f"{name}: expected 1 to {MOST_TEXTS} texts, found {len(listed)}", param=name
        )
    if (wrong := next((i for i, t in enumerate(listed) if isinstance(t, int)), None)) is not None:
        where = f"{name}[{wrong}]"
        raise ApiError(400, f"{where}: expected a text, found a number", param=where)
    model = loaded.model
    try:
        ids = await asyncio.to_thread(token_ids, model, listed, truncate)
        check_lengths(model, [len(one) for one in ids])
    except ValueError as error:  # ContextFull too, whose message names the text
        code = "context_length_exceeded" if type(error) is not ValueError else None
        raise ApiError(400, f"{name}: {error}", param=name, code=code) from None
    found = []
    async with loaded.embedding, call.watched(lambda: None):
        for i in range(0, len(ids), AT_A_TIME):
            if call.gone:
                raise Gone
            found.append(await model.aembed(ids[i : i + AT_A_TIME]))
    n_tokens = sum(map(len, ids))
    call.notes["n_prompt"] = n_tokens
    return np.concatenate(found), n_tokens


def shortened(vectors: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """The first `n` values of each vector, of length 1 again."""
    if not 1 <= n <= vectors.shape[1]:
        raise ApiError(
            400, f"dimensions: expected 1 to {vectors.shape[1]}, found {n}", param="dimensions"
        )
    cut = vectors[:, :n]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    return (cut / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _written(vector: NDArray[np.float32], form: str) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    listed: list[float] = vector.tolist()
    return listed
