"""OpenAI's /v1/responses, without memory: each request brings the whole conversation."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from llmpy.server.api.conversation import chat_prompt
from llmpy.server.api.fields import Sampling, read, schema_of, within
from llmpy.server.api.messages import Function, Message, Part, ToolCall, for_template
from llmpy.server.api.openai_shapes import chat_logprobs
from llmpy.server.api.response_stream import ResponseStream
from llmpy.server.api.tools import calls_in, function_call, openai_tools
from llmpy.server.call import Call
from llmpy.server.errors import ApiError, bad_value
from llmpy.server.running import Run, running
from llmpy.server.state import State
from llmpy.session import Piece

__all__ = ["IGNORED", "REFUSED", "ResponseRequest", "responses"]

MOST_LOGPROBS = 20
WITH_LOGPROBS = "message.output_text.logprobs"


class Reasoning(msgspec.Struct):
    """The reasoning effort of a request."""

    effort: str | None = None


class TextFormat(msgspec.Struct):
    """The format of the answer."""

    format: dict[str, Any] | None = None


class ResponseRequest(Sampling, kw_only=True):
    """The fields that are honoured; `REFUSED` and `IGNORED` have the others of that API."""

    input: str | list[dict[str, Any]] = ""
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    reasoning: Reasoning | None = None
    text: TextFormat | None = None
    truncation: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None


NO_MEMORY = "nothing is remembered between requests: send the whole conversation as input"
REFUSED = {
    "background": NO_MEMORY,
    "context_management": "nothing of a conversation is left out",
    "conversation": NO_MEMORY,
    "previous_response_id": NO_MEMORY,
    "prompt": "no prompts are kept",
}
IGNORED = {
    "max_tool_calls": "says how many tools may be called",
    "moderation": "nothing is moderated",
    "prompt_cache_key": "all prompts share one cache",
    "prompt_cache_options": "all prompts share one cache",
    "prompt_cache_retention": "the cache has a size and no times",
    "safety_identifier": "there is no list of users",
    "service_tier": "there is one",
    "store": "nothing is stored",
    "stream_options": "is about padding",
    "user": "there is no list of users",
}


async def responses(call: Call, state: State) -> None:
    """POST /v1/responses."""
    request = await read(call, ResponseRequest, REFUSED, IGNORED)
    _check(request)
    messages = _messages(request)
    tools = openai_tools(request.tools, request.tool_choice, request.parallel_tool_calls)
    with_logprobs = WITH_LOGPROBS in (request.include or [])
    async with state.models.use(request.model) as loaded:
        prompt, reader = await chat_prompt(
            loaded,
            messages,
            request.chain(loaded),
            seed=request.own_seed,
            max_tokens=request.max_output_tokens,
            logprobs=(request.top_logprobs or 0) if with_logprobs else None,
            effort=request.reasoning.effort if request.reasoning else None,
            schema=schema_of(request.text and request.text.format, "text.format"),
            schema_field="text.format",
            tools=tools,
        )
        streams = bool(request.stream)
        async with running(call, state, loaded, [prompt], reader=reader, streams=streams) as run:
            made = Made(request, run)
            if streams:
                await ResponseStream(call, run, made.response, made.logprobs).send()
                return
            (pieces,) = await run.finished()
            await call.answer(made.whole(pieces))


def _check(request: ResponseRequest) -> None:
    within("max_output_tokens", request.max_output_tokens, 1, 2**31)
    within("top_logprobs", request.top_logprobs, 0, MOST_LOGPROBS)
    if request.truncation not in (None, "disabled"):
        raise ApiError(400, "truncation: nothing of a conversation is left out", param="truncation")


def _messages(request: ResponseRequest) -> list[dict[str, Any]]:
    """The input as a conversation; its items have other names for what messages hold."""
    found = [] if request.instructions is None else [Message("system", request.instructions)]
    if isinstance(request.input, str):
        return for_template([*found, Message("user", request.input)], "input")
    n_before = len(found)
    thought: str | None = None
    for i, item in enumerate(request.input):
        where = f"input[{i}]"
        kind = item.get("type", "message")
        if kind == "reasoning":
            thought = _thought(item)
        elif kind == "message":
            message = _converted(item, Message, where)
            if message.role == "assistant" and thought:
                message.reasoning_content = thought
            thought = None
            found.append(message)
        elif kind == "function_call":
            function = Function(str(item.get("name")), item.get("arguments"))
            made = ToolCall(function, str(item.get("call_id")))
            last = found[-1] if len(found) > n_before else None
            if last is not None and last.role == "assistant":
                last.tool_calls = [*(last.tool_calls or []), made]
            else:
                found.append(Message("assistant", tool_calls=[made], reasoning_content=thought))
            thought = None
        elif kind == "function_call_output":
            output = item.get("output")
            text = output if isinstance(output, str) else _converted(output, list[Part], where)
            found.append(Message("tool", text, tool_call_id=str(item.get("call_id"))))
        else:
            raise ApiError(
                400,
                f"{where}.type: expected message, reasoning, function_call or "
                f"function_call_output, found {str(kind)[:40]!r}",
                param=f"{where}.type",
            )
    return for_template(found, "input")


def _converted(item: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(item, kind)
    except msgspec.ValidationError as error:
        problem = bad_value(error)
        field = where if problem.param is None else f"{where}.{problem.param}"
        message = problem.message.removeprefix(f"{problem.param}: ")
        raise ApiError(400, f"{field}: {message}", param=field) from None


def _thought(item: dict[str, Any]) -> str:
    parts = item.get("content") or item.get("summary") or []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


class Made:
    """The response to a request."""

    def __init__(self, request: ResponseRequest, run: Run) -> None:
        self._request = request
        self._run = run
        self._id = f"resp_{uuid.uuid4().hex}"
        self._created = int(time.time())

    def logprobs(self, pieces: Sequence[Piece]) -> list[Any]:
        """The log-probabilities of tokens, where they were asked for."""
        if WITH_LOGPROBS not in (self._request.include or []):
            return []
        content: list[Any] = chat_logprobs(pieces, self._run.loaded.model.tokenizer)["content"]
        return content

    def whole(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The response to pieces that end."""
        thinking = "".join(piece.text for piece in pieces if piece.kind == "thinking")
        content = "".join(piece.text for piece in pieces if piece.kind == "generated")
        output: list[dict[str, Any]] = []
        status = "incomplete" if pieces[-1].finish_reason in ("length", "context") else "completed"
        if thinking:
            output.append(
                {
                    "id": f"rs_{uuid.uuid4().hex}",
                    "type": "reasoning",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": thinking}],
                }
            )
        calls = calls_in(pieces)
        if content or not (thinking or calls):
            shown = [piece for piece in pieces if piece.kind == "generated"]
            text = {
                "type": "output_text",
                "text": content,
                "annotations": [],
                "logprobs": self.logprobs(shown),
            }
            output.append(
                {
                    "id": f"msg_{uuid.uuid4().hex}",
                    "type": "message",
                    "role": "assistant",
                    "status": status,
                    "content": [text],
                }
            )
        output += map(function_call, calls)
        return self.response(status, output)

    def response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        """The response, with the output that there is; counts once it has ended."""
        request, ended = self._request, status in ("completed", "incomplete")
        details = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": details,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "model": self._run.loaded.name,
            "output": output,
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": request.reasoning and request.reasoning.effort},
            "store": False,
            "temperature": request.temperature,
            "text": {"format": (request.text and request.text.format) or {"type": "text"}},
            "tool_choice": request.tool_choice or "auto",
            "tools": request.tools or [],
            "top_p": request.top_p,
            "truncation": "disabled",
            "metadata": request.metadata or {},
            **({"usage": self._usage()} if ended else {}),
        }

    def _usage(self) -> dict[str, Any]:
        (generation,) = self._run.generations
        n_prompt, n_generated = generation.n_prompt, generation.n_generated
        return {
            "input_tokens": n_prompt,
            "input_tokens_details": {
                "cached_tokens": generation.n_reused,
                "cache_write_tokens": n_prompt - generation.n_reused,
            },
            "output_tokens": n_generated,
            "output_tokens_details": {"reasoning_tokens": generation.n_thinking},
            "total_tokens": n_prompt + n_generated,
        }
