"""From the messages of a branch to the conversation that a model is given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec

import llmpy
from llmpy.apps.webapp.records import Record
from llmpy.server import ApiError, bad_value

__all__ = ["Sampling", "chain_of", "conversation", "sampling_of"]


class Sampling(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The sampling of an answer, and its length; null is what the model's file recommends."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    think: bool | None = None


CHAIN = (
    "temperature", "top_p", "top_k", "min_p", "repeat_penalty", "frequency_penalty",
    "presence_penalty",
)  # fmt: skip


def sampling_of(given: Any, name: str) -> Record:
    """Checked settings without those that are null; ApiError names what is wrong."""
    try:
        sampling = msgspec.convert({} if given is None else given, Sampling)
    except msgspec.ValidationError as error:
        found = bad_value(error)
        param = f"{name}.{found.param}" if found.param else name
        raise ApiError(400, f"{name}.{found.message}", param=param, code="invalid_value") from None
    fields = {k: v for k, v in msgspec.structs.asdict(sampling).items() if v is not None}
    if not 1 <= fields.get("max_tokens", 1) <= 2**31:
        raise _wrong(f"{name}.max_tokens", "expected 1 or more")
    if not all(0 < len(text) <= 1000 for text in fields.get("stop", [])[:17]):
        raise _wrong(f"{name}.stop", "expected texts of 1 to 1000 characters")
    if len(fields.get("stop", [])) > 16:
        raise _wrong(f"{name}.stop", "expected up to 16 texts")
    try:
        llmpy.default_chain(**{k: v for k, v in fields.items() if k in CHAIN})
    except llmpy.SamplerError as error:
        field = str(error).partition(":")[0]
        raise _wrong(name, str(error), f"{name}.{field}") from None
    return fields


def chain_of(model: llmpy.Model, settings: Record) -> llmpy.Chain:
    """The sampler of these settings, over what the model's file recommends."""
    given = {k: v for k, v in settings.items() if k in CHAIN}
    return llmpy.default_chain(**{**model.recommended_sampling, **given})


def conversation(system: str | None, path: Iterable[Record]) -> list[Record]:
    """The messages of a branch as chat templates have them.

    Answers that failed before their first word are left out; questions that then follow each other
    become one, for many templates take no two.
    """
    found: list[Record] = []
    if system and system.strip():
        found.append({"role": "system", "content": system})
    for message in path:
        if message["role"] == "assistant":
            found += _answer(message)
        elif found and found[-1]["role"] == "user":
            found[-1]["content"] += "\n\n" + _question(message)
        else:
            found.append({"role": "user", "content": _question(message)})
    return found


def _question(message: Record) -> str:
    """The text of a question, and its files before it."""
    parts = [_file(file) for file in message["files"]]
    return "\n\n".join([*parts, message["content"]] if message["content"] else parts)


def _file(file: Record) -> str:
    text = str(file.get("text", ""))
    fence = "```"
    while fence in text:
        fence += "`"
    return f"File {file.get('name', 'file')}:\n{fence}\n{text.rstrip()}\n{fence}"


def _answer(message: Record) -> Iterator[Record]:
    """An answer: what it said before each group of calls, the calls and results, and the rest."""
    text, done = message["content"], 0
    for at, group in groupby(message["tool_calls"], key=lambda call: call.get("at", 0)):
        calls = [call for call in group if call.get("state") in ("done", "failed")]
        if calls:
            yield {
                "role": "assistant",
                "content": text[done:at].strip(),
                "tool_calls": [_call(call) for call in calls],
            }
            done = at
            for call in calls:
                content = call.get("result") or call.get("error") or ""
                yield {
                    "role": "tool",
                    "content": content if isinstance(content, str) else json.dumps(content),
                    "tool_call_id": call["id"],
                    "name": call["name"],
                }
    if rest := text[done:].strip():
        thought = {"reasoning_content": message["thinking"]} if message["thinking"] else {}
        yield {"role": "assistant", "content": rest, **thought}


def _call(call: Record) -> Record:
    function = {"name": call["name"], "arguments": call.get("arguments") or {}}
    return {"id": call["id"], "type": "function", "function": function}


def _wrong(field: str, problem: str, param: str | None = None) -> ApiError:
    return ApiError(400, f"{field}: {problem}", param=param or field, code="invalid_value")
