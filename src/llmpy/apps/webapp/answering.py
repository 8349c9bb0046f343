"""Answering: a model is loaded, a prompt read, a text written, tools called."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import llmpy
from llmpy.apps.webapp.prompts import chain_of, conversation
from llmpy.apps.webapp.records import Record
from llmpy.apps.webapp.store import Store
from llmpy.server import (
    ApiError,
    Generation,
    Loaded,
    Offer,
    State,
    acalled,
    as_api_error,
    chat_prompt,
    result_message,
    running,
    toolset,
)

__all__ = ["Writer", "answered"]

Tell = Callable[[str, Any], None]
LOOK = 0.1  # seconds between two looks at what is not writing yet
STATS = 0.25  # seconds between two events of numbers
MOST_ROUNDS = 8  # answers that call tools, one after another
TOOL_SECONDS = 60.0
MOST_RESULT = 200_000  # characters of a tool's result


class Writer:
    """Writes an answer to the disk, and then tells of it."""

    def __init__(self, store: Store, answer: str, tell: Tell) -> None:
        message = store.message(answer)
        self.tell = tell
        self.n_characters = len(message["content"])
        self.n_thinking = len(message["thinking"])
        self.calls: list[Record] = list(message["tool_calls"])
        self.stats: Record = {}
        self.model: str | None = message["model"]
        self._store = store
        self._answer = answer

    def text(self, text: str) -> None:
        """More of the answer."""
        if text:
            self._store.append(self._answer, "text", text)
            self.n_characters += len(text)
            self.tell("text", {"text": text})

    def thinking(self, text: str) -> None:
        """More of what is thought before it."""
        if text:
            self._store.append(self._answer, "thinking", text)
            self.n_thinking += len(text)
            self.tell("thinking", {"text": text})

    def call(self, call: Record) -> None:
        """A call of a tool that is new or has changed."""
        self.calls = [known for known in self.calls if known["id"] != call["id"]] + [call]
        self._store.set_more(self._answer, {"tool_calls": self.calls})
        self.tell("tool", call)

    def finish(self, state: str, error: Record | None) -> Record:
        """The message as it stays."""
        calls = [
            {**call, "state": "failed", "error": "it was stopped"}
            if call["state"] == "running"
            else call
            for call in self.calls
        ]
        fields = {
            "state": state,
            "error": error,
            "stats": self.stats or None,
            "model": self.model,
            "tool_calls": calls,
        }
        return self._store.change_message(self._answer, fields)


async def answered(
    server: State, tools: Sequence[llmpy.Tool], asker: Any, writer: Writer, request: Record
) -> None:
    """Answer a request: model, system, path, settings, schema, tools, go_on."""
    begun = time.perf_counter()
    chosen = [t for t in tools if request["tools"] is None or t.name in request["tools"]]
    if request["schema"] is not None:
        chosen = []
    async with _loaded(server, request["model"], writer) as loaded:
        writer.model = loaded.name
        ready = time.perf_counter()
        messages = conversation(request["system"], request["path"])
        last = messages[-1]
        goes_on = request["go_on"] and last["role"] == "assistant" and "tool_calls" not in last
        numbers = Numbers(loaded, writer, load_seconds=ready - begun)
        for round_ in range(MOST_ROUNDS + 1):
            calls = await _round(
                server,
                asker,
                loaded,
                messages,
                chosen,
                writer,
                request,
                numbers,
                go_on=goes_on and round_ == 0,
            )
            if not calls:
                return
            if round_ == MOST_ROUNDS:
                raise ApiError(
                    500,
                    f"the model still calls tools after {MOST_ROUNDS} rounds",
                    code="too_many_rounds",
                )
            for call in calls:
                messages.append(await _called(call, chosen, writer))


@asynccontextmanager
async def _loaded(server: State, name: str | None, writer: Writer) -> AsyncIterator[Loaded]:
    """The model, and word of what it waits for until it is there."""
    offer = server.models.find(name)
    if not Path(offer.path).exists():
        raise ApiError(
            404,
            f"the model {offer.name!r} is gone: there is nothing at {offer.path}",
            code="model_not_found",
        )
    telling = None
    if offer.loaded is None or offer.leaving:
        telling = asyncio.create_task(_tell_loading(offer, writer))
    else:
        writer.tell("stage", {"stage": "queue", "position": 0})
    try:
        async with server.models.use(offer.name) as loaded:
            if telling is not None:
                telling.cancel()
            yield loaded
    finally:
        if telling is not None:
            telling.cancel()


async def _tell_loading(offer: Offer, writer: Writer) -> None:
    """Tell how far a model is loaded, or that another one is first, until this is cancelled."""
    said: Record = {}
    while True:
        stage: Record = {"stage": "queue", "position": 1}
        if offer.loading:
            done, total = offer.n_bytes_ready, offer.n_bytes
            stage = {"stage": "loading", "model": offer.name, "done": done, "total": total}
        if stage != said:
            writer.tell("stage", stage)
            said = stage
        await asyncio.sleep(LOOK)


async def _round(
    server: State,
    asker: Any,
    loaded: Loaded,
    messages: list[Record],
    tools: Sequence[llmpy.Tool],
    writer: Writer,
    request: Record,
    numbers: Numbers,
    *,
    go_on: bool,
) -> list[llmpy.ToolCall]:
    """Generate a text; return the calls in it, which are in `messages` then."""
    settings = request["settings"]
    prompt, reader = await chat_prompt(
        loaded,
        messages,
        chain_of(loaded.model, settings),
        seed=settings.get("seed"),
        max_tokens=settings.get("max_tokens"),
        stop=tuple(settings.get("stop", ())),
        think=settings.get("think"),
        go_on=go_on,
        schema=request["schema"],
        schema_field="schema",
        tools=toolset(tools, "auto") if tools else None,
    )
    calls: list[llmpy.ToolCall] = []
    said = thought = ""
    async with running(asker, server, loaded, [prompt], reader=reader) as run:
        generation = run.generations[0]
        telling = asyncio.create_task(_tell_reading(loaded, generation, writer))
        try:
            async for found in run.pieces():
                if not telling.done() and generation.first:
                    telling.cancel()
                    writer.tell("stage", {"stage": "writing"})
                for _, pieces in found:
                    text = "".join(p.text for p in pieces if p.kind == "generated")
                    thinking = "".join(p.text for p in pieces if p.kind == "thinking")
                    writer.thinking(thinking)
                    writer.text(text)
                    said, thought = said + text, thought + thinking
                    calls += [p.tool_call for p in pieces if p.tool_call is not None]
                numbers.count(generation, thinking=bool(thought and not said))
        finally:
            telling.cancel()
            numbers.end(generation)
    if calls:
        message = {
            "role": "assistant",
            "content": said.strip(),
            "tool_calls": [call.as_dict() for call in calls],
        }
        messages.append(message)
    return calls


async def _tell_reading(loaded: Loaded, generation: Generation, writer: Writer) -> None:
    """Tell how far the prompt is read, until this is cancelled."""
    said: Record = {}
    while True:
        if position := loaded.decoder.position(generation):
            stage: Record = {"stage": "queue", "position": position}
        else:
            stage = {"stage": "reading", "done": generation.n_read, "total": generation.n_prompt}
        if stage != said:
            writer.tell("stage", stage)
            said = stage
        await asyncio.sleep(LOOK)


async def _called(call: llmpy.ToolCall, tools: Sequence[llmpy.Tool], writer: Writer) -> Record:
    """Call a tool; what it returns is told to the model, and so is an error."""
    record: Record = {
        "id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        "state": "running",
        "at": writer.n_characters,
        "thinking_at": writer.n_thinking,
    }
    writer.call(record)
    begun = time.perf_counter()
    try:
        result = (await acalled(call, tools, TOOL_SECONDS))[:MOST_RESULT]
    except Exception as error:
        known = as_api_error(error)
        result = f"Error: {known.message if known else error}"
    failed = result.startswith("Error: ")
    seconds = round(time.perf_counter() - begun, 3)
    what = {"error": result.removeprefix("Error: ")} if failed else {"result": result}
    writer.call({**record, **what, "state": "failed" if failed else "done", "seconds": seconds})
    return result_message(call, result)


class Numbers:
    """Counts and times of an answer, over all its rounds."""

    def __init__(self, loaded: Loaded, writer: Writer, load_seconds: float) -> None:
        self._loaded = loaded
        self._writer = writer
        self._load_seconds = load_seconds
        self._told = 0.0
        self._sums = dict.fromkeys(("prompt", "reused", "generated", "thinking"), 0)
        self._writing = self._reading = 0.0
        self._thinking_since: float | None = None
        self._thinking_seconds = 0.0
        self._first: float | None = None

    def count(self, generation: Generation, *, thinking: bool) -> None:
        """Tell the numbers so far, if some time has passed since the last ones."""
        now = time.perf_counter()
        if thinking:
            self._thinking_since = self._thinking_since or now
            self._thinking_seconds = now - self._thinking_since
        if now - self._told >= STATS:
            self._told = now
            self._set(generation, now)
            self._writer.tell("stats", self._writer.stats)

    def end(self, generation: Generation) -> None:
        """Take in a round that has ended, or was stopped."""
        now = generation.ended or time.perf_counter()
        self._set(generation, now)
        first = generation.first or now
        self._writing += now - first
        self._reading += first - generation.submitted
        for name, n in _counts(generation).items():
            self._sums[name] += n
        self._thinking_since = None
        with suppress(KeyError):
            self._writer.tell("stats", self._writer.stats)

    def _set(self, generation: Generation, now: float) -> None:
        first = generation.first or now
        if self._first is None and generation.first:
            self._first = generation.first - generation.submitted
        counts = {name: self._sums[name] + n for name, n in _counts(generation).items()}
        writing = self._writing + now - first
        reading = self._reading + first - generation.submitted
        n_new = counts["prompt"] - counts["reused"]
        self._writer.stats = {
            "n_prompt": generation.n_prompt,
            "n_reused": generation.n_reused,
            "n_generated": counts["generated"],
            "n_thinking": counts["thinking"],
            "first_token_seconds": None if self._first is None else round(self._first, 4),
            "seconds": round(writing, 4),
            "tokens_per_second": _rate(counts["generated"] - 1, writing),
            "prompt_per_second": _rate(n_new, reading),
            "thinking_seconds": round(self._thinking_seconds, 2),
            "finish_reason": generation.reason,
            "n_ctx": self._loaded.model.n_ctx,
            "n_used": generation.n_prompt + generation.n_generated,
            "queue_seconds": round(max(0.0, generation.started - generation.submitted), 4)
            if generation.started
            else None,
            "load_seconds": round(self._load_seconds, 4),
        }


def _counts(generation: Generation) -> dict[str, int]:
    return {
        "prompt": generation.n_prompt,
        "reused": generation.n_reused,
        "generated": generation.n_generated,
        "thinking": generation.n_thinking,
    }


def _rate(n: int, seconds: float) -> float | None:
    return round(n / seconds, 2) if seconds > 0 and n > 0 else None
