"""Which path and method is answered by which function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llmpy.server.api import (
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_models,
    openai_responses,
    texts,
)

__all__ = ["ROUTES", "Handler"]

Handler = Callable[..., Awaitable[None]]

ROUTES: dict[str, dict[str, Handler]] = {
    "/health": {"GET": openai_models.health},
    "/metrics": {"GET": openai_models.metrics},
    "/v1/models": {"GET": openai_models.models},
    "/v1/models/": {"GET": openai_models.model},
    "/v1/chat/completions": {"POST": openai_chat.chat_completions},
    "/v1/completions": {"POST": openai_completions.completions},
    "/v1/embeddings": {"POST": openai_embeddings.embeddings},
    "/v1/responses": {"POST": openai_responses.responses},
    "/tokenize": {"POST": texts.tokenize},
    "/detokenize": {"POST": texts.detokenize},
    "/apply-template": {"POST": texts.apply_template},
}
