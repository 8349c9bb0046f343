"""Models of llmpy for llm: answers, schemas, tools and embeddings, in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, closing
from functools import lru_cache
from typing import Any

import llm
from llm.parts import (
    Message,
    ReasoningPart,
    StreamEvent,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from pydantic import Field

import llmpy


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Offer every model of `llmpy ls` that is not made for embeddings alone."""
    for model in llmpy.models():
        if model.good_for != "embeddings":
            register(LlmpyModel(model.name), LlmpyAsyncModel(model.name), aliases=(model.name,))


@llm.hookimpl
def register_embedding_models(register: Callable[..., None]) -> None:
    """Offer every model of `llmpy ls` that is not made for chats alone."""
    for model in llmpy.models():
        if model.good_for != "chat":
            register(LlmpyEmbeddings(model.name), aliases=(model.name,))


@lru_cache(maxsize=2)  # one to chat with, and one for embeddings
def loaded(name: str) -> llmpy.Model:
    """Return the model of a name; it stays in memory for the next prompt."""
    return llmpy.load(name)


class Options(llm.Options):
    """What `llm -o` takes."""

    temperature: float | None = Field(None, ge=0, description="0: always the likeliest token")
    top_p: float | None = Field(None, ge=0, le=1, description="Probability to choose tokens from")
    top_k: int | None = Field(None, ge=0, description="How many tokens to choose from; 0: all")
    max_tokens: int | None = Field(None, ge=0, description="Tokens of an answer at most")
    seed: int | None = Field(None, ge=0, description="The same seed gives the same answer")
    tool_choice: str | None = Field(
        None, description="auto, none, required (a call at least), or the name of a tool"
    )


class _Chatting:
    """What models for `llm` and for asyncio share."""

    Options = Options
    can_stream = True
    supports_schema = True
    supports_tools = True

    def __init__(self, name: str) -> None:
        self.model_id = f"llmpy/{name}"
        self.name = name

    def _asked(self, prompt: llm.Prompt) -> tuple[llmpy.Chat, dict[str, Any]]:
        """Return a chat of the messages so far, and the options of the answer to it."""
        given = prompt.options.model_dump(exclude_none=True)
        max_tokens = given.pop("max_tokens", None)
        choice = given.pop("tool_choice", "auto")
        messages = _messages(prompt.messages)
        if messages and messages[-1]["role"] == "tool" and choice != "none":
            choice = "auto"  # it was called; now the model may answer
        chat = loaded(self.name).chat(messages=messages, **given)
        tools = [llmpy.Tool(t.name, t.description or "", t.input_schema) for t in prompt.tools]
        schema = prompt.schema and llmpy.json_schema(prompt.schema)
        options = {"max_tokens": max_tokens, "constrain": schema or None}
        if tools:
            options |= {"tools": tools, "tool_choice": choice}
        return chat, options

    def __str__(self) -> str:
        return f"llmpy: {self.model_id}"


class LlmpyModel(_Chatting, llm.Model):
    """A model of llmpy for chats."""

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: Any
    ) -> Iterator[StreamEvent]:
        """Answer; events come as the model writes."""
        chat, options = self._asked(prompt)
        with closing(chat.retry(**options)) as pieces:
            for piece in pieces:
                yield from _events(piece, response)
        _count(chat, response)


class LlmpyAsyncModel(_Chatting, llm.AsyncModel):
    """A model of llmpy for chats, with asyncio."""

    async def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.AsyncResponse, conversation: Any
    ) -> AsyncGenerator[StreamEvent, None]:
        """Answer; events come as the model writes."""
        chat, options = self._asked(prompt)
        async with aclosing(chat.aretry(**options)) as pieces:
            async for piece in pieces:
                for event in _events(piece, response):
                    yield event
        _count(chat, response)


class LlmpyEmbeddings(llm.EmbeddingModel):
    """A model of llmpy for vectors of texts."""

    batch_size = 64

    def __init__(self, name: str) -> None:
        self.model_id = f"llmpy/{name}"
        self.name = name

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """Give a vector of length 1 for each text."""
        yield from loaded(self.name).embed(list(items)).tolist()


def _events(piece: llmpy.Piece, response: Any) -> Iterator[StreamEvent]:
    """What llm is told of a piece of the answer."""
    call = piece.tool_call
    if call is not None:
        response.add_tool_call(llm.ToolCall(call.name, call.arguments, tool_call_id=call.id))
        yield StreamEvent("tool_call_name", call.name, tool_call_id=call.id)
        yield StreamEvent("tool_call_args", json.dumps(call.arguments), tool_call_id=call.id)
    elif piece.text:
        yield StreamEvent("reasoning" if piece.kind == "thinking" else "text", piece.text)


def _count(chat: llmpy.Chat, response: Any) -> None:
    stats = chat.stats
    if stats is not None:
        response.set_usage(input=stats.n_prompt + stats.n_reused, output=stats.n_generated)


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Messages of llm as chat templates have them; each result of a tool is one of its own."""
    found: list[dict[str, Any]] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        found += [
            {
                "role": "tool",
                "name": part.name,
                "tool_call_id": part.tool_call_id,
                "content": part.output,
            }
            for part in results
        ]
        if len(results) < len(message.parts):
            found.append(_message(message))
    return found


def _message(message: Message) -> dict[str, Any]:
    texts = [part.text for part in message.parts if isinstance(part, TextPart)]
    thoughts = [part.text for part in message.parts if isinstance(part, ReasoningPart)]
    calls = [
        llmpy.ToolCall(part.tool_call_id or "", part.name, part.arguments).as_dict()
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    found: dict[str, Any] = {"role": message.role, "content": "".join(texts)}
    if thoughts:
        found["reasoning_content"] = "".join(thoughts)
    if calls:
        found["tool_calls"] = calls
    return found
