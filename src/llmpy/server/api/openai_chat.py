"""OpenAI's /v1/chat/completions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from llmpy.server.api.conversation import chat_prompt
from llmpy.server.api.fields import Sampling, checked_stop, read, schema_of, within
from llmpy.server.api.messages import Message, for_template
from llmpy.server.api.openai_shapes import (
    DONE,
    StreamOptions,
    chat_logprobs,
    event,
    finish_of,
    usage,
)
from llmpy.server.api.tools import arguments_of, calls_in, openai_call, openai_tools
from llmpy.server.call import Call
from llmpy.server.errors import ApiError, openai_shape
from llmpy.server.generation import Generation
from llmpy.server.running import Run, running
from llmpy.server.state import State
from llmpy.server.streaming import streamed
from llmpy.session import Piece, ToolCall

__all__ = ["IGNORED", "REFUSED", "ChatRequest", "chat_completions"]

MOST_LOGPROBS = 20


class ChatRequest(Sampling, kw_only=True):
    """The fields that are honoured; `REFUSED` and `IGNORED` have the others of that API.

    top_k, min_p, repeat_penalty, think, chat_template_kwargs and continue_final_message are not
    OpenAI's: other servers have them under these names.
    """

    messages: list[Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    reasoning_effort: str | None = None
    think: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None


REFUSED = {
    "functions": "use tools",
    "function_call": "use tool_choice",
    "audio": "models answer with text only here",
    "web_search_options": "nothing is searched on the web",
}
IGNORED = {
    "metadata": "is kept by nobody",
    "moderation": "nothing is moderated",
    "prediction": "would only be faster",
    "prompt_cache_key": "all prompts share one cache",
    "prompt_cache_options": "all prompts share one cache",
    "prompt_cache_retention": "the cache has a size and no times",
    "safety_identifier": "there is no list of users",
    "service_tier": "there is one",
    "store": "nothing is stored",
    "user": "there is no list of users",
    "verbosity": "is a trait of OpenAI's models",
}


async def chat_completions(call: Call, state: State) -> None:
    """POST /v1/chat/completions."""
    request = await read(call, ChatRequest, REFUSED, IGNORED)
    _check(request)
    tools = openai_tools(request.tools, request.tool_choice, request.parallel_tool_calls)
    async with state.models.use(request.model) as loaded:
        prompt, reader = await chat_prompt(
            loaded,
            for_template(request.messages),
            request.chain(loaded),
            seed=request.own_seed,
            max_tokens=request.max_completion_tokens or request.max_tokens,
            stop=checked_stop("stop", request.stop),
            logprobs=(request.top_logprobs or 0) if request.logprobs else None,
            think=request.think,
            effort=request.reasoning_effort,
            template_kwargs=request.chat_template_kwargs,
            go_on=bool(request.continue_final_message),
            schema=schema_of(request.response_format, "response_format"),
            tools=tools,
        )
        n, streams = request.n or 1, bool(request.stream)
        async with running(
            call, state, loaded, [prompt], n=n, reader=reader, streams=streams
        ) as run:
            answer = Answer(call, request, run)
            await (answer.stream() if streams else answer.whole())


def _check(request: ChatRequest) -> None:
    within("n", request.n, 1, 128)
    within("max_tokens", request.max_tokens, 1, 2**31)
    within("max_completion_tokens", request.max_completion_tokens, 1, 2**31)
    within("top_logprobs", request.top_logprobs, 0, MOST_LOGPROBS)
    if request.top_logprobs is not None and not request.logprobs:
        raise ApiError(400, "top_logprobs: it needs logprobs: true", param="top_logprobs")
    if request.modalities not in (None, [], ["text"]):
        raise ApiError(400, "modalities: models answer with text only here", param="modalities")


class Answer:
    """The answer to a request, whole or event by event."""

    def __init__(self, call: Call, request: ChatRequest, run: Run) -> None:
        self._call = call
        self._run = run
        self._request = request
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._wants_logprobs = bool(request.logprobs)
        self._n_calls: dict[int, int] = {}  # by the number of the text

    async def whole(self) -> None:
        """Send it once it is there."""
        texts = await self._run.finished()
        choices = [
            self._choice(generation, pieces)
            for generation, pieces in zip(self._run.generations, texts, strict=True)
        ]
        await self._call.answer({**self._head("chat.completion"), "choices": choices,
                                 "usage": usage(self._run)})  # fmt: skip

    async def stream(self) -> None:
        """Send an event for each piece."""
        role = {"role": "assistant", "content": ""}
        await streamed(
            self._call,
            self._run,
            first=b"".join(self._event(g, role) for g in self._run.generations),
            part=self._events,
            last=self._last,
            failed=lambda error: event(openai_shape(error)),
        )

    def _last(self) -> bytes:
        options, found = self._request.stream_options, b""
        if options is not None and options.include_usage:
            head = self._head("chat.completion.chunk")
            found = event({**head, "choices": [], "usage": usage(self._run)})
        return found + DONE

    def _head(self, kind: str) -> dict[str, Any]:
        name = self._run.loaded.name
        return {"id": self._id, "object": kind, "created": self._created, "model": name}

    def _choice(self, generation: Generation, pieces: Sequence[Piece]) -> dict[str, Any]:
        thinking = "".join(piece.text for piece in pieces if piece.kind == "thinking")
        content = "".join(piece.text for piece in pieces if piece.kind == "generated")
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if thinking:
            message["reasoning_content"] = thinking
        if calls := calls_in(pieces):
            message |= {"content": content or None, "tool_calls": list(map(openai_call, calls))}
        return {
            "index": generation.index,
            "message": message,
            "logprobs": self._logprobs(pieces),
            "finish_reason": finish_of(pieces[-1].finish_reason, len(calls)),
        }

    def _events(self, generation: Generation, pieces: Sequence[Piece]) -> bytes:
        found = []
        for piece in pieces:
            if piece.kind == "end":
                reason = finish_of(piece.finish_reason, self._n_calls.get(generation.index, 0))
                found.append(self._event(generation, {}, reason))
            elif piece.tool_call is not None:
                found += self._call_events(generation, piece.tool_call)
            elif piece.text or (self._wants_logprobs and piece.logprobs):
                name = "reasoning_content" if piece.kind == "thinking" else "content"
                delta = {name: piece.text}
                found.append(self._event(generation, delta, None, self._logprobs([piece])))
        return b"".join(found)

    def _call_events(self, generation: Generation, call: ToolCall) -> list[bytes]:
        """A call: its name, and then its arguments."""
        index = self._n_calls.get(generation.index, 0)
        self._n_calls[generation.index] = index + 1
        first = {**openai_call(call), "function": {"name": call.name, "arguments": ""}}
        deltas = [first, {"function": {"arguments": arguments_of(call)}}]
        return [
            self._event(generation, {"tool_calls": [{"index": index, **delta}]}) for delta in deltas
        ]

    def _event(
        self,
        generation: Generation,
        delta: dict[str, Any],
        reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> bytes:
        choice = {
            "index": generation.index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": reason,
        }
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        if not self._wants_logprobs:
            return None
        return chat_logprobs(pieces, self._run.loaded.model.tokenizer)
