"""Messages as OpenAI's API has them, to those that chat templates read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from llmpy.server.errors import ApiError

__all__ = ["Function", "Message", "Part", "ToolCall", "for_template", "joined_systems"]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
SYSTEM = ("system", "developer")


class Part(msgspec.Struct):
    """A part of a message's content."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Function(msgspec.Struct):
    """The function that an assistant has called."""

    name: str
    arguments: str | dict[str, Any] | None = None


class ToolCall(msgspec.Struct):
    """A call of a tool by an assistant."""

    function: Function
    id: str | None = None
    type: str = "function"


class Message(msgspec.Struct):
    """A message of a request."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


def for_template(messages: Sequence[Message], name: str = "messages") -> list[dict[str, Any]]:
    """Messages as a chat template reads them; ApiError names the one that is wrong."""
    if not messages:
        raise ApiError(400, f"{name}: expected one message at least, found none", param=name)
    found = []
    called = set[str]()
    for i, message in enumerate(messages):
        where = f"{name}[{i}]"
        if message.role not in ROLES:
            raise ApiError(
                400,
                f"{where}.role: expected one of {', '.join(ROLES)}, found {message.role[:40]!r}",
                param=f"{where}.role",
            )
        one: dict[str, Any] = {"role": message.role, "content": _text(message, where)}
        if message.name is not None:
            one["name"] = message.name
        if (thought := message.reasoning_content or message.reasoning) is not None:
            one["reasoning_content"] = thought
        if message.tool_calls:
            one["tool_calls"] = [
                _call(call, f"{where}.tool_calls[{j}]") for j, call in enumerate(message.tool_calls)
            ]
            called |= {call.id for call in message.tool_calls if call.id}
        if message.role == "tool":
            _check_answered(message, called, where)
            one["tool_call_id"] = message.tool_call_id
        found.append(one)
    return joined_systems(found)


def joined_systems(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All that systems and developers say as one first message, for templates take no more."""
    texts = [message["content"] for message in messages if message["role"] in SYSTEM]
    others = [message for message in messages if message["role"] not in SYSTEM]
    if not texts:
        return others
    return [{"role": "system", "content": "\n\n".join(filter(None, texts))}, *others]


def _text(message: Message, where: str) -> str:
    """The content as one text; pictures and sounds are refused by their names."""
    content = message.content
    if content is None:
        if message.role not in ("assistant", "tool", "function"):
            param = f"{where}.content"
            raise ApiError(400, f"{param}: expected a text, found none", param=param)
        return message.refusal or ""
    if isinstance(content, str):
        return content
    texts = []
    for i, part in enumerate(content):
        param = f"{where}.content[{i}]"
        text = part.refusal if part.type == "refusal" else part.text
        if part.type not in ("text", "refusal", "input_text", "output_text"):
            raise ApiError(
                400,
                f"{param}: expected a part of type 'text', found {part.type[:40]!r}: models are "
                "given texts only here",
                param=param,
                code="unsupported_content",
            )
        if text is None:
            raise ApiError(400, f"{param}.text: expected a text, found none", param=f"{param}.text")
        texts.append(text)
    return "\n".join(texts)


def _call(call: ToolCall, where: str) -> dict[str, Any]:
    arguments = call.function.arguments
    if isinstance(arguments, str | None):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            param = f"{where}.function.arguments"
            raise ApiError(400, f"{param}: expected an object in JSON", param=param)
    function = {"name": call.function.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _check_answered(message: Message, called: set[str], where: str) -> None:
    """A tool answers a call that an assistant has made before."""
    if message.tool_call_id is None or message.tool_call_id in called:
        return
    param = f"{where}.tool_call_id"
    known = ", ".join(map(repr, sorted(called)[:10])) or "none before it"
    raise ApiError(
        400,
        f"{param}: expected the id of a call of an assistant ({known}), found "
        f"{message.tool_call_id[:60]!r}",
        param=param,
    )
