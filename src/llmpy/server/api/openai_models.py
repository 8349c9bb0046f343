"""/v1/models of OpenAI and Anthropic, and what tells of the server itself: /health and /metrics."""

from __future__ import annotations

import asyncio
from typing import Any

from llmpy.server.call import Call
from llmpy.server.models import Offer
from llmpy.server.stamp import stamp
from llmpy.server.state import State

__all__ = ["health", "metrics", "model", "models"]


async def models(call: Call, state: State) -> None:
    """GET /v1/models."""
    offers = state.models.offers.values()
    found: dict[str, Any] = {"object": "list", "data": [_described(offer) for offer in offers]}
    if "anthropic-version" in call.headers:  # whose list has more fields
        names = list(state.models.offers)
        first, last = (names[0], names[-1]) if names else (None, None)
        found |= {"has_more": False, "first_id": first, "last_id": last}
    await call.answer(found)


async def model(call: Call, state: State, name: str) -> None:
    """GET /v1/models/NAME."""
    await call.answer(_described(state.models.find(name)))


async def health(call: Call, state: State) -> None:  # noqa: ARG001
    """GET /health."""
    await call.answer({"status": "ok"})


async def metrics(call: Call, state: State) -> None:
    """GET /metrics."""
    text = await asyncio.to_thread(state.metrics.text, state.models)  # which waits for a step
    await call.answer(text.encode(), kind="text/plain; version=0.0.4; charset=utf-8")


def _described(offer: Offer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": offer.name,
        "object": "model",
        "created": offer.created,
        "owned_by": "llmpy",
        "type": "model",
        "display_name": offer.name,
        "created_at": stamp(offer.created),
    }
    if offer.loaded is not None:
        found["context_length"] = offer.loaded.model.n_ctx
    return found
