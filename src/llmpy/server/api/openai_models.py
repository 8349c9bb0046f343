"""OpenAI's /v1/models, and what tells of the server itself: /health and /metrics."""

from __future__ import annotations

from typing import Any

from llmpy.server.call import Call
from llmpy.server.models import Offer
from llmpy.server.state import State

__all__ = ["health", "metrics", "model", "models"]


async def models(call: Call, state: State) -> None:
    """GET /v1/models."""
    offers = state.models.offers.values()
    await call.answer({"object": "list", "data": [_described(offer) for offer in offers]})


async def model(call: Call, state: State, name: str) -> None:
    """GET /v1/models/NAME."""
    await call.answer(_described(state.models.find(name)))


async def health(call: Call, state: State) -> None:  # noqa: ARG001
    """GET /health."""
    await call.answer({"status": "ok"})


async def metrics(call: Call, state: State) -> None:
    """GET /metrics."""
    text = state.metrics.text(state.models)
    await call.answer(text.encode(), kind="text/plain; version=0.0.4; charset=utf-8")


def _described(offer: Offer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": offer.name,
        "object": "model",
        "created": offer.created,
        "owned_by": "llmpy",
    }
    if offer.loaded is not None:
        found["context_length"] = offer.loaded.model.n_ctx
    return found
