"""docs/server-fields.md: what becomes of each field of the requests that `llmpy serve` takes."""

from __future__ import annotations

from typing import Any

from llmpy.server.api import (
    anthropic,
    ollama,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)

APIS: tuple[tuple[str, Any, Any], ...] = (
    ("OpenAI: /v1/chat/completions", openai_chat, openai_chat.ChatRequest),
    ("OpenAI: /v1/completions", openai_completions, openai_completions.CompletionRequest),
    ("OpenAI: /v1/embeddings", openai_embeddings, openai_embeddings.EmbeddingRequest),
    ("OpenAI: /v1/responses", openai_responses, openai_responses.ResponseRequest),
    ("Anthropic: /v1/messages", anthropic, anthropic.MessagesRequest),
    ("Ollama: /api/chat", ollama, ollama.ChatRequest),
    ("Ollama: /api/generate", ollama, ollama.GenerateRequest),
)
INTRODUCTION = """\
What `llmpy serve` does with each field of a request, by path. A field that is refused is answered
with 400 and its name, unless its value is null, false or empty. One that is ignored changes
nothing. Any other field is ignored too, and named in the access log. The tests compare the tables
of OpenAI's paths with its own description of the API."""


def fields(note: str) -> str:
    """The page."""
    lines = ["# Fields of requests", "", note, "", *INTRODUCTION.splitlines()]
    for title, module, request in APIS:
        lines += ["", f"## {title}", "", "| field | what becomes of it |", "|---|---|"]
        rows = dict.fromkeys(request.__struct_fields__, "honoured")
        refused = module.REFUSED
        rows |= {name: f"refused: {why}" for name, why in refused.items() if name not in rows}
        ignored = getattr(module, "IGNORED", {})
        rows |= {name: f"ignored: {why}" for name, why in ignored.items()}
        lines += [f"| `{name}` | {rows[name]} |" for name in sorted(rows)]
    return "\n".join(lines) + "\n"
