"""Ollama's /api/chat and /api/generate."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from llmpy.server.api.conversation import chat_prompt
from llmpy.server.api.fields import Sampling, checked_stop, read, within
from llmpy.server.api.messages import Message, ToolCall, for_template
from llmpy.server.api.openai_completions import gap_ids, prompts_of
from llmpy.server.api.openai_shapes import FINISH, chat_logprobs
from llmpy.server.api.tools import calls_in, openai_tools
from llmpy.server.call import LINES, Call
from llmpy.server.errors import ApiError, ollama_shape
from llmpy.server.generation import Generation, Prompt
from llmpy.server.models import Loaded
from llmpy.server.running import Run, running
from llmpy.server.stamp import stamp
from llmpy.server.state import State
from llmpy.server.streaming import streamed
from llmpy.session import Piece
from llmpy.tools import Toolset

__all__ = [
    "ChatRequest",
    "GenerateRequest",
    "chat",
    "generate",
    "model_named",
    "seconds_of",
]

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
REFUSED = {
    "images": "models are given texts only here",
    "context": "nothing is remembered between requests: use /api/chat",
    "template": "the model's own is used, or that of --template",
    "width": "no pictures are made",
    "height": "no pictures are made",
    "steps": "no pictures are made",
}


class Options(Sampling, kw_only=True):
    """The options that choose tokens; those about memory and processors are the server's."""

    num_predict: int | None = None
    stop: str | list[str] | None = None


class Request(msgspec.Struct, kw_only=True):
    """The fields that requests for chats and texts share."""

    model: str
    stream: bool | None = None
    options: Options | None = None
    keep_alive: float | str | None = None
    think: bool | str | None = None
    format: str | dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None

    @property
    def n_logprobs(self) -> int | None:
        """The number of likeliest tokens that are reported with each token."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def schema(self) -> Any:
        """The JSON schema that the answer must be valid by, None for any text."""
        if self.format == "json":
            return {"type": "object"}
        if isinstance(self.format, str) and self.format:
            problem = f"format: expected json or a JSON schema, found {self.format[:40]!r}"
            raise ApiError(400, problem, param="format")
        return self.format or None

    @property
    def thinks(self) -> dict[str, Any]:
        """Whether and how much the model shall think, as `chat_prompt` takes it."""
        if isinstance(self.think, str):
            return {"effort": self.think}
        return {"think": self.think}


class OllamaMessage(msgspec.Struct):
    """A message of Ollama's API."""

    role: str
    content: str = ""
    thinking: str | None = None
    images: list[Any] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None


class ChatRequest(Request, kw_only=True):
    """A conversation to answer."""

    messages: list[OllamaMessage] | None = None
    tools: list[dict[str, Any]] | None = None


class GenerateRequest(Request, kw_only=True):
    """A text to answer; with `raw` one to go on with, with `suffix` one with a gap to fill."""

    prompt: str | None = None
    system: str | None = None
    suffix: str | None = None
    raw: bool | None = None


async def chat(call: Call, state: State) -> None:
    """POST /api/chat."""
    request = await read(call, ChatRequest, REFUSED, {})
    async with _model(request, state) as loaded:
        if not request.messages:
            await _answer_load(call, request, state, {"message": _message("")})
            return
        tools = openai_tools(request.tools, None, None)
        prompt, reader = await _chat_prompt(loaded, request, _messages(request.messages), tools)
        async with _running(call, state, loaded, request, prompt, reader) as run:
            await Answer(call, request, run, lambda text, more: {"message": _message(text, more)})()


async def generate(call: Call, state: State) -> None:
    """POST /api/generate."""
    request = await read(call, GenerateRequest, REFUSED, {})
    async with _model(request, state) as loaded:
        if not request.prompt:
            await _answer_load(call, request, state, {"response": ""})
            return
        reader: Any = None
        as_it_stands = request.raw or bool(request.suffix)
        if as_it_stands and request.schema is not None:
            problem = "format: only answers have one, not texts with raw or suffix"
            raise ApiError(400, problem, param="format")
        if as_it_stands:
            options = request.options or Options()
            if request.suffix:
                ids = gap_ids(loaded, request.prompt, request.suffix, "prompt")
            else:
                (ids,) = prompts_of(request.prompt, loaded, "prompt", True)
            prompt = Prompt(
                ids,
                options.chain(loaded),
                options.own_seed,
                _most(options),
                checked_stop("options.stop", options.stop),
                request.n_logprobs,
            )
        else:
            messages = [] if request.system is None else [Message("system", request.system)]
            messages.append(Message("user", request.prompt))
            prompt, reader = await _chat_prompt(loaded, request, for_template(messages))
        async with _running(call, state, loaded, request, prompt, reader) as run:
            await Answer(call, request, run, lambda text, more: {"response": text, **more})()


def model_named(name: str, state: State) -> str:
    """The offer of a name; Ollama's clients write :latest behind it."""
    plain = name.removesuffix(":latest")
    return plain if name not in state.models.offers and plain in state.models.offers else name


