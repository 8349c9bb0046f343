"""The server's own description of its paths, in the words of OpenAPI: /openapi.json."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from llmpy.server.api import (
    anthropic,
    infill,
    ollama,
    ollama_models,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
    rerank,
    texts,
)

__all__ = ["REQUESTS", "described"]

REQUESTS: dict[str, type[msgspec.Struct]] = {
    "/v1/chat/completions": openai_chat.ChatRequest,
    "/v1/completions": openai_completions.CompletionRequest,
    "/v1/embeddings": openai_embeddings.EmbeddingRequest,
    "/v1/responses": openai_responses.ResponseRequest,
    "/v1/messages": anthropic.MessagesRequest,
    "/v1/messages/count_tokens": anthropic.CountRequest,
    "/v1/rerank": rerank.RerankRequest,
    "/rerank": rerank.RerankRequest,
    "/api/chat": ollama.ChatRequest,
    "/api/generate": ollama.GenerateRequest,
    "/api/embed": ollama_models.EmbedRequest,
    "/api/embeddings": ollama_models.OldEmbedRequest,
    "/api/show": ollama_models.NamedRequest,
    "/api/pull": ollama_models.NamedRequest,
    "/infill": infill.InfillRequest,
    "/tokenize": texts.TokenizeRequest,
    "/detokenize": texts.DetokenizeRequest,
    "/apply-template": texts.TemplateRequest,
}
"""The requests of paths that take one."""

ANSWERS = {
    "200": "The answer",
    "400": "A field is wrong: its path is in the error",
    "401": "A key is needed",
    "403": "The host or origin is not allowed, or the path changes nothing",
    "404": "There is no such model",
    "408": "The request did not arrive in time",
    "413": "The request is too large",
    "429": "Too many requests wait",
    "500": "The model's file cannot be used",
    "503": "The model does not fit into memory",
}


@cache
def described(routes: tuple[tuple[str, str, str], ...]) -> bytes:
    """The description as JSON; `routes` are paths, methods, and what each does."""
    kinds = sorted(set(REQUESTS.values()), key=lambda kind: kind.__module__ + kind.__name__)
    refs, schemas = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    by_kind = dict(zip(kinds, refs, strict=True))
    paths: dict[str, Any] = {}
    for path, method, summary in routes:
        shown = path + "{name}" if path.endswith("/") else path
        operation: dict[str, Any] = {
            "summary": summary,
            "responses": {code: {"description": text} for code, text in ANSWERS.items()},
        }
        if path in REQUESTS and method == "POST":
            content = {"application/json": {"schema": by_kind[REQUESTS[path]]}}
            operation["requestBody"] = {"required": True, "content": content}
        if path.endswith("/"):
            operation["parameters"] = [
                {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
            ]
        paths.setdefault(shown, {})[method.lower()] = operation
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "llmpy", "version": version("llmpy")},
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
        }
    )
