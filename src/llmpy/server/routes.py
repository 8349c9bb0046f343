"""Which path and method is answered by which function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llmpy.server.api import openai_chat, openai_models

__all__ = ["ROUTES", "Handler"]

Handler = Callable[..., Awaitable[None]]

ROUTES: dict[str, dict[str, Handler]] = {
    "/health": {"GET": openai_models.health},
    "/metrics": {"GET": openai_models.metrics},
    "/v1/models": {"GET": openai_models.models},
    "/v1/models/": {"GET": openai_models.model},
    "/v1/chat/completions": {"POST": openai_chat.chat_completions},
}