def seconds_of(keep_alive: float | str | None) -> float | None:
    """Seconds that a model stays: None for ever, -1 for what the server says."""
    if keep_alive is None:
        return -1
    text = str(keep_alive).strip()
    unit = next((u for u in ("ms", "h", "m", "s") if text.endswith(u)), "")
    try:
        seconds = float(text.removesuffix(unit)) * UNITS.get(unit, 1)
    except ValueError:
        raise ApiError(
            400,
            f"keep_alive: expected seconds or a time like '5m', found {text[:40]!r}",
            param="keep_alive",
        ) from None
    return None if seconds < 0 else seconds


@asynccontextmanager
async def _model(request: Request, state: State) -> AsyncIterator[Loaded]:
    within("top_logprobs", request.top_logprobs, 0, 20)
    name = model_named(request.model, state)
    async with state.models.use(name, seconds_of(request.keep_alive)) as loaded:
        yield loaded


def _most(options: Options) -> int | None:
    most = options.num_predict
    return None if most is None or most < 0 else most


def _messages(given: Sequence[OllamaMessage]) -> list[dict[str, Any]]:
    found = []
    for i, message in enumerate(given):
        if message.images:
            where = f"messages[{i}].images"
            raise ApiError(400, f"{where}: models are given texts only here", param=where)
        one = Message(
            message.role,
            message.content,
            name=message.tool_name,
            tool_calls=message.tool_calls or None,
            reasoning_content=message.thinking,
        )
        found.append(one)
    return for_template(found)


async def _chat_prompt(
    loaded: Loaded,
    request: Request,
    messages: list[dict[str, Any]],
    tools: Toolset | None = None,
) -> tuple[Prompt, Any]:
    options = request.options or Options()
    return await chat_prompt(
        loaded,
        messages,
        options.chain(loaded),
        seed=options.own_seed,
        max_tokens=_most(options),
        stop=checked_stop("options.stop", options.stop),
        logprobs=request.n_logprobs,
        schema=request.schema,
        schema_field="format",
        tools=tools,
        **request.thinks,
    )


@asynccontextmanager
async def _running(
    call: Call, state: State, loaded: Loaded, request: Request, prompt: Prompt, reader: Any
) -> AsyncIterator[Run]:
    streams = request.stream is not False
    async with running(call, state, loaded, [prompt], reader=reader, streams=streams) as run:
        yield run


async def _answer_load(call: Call, request: Request, state: State, empty: dict[str, Any]) -> None:
    """Answer a request for nothing but that a model is loaded, or unloaded."""
    unload = seconds_of(request.keep_alive) == 0
    reason = "unload" if unload else "load"
    name = model_named(request.model, state)
    if unload:
        state.models.unload_soon(name)
    head = {"model": request.model, "created_at": stamp()}
    await call.answer({**head, **empty, "done": True, "done_reason": reason})


def _message(content: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **(more or {})}


class Answer:
    """An answer, whole or as a line of JSON for each piece.

    `shape` puts a text, and what was thought, into the form of the API.
    """

    def __init__(
        self,
        call: Call,
        request: Request,
        run: Run,
        shape: Callable[[str, dict[str, Any]], dict[str, Any]],
    ) -> None:
        self._call = call
        self._request = request
        self._run = run
        self._shape = shape
        self._begun = time.perf_counter()

    async def __call__(self) -> None:
        """Send it."""
        if self._request.stream is False:
            (pieces,) = await self._run.finished()
            await self._call.answer({**self._content(pieces), **self._end(pieces[-1])})
            return
        await streamed(
            self._call,
            self._run,
            first=b"",
            part=self._lines,
            last=lambda: b"",
            failed=lambda error: _line(ollama_shape(error)),
            silent=lambda _: _line({**self._content([]), "done": False}),
            kind=LINES,
        )

    def _content(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        content = "".join(piece.text for piece in pieces if piece.kind == "generated")
        thinking = "".join(piece.text for piece in pieces if piece.kind == "thinking")
        found = {"model": self._request.model, "created_at": stamp()}
        more: dict[str, Any] = {"thinking": thinking} if thinking else {}
        if calls := calls_in(pieces):
            more["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
        found |= self._shape(content, more)
        if self._request.logprobs:
            tokenizer = self._run.loaded.model.tokenizer
            found["logprobs"] = chat_logprobs(pieces, tokenizer)["content"]
        return found

    def _lines(self, _: Generation, pieces: Sequence[Piece]) -> bytes:
        found = b""
        if any(piece.text or piece.tool_call for piece in pieces):
            found += _line({**self._content(pieces), "done": False})
        if pieces[-1].kind == "end":
            found += _line({**self._content([]), **self._end(pieces[-1])})
        return found

    def _end(self, piece: Piece) -> dict[str, Any]:
        """The counts and times, in nanoseconds."""
        (generation,) = self._run.generations
        first = generation.first or generation.ended
        return {
            "done": True,
            "done_reason": FINISH[piece.finish_reason],
            "total_duration": _ns(generation.ended - generation.submitted),
            "load_duration": 0,
            "prompt_eval_count": generation.n_prompt,
            "prompt_eval_duration": _ns(first - generation.started),
            "eval_count": generation.n_generated,
            "eval_duration": _ns(generation.ended - first),
        }


def _ns(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


def _line(data: Any) -> bytes:
    return msgspec.json.encode(data) + b"\n"
