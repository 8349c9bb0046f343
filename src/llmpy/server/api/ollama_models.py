"""Ollama's paths about models: /api/tags, /api/ps, /api/show, /api/embed and their neighbours."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from llmpy.graph import is_encoder
from llmpy.server.api.fields import read
from llmpy.server.api.ollama import model_named, seconds_of
from llmpy.server.api.openai_embeddings import embedded, shortened
from llmpy.server.call import Call
from llmpy.server.errors import ApiError
from llmpy.server.models import Offer
from llmpy.server.stamp import stamp
from llmpy.server.state import State

__all__ = ["embed", "embeddings", "processes", "pull", "show", "tags", "unchanged", "version_"]


class EmbedRequest(msgspec.Struct, kw_only=True):
    """Texts to be vectors; longer ones are cut unless `truncate` is false."""

    model: str
    input: str | list[str]
    truncate: bool | None = None
    keep_alive: float | str | None = None
    dimensions: int | None = None


class OldEmbedRequest(msgspec.Struct, kw_only=True):
    """A text to be a vector, as the older path has it."""

    model: str
    prompt: str
    keep_alive: float | str | None = None


class NamedRequest(msgspec.Struct, kw_only=True):
    """The name of a model, under the one name or the other."""

    model: str | None = None
    name: str | None = None


async def tags(call: Call, state: State) -> None:
    """GET /api/tags: all models."""
    models = [_described(offer) for offer in state.models.offers.values()]
    await call.answer({"models": models})


async def processes(call: Call, state: State) -> None:
    """GET /api/ps: the models that are loaded."""
    found = []
    for offer in state.models.offers.values():
        if offer.loaded is not None:
            left = None if offer.expires is None else offer.expires - time.monotonic()
            ends = "9999-12-31T23:59:59Z" if left is None else stamp(time.time() + left)
            more = {
                "expires_at": ends,
                "size_vram": 0,
                "context_length": offer.loaded.model.n_ctx,
                "n_active": offer.loaded.decoder.n_active,
            }
            found.append({**_described(offer), **more})
    await call.answer({"models": found})


async def show(call: Call, state: State) -> None:
    """POST /api/show."""
    offer = await _offer(call, state)
    async with state.models.use(offer.name) as loaded:
        model = loaded.model
        try:
            template = loaded.template.source
        except ValueError:
            template = ""
        capabilities = ["embedding"] if is_encoder(model.graph) else ["completion"]
        info = {key: value for key, value in model.metadata.items() if _is_plain(value)}
        await call.answer(
            {
                "modified_at": stamp(offer.created),
                "template": template,
                "parameters": "",
                "details": _details(offer),
                "model_info": info,
                "capabilities": capabilities,
            }
        )


async def embed(call: Call, state: State) -> None:
    """POST /api/embed."""
    request = await read(call, EmbedRequest, {}, {"options": "are about generating"})
    begun = time.perf_counter()
    name = model_named(request.model, state)
    async with state.models.use(name, seconds_of(request.keep_alive)) as loaded:
        texts: Any = request.input
        truncate = request.truncate is not False
        vectors, n_tokens = await embedded(call, loaded, texts, "input", truncate=truncate)
        if request.dimensions is not None:
            vectors = shortened(vectors, request.dimensions)
        await call.answer(
            {
                "model": request.model,
                "embeddings": vectors.tolist(),
                "total_duration": round((time.perf_counter() - begun) * 1e9),
                "load_duration": 0,
                "prompt_eval_count": n_tokens,
            }
        )


async def embeddings(call: Call, state: State) -> None:
    """POST /api/embeddings."""
    request = await read(call, OldEmbedRequest, {}, {"options": "are about generating"})
    name = model_named(request.model, state)
    async with state.models.use(name, seconds_of(request.keep_alive)) as loaded:
        vectors, _ = await embedded(call, loaded, request.prompt, "prompt", truncate=True)
        await call.answer({"embedding": vectors[0].tolist()})


async def pull(call: Call, state: State) -> None:
    """POST /api/pull: nothing to do for a model that is there."""
    await _offer(call, state)
    await call.answer({"status": "success"})


async def unchanged(call: Call, state: State) -> None:  # noqa: ARG001
    """Paths that would change models."""
    raise ApiError(
        403,
        "models are not changed over HTTP: they are what `llmpy serve -m` names",
        code="not_allowed",
    )


async def version_(call: Call, state: State) -> None:  # noqa: ARG001
    """GET /api/version."""
    await call.answer({"version": await asyncio.to_thread(version, "llmpy")})


async def _offer(call: Call, state: State) -> Offer:
    request = await read(call, NamedRequest, {}, {"stream": "", "insecure": "", "verbose": ""})
    name = request.model or request.name
    if not name:
        raise ApiError(400, "model: expected a name, found none", param="model")
    return state.models.find(model_named(name, state))


def _described(offer: Offer) -> dict[str, Any]:
    seed = f"{offer.path.resolve()} {offer.created} {offer.n_bytes}"
    return {
        "name": offer.name,
        "model": offer.name,
        "modified_at": stamp(offer.created),
        "size": offer.n_bytes,
        "digest": hashlib.sha256(seed.encode()).hexdigest(),
        "details": _details(offer),
    }


def _details(offer: Offer) -> dict[str, Any]:
    """Return the details of a model that its file states, as far as it is loaded."""
    metadata: Mapping[str, Any] = {} if offer.loaded is None else offer.loaded.model.metadata
    family = str(metadata.get("general.architecture", ""))
    return {
        "parent_model": "",
        "format": "gguf",
        "family": family,
        "families": [family] if family else [],
        "parameter_size": str(metadata.get("general.size_label", "")),
        "quantization_level": "",
    }


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) and len(str(value)) < 1000
