"""Anthropic's /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from llmpy.server.api.anthropic_messages import AnthropicMessage, Block, conversation
from llmpy.server.api.conversation import chat_prompt
from llmpy.server.api.fields import Sampling, checked_stop, read, schema_of, within
from llmpy.server.api.tools import anthropic_tools, arguments_of, calls_in
from llmpy.server.call import Call
from llmpy.server.errors import ApiError, anthropic_shape
from llmpy.server.generation import Generation
from llmpy.server.models import Loaded
from llmpy.server.running import Run, running
from llmpy.server.state import State
from llmpy.server.streaming import streamed
from llmpy.session import Piece, ToolCall

__all__ = ["CountRequest", "MessagesRequest", "count_tokens", "messages"]

REFUSED = {
    "mcp_servers": "no servers of tools are asked",
    "container": "no code is run",
}
IGNORED = {
    "metadata": "is kept by nobody",
    "service_tier": "there is one",
    "betas": "there are none",
    "context_management": "nothing of a conversation is left out",
    "inference_geo": "it is computed here",
    "cache_control": "all prompts share one cache",
}
REASONS = {"end": "end_turn", "length": "max_tokens", "context": "max_tokens", "stop": "end_turn"}


class Thinking(msgspec.Struct):
    """Whether the model shall think: enabled, disabled, or as it likes (adaptive)."""

    type: str
    budget_tokens: int | None = None


class OutputConfig(msgspec.Struct):
    """The format of the answer, and how much the model shall think."""

    format: dict[str, Any] | None = None
    effort: str | None = None


class CountRequest(Sampling, kw_only=True):
    """A conversation."""

    model: str
    messages: list[AnthropicMessage]
    system: str | list[Block] | None = None
    thinking: Thinking | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None


class MessagesRequest(CountRequest, kw_only=True):
    """A conversation to answer."""

    max_tokens: int
    stop_sequences: list[str] | None = None
    output_config: OutputConfig | None = None
    output_format: dict[str, Any] | None = None
    stream: bool | None = None


async def messages(call: Call, state: State) -> None:
    """POST /v1/messages."""
    request = await read(call, MessagesRequest, REFUSED, IGNORED)
    within("max_tokens", request.max_tokens, 1, 2**31)
    stop = checked_stop("stop_sequences", request.stop_sequences)
    async with state.models.use(request.model) as loaded:
        config = request.output_config or OutputConfig()
        schema = schema_of(config.format or request.output_format, "output_config.format")
        more = {"schema": schema, "schema_field": "output_config.format", "stop": stop}
        prompt, reader = await _prompt(loaded, request, max_tokens=request.max_tokens, **more)
        streams = bool(request.stream)
        async with running(call, state, loaded, [prompt], reader=reader, streams=streams) as run:
            answer = Answer(call, request, run)
            await (answer.stream() if streams else answer.whole())


async def count_tokens(call: Call, state: State) -> None:
    """POST /v1/messages/count_tokens."""
    request = await read(call, CountRequest, REFUSED, IGNORED)
    async with state.models.use(request.model) as loaded:
        prompt, _ = await _prompt(loaded, request)
        call.notes |= {"model": loaded.name, "n_prompt": len(prompt.ids)}
        await call.answer({"input_tokens": len(prompt.ids)})


async def _prompt(loaded: Loaded, request: CountRequest, **more: Any) -> Any:
    found = conversation(request.messages, request.system)
    kind = request.thinking.type if request.thinking else "adaptive"
    return await chat_prompt(
        loaded,
        found,
        request.chain(loaded),
        seed=request.own_seed,
        think={"enabled": True, "disabled": False}.get(kind),
        go_on=found[-1]["role"] == "assistant",
        tools=anthropic_tools(request.tools, request.tool_choice),
        **more,
    )


class Answer:
    """The answer to a request, whole or event by event."""

    def __init__(self, call: Call, request: MessagesRequest, run: Run) -> None:
        self._call = call
        self._request = request
        self._run = run
        self._id = f"msg_{uuid.uuid4().hex}"
        self._block: str | None = None  # the kind of the block that grows
        self._n_blocks = 0  # that are complete
        self._n_calls = 0

    async def whole(self) -> None:
        """Send it once it is there."""
        (pieces,) = await self._run.finished()
        thinking = "".join(piece.text for piece in pieces if piece.kind == "thinking")
        text = "".join(piece.text for piece in pieces if piece.kind == "generated")
        content: list[dict[str, Any]] = []
        if thinking:
            content.append({"type": "thinking", "thinking": thinking, "signature": ""})
        calls = calls_in(pieces)
        if text or not (thinking or calls):
            content.append({"type": "text", "text": text})
        content += [{**_tool_use(call), "input": call.arguments} for call in calls]
        self._n_calls = len(calls)
        await self._call.answer(self._message(content, pieces[-1]))

    async def stream(self) -> None:
        """Send an event for each piece."""
        start = self._message([], None)
        await streamed(
            self._call,
            self._run,
            first=_event("message_start", message=start),
            part=self._part,
            last=lambda: _event("message_stop"),
            failed=_failed,
            silent=lambda _: _event("ping"),
        )

    def _message(self, content: list[Any], end: Piece | None) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._run.loaded.name,
            "content": content,
            **self._reason(end),
            "usage": self._usage(),
        }

    def _usage(self) -> dict[str, Any]:
        (generation,) = self._run.generations
        return {
            "input_tokens": generation.n_prompt,  # known before it is read, cached or not
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": generation.n_generated,
        }

    def _reason(self, end: Piece | None) -> dict[str, Any]:
        """Why it ended, and by which stop sequence of the request."""
        if end is None:
            return {"stop_reason": None, "stop_sequence": None}
        found = self._run.generations[0].stop_string
        if found in (self._request.stop_sequences or []):
            return {"stop_reason": "stop_sequence", "stop_sequence": found}
        reason = REASONS.get(end.finish_reason or "end", "end_turn")
        if self._n_calls and end.finish_reason == "end":
            reason = "tool_use"
        return {"stop_reason": reason, "stop_sequence": None}

    def _part(self, _: Generation, pieces: Sequence[Piece]) -> bytes:
        found = b""
        for piece in pieces:
            if piece.kind == "end":
                if self._block is None and not self._n_blocks:
                    found += self._open("text")
                found += self._close()
                usage = self._usage()
                found += _event("message_delta", delta=self._reason(piece), usage=usage)
            elif piece.tool_call is not None:
                found += self._call_events(piece.tool_call)
            elif piece.text:
                kind = "thinking" if piece.kind == "thinking" else "text"
                if self._block not in (None, kind):
                    found += self._close()
                if self._block is None:
                    found += self._open(kind)
                delta = {"type": f"{kind}_delta", kind: piece.text}
                found += _event("content_block_delta", index=self._n_blocks, delta=delta)
        return found

    def _call_events(self, call: ToolCall) -> bytes:
        """A block for a call of a tool."""
        found = self._close()
        block = {**_tool_use(call), "input": {}}
        found += _event("content_block_start", index=self._n_blocks, content_block=block)
        delta = {"type": "input_json_delta", "partial_json": arguments_of(call)}
        found += _event("content_block_delta", index=self._n_blocks, delta=delta)
        self._block = "tool_use"
        self._n_calls += 1
        return found + self._close()

    def _open(self, kind: str) -> bytes:
        self._block = kind
        block = {"type": kind, kind: ""}
        if kind == "thinking":
            block["signature"] = ""
        return _event("content_block_start", index=self._n_blocks, content_block=block)

    def _close(self) -> bytes:
        if self._block is None:
            return b""
        self._block = None
        self._n_blocks += 1
        return _event("content_block_stop", index=self._n_blocks - 1)


def _tool_use(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _failed(error: ApiError) -> bytes:
    return b"event: error\ndata: " + msgspec.json.encode(anthropic_shape(error)) + b"\n\n"


def _event(kind: str, **more: Any) -> bytes:
    data = {"type": kind, **more}
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"
