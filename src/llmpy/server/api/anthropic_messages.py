"""Messages as Anthropic's API has them, to those that chat templates read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmpy.server.api.messages import Function, Message, ToolCall, for_template
from llmpy.server.errors import ApiError

__all__ = ["AnthropicMessage", "Block", "conversation"]

ROLES = ("user", "assistant", "system")


class Block(msgspec.Struct):
    """A part of a message: a text, what was thought, a call of a tool, or what came of one."""

    type: str
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None


class AnthropicMessage(msgspec.Struct):
    """A message of a request."""

    role: str
    content: str | list[Block]


def conversation(
    messages: Sequence[AnthropicMessage], system: str | list[Block] | None
) -> list[dict[str, Any]]:
    """A conversation as a chat template reads it; ApiError names the block that is wrong."""
    if not messages:
        raise ApiError(400, "messages: expected one at least, found none", param="messages")
    found: list[Message] = []
    if system is not None:
        found.append(Message("system", _text(system, "system")))
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        if message.role not in ROLES:
            raise ApiError(
                400,
                f"{where}.role: expected one of {', '.join(ROLES)}, found {message.role[:40]!r}",
                param=f"{where}.role",
            )
        if isinstance(message.content, str):
            found.append(Message(message.role, message.content))
        elif message.role == "assistant":
            found.append(_assistant(message.content, f"{where}.content"))
        else:
            found += _others(message.role, message.content, f"{where}.content")
    return for_template(found)


def _assistant(blocks: list[Block], where: str) -> Message:
    texts, thoughts, calls = [], list[str](), list[ToolCall]()
    for i, block in enumerate(blocks):
        if block.type == "tool_use":
            calls.append(ToolCall(Function(block.name or "", block.input or {}), block.id))
        elif block.type == "thinking":
            thoughts.append(block.thinking or "")
        elif block.type != "redacted_thinking":
            texts.append(_text([block], where, i))
    thought = "\n".join(filter(None, thoughts)) or None
    text = "\n".join(texts)
    return Message("assistant", text, tool_calls=calls or None, reasoning_content=thought)


def _others(role: str, blocks: list[Block], where: str) -> list[Message]:
    """Return the results of tools, each as a message of its own, then the text."""
    found, texts = list[Message](), list[str]()
    for i, block in enumerate(blocks):
        if block.type != "tool_result":
            texts.append(_text([block], where, i))
            continue
        content, name = block.content, f"{where}[{i}].content"
        if isinstance(content, list):
            try:
                content = msgspec.convert(content, list[Block])
            except msgspec.ValidationError:
                raise ApiError(400, f"{name}: expected blocks", param=name) from None
        if not isinstance(content, str | list | None):
            raise ApiError(400, f"{name}: expected a text or blocks", param=name)
        found.append(Message("tool", _text(content or "", name), tool_call_id=block.tool_use_id))
    if texts or not found:
        found.append(Message(role, "\n".join(texts)))
    return found


def _text(content: str | list[Block], where: str, first: int = 0) -> str:
    """Blocks as one text; `first` is the number of the first of them."""
    if isinstance(content, str):
        return content
    texts = []
    for i, block in enumerate(content, first):
        if block.type != "text" or block.text is None:
            raise ApiError(
                400,
                f"{where}[{i}]: expected a block of type 'text', found {block.type[:40]!r}: models "
                "are given texts only here",
                param=f"{where}[{i}]",
            )
        texts.append(block.text)
    return "\n".join(texts)
