"""The table of routes: paths and methods, and the functions that answer them."""

from __future__ import annotations

from llmpy.server.api import (
    anthropic,
    infill,
    ollama,
    ollama_models,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_models,
    openai_responses,
    rerank,
    texts,
)
from llmpy.server.call import Call
from llmpy.server.description import described
from llmpy.server.dispatch import Handler
from llmpy.server.state import State

__all__ = ["ROUTES"]


async def openapi(call: Call, state: State) -> None:  # noqa: ARG001
    """GET /openapi.json: this server's own description."""
    routes = tuple(
        (path, method, (handler.__doc__ or "").partition("\n")[0])
        for path, methods in ROUTES.items()
        for method, handler in methods.items()
    )
    await call.answer(described(routes))


ROUTES: dict[str, dict[str, Handler]] = {
    "/health": {"GET": openai_models.health},
    "/openapi.json": {"GET": openapi},
    "/metrics": {"GET": openai_models.metrics},
    "/v1/models": {"GET": openai_models.models},
    "/v1/models/": {"GET": openai_models.model},
    "/v1/chat/completions": {"POST": openai_chat.chat_completions},
    "/v1/completions": {"POST": openai_completions.completions},
    "/v1/embeddings": {"POST": openai_embeddings.embeddings},
    "/v1/responses": {"POST": openai_responses.responses},
    "/v1/messages": {"POST": anthropic.messages},
    "/v1/messages/count_tokens": {"POST": anthropic.count_tokens},
    "/api/chat": {"POST": ollama.chat},
    "/api/generate": {"POST": ollama.generate},
    "/api/embed": {"POST": ollama_models.embed},
    "/api/embeddings": {"POST": ollama_models.embeddings},
    "/api/tags": {"GET": ollama_models.tags},
    "/api/ps": {"GET": ollama_models.processes},
    "/api/show": {"POST": ollama_models.show},
    "/api/version": {"GET": ollama_models.version_},
    "/api/pull": {"POST": ollama_models.pull},
    "/api/push": {"POST": ollama_models.unchanged},
    "/api/create": {"POST": ollama_models.unchanged},
    "/api/copy": {"POST": ollama_models.unchanged},
    "/api/delete": {"DELETE": ollama_models.unchanged},
    "/v1/rerank": {"POST": rerank.rerank},
    "/rerank": {"POST": rerank.rerank},
    "/infill": {"POST": infill.infill},
    "/tokenize": {"POST": texts.tokenize},
    "/detokenize": {"POST": texts.detokenize},
    "/apply-template": {"POST": texts.apply_template},
}
