"""Tools in a prompt: as the template has them, or as text where it has no place for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmpy.chat.messages import Message
from llmpy.chat.template import ChatTemplate
from llmpy.tools import Layout

__all__ = ["in_first_user", "plain_messages", "takes_tools"]

INTRODUCTION = (
    "You have access to the following tools. To answer, call one or more of them where that helps; "
    "otherwise answer the user yourself.\n\n<tools>\n{tools}\n</tools>\n\n"
    "To call a tool, write its name and its arguments as JSON, exactly like this:\n{example}"
)
RESULT = "<tool_response>\n{}\n</tool_response>"


def takes_tools(template: ChatTemplate) -> bool:
    """Whether a template writes the definitions of tools itself."""
    return "tools" in template.variables


def plain_messages(
    template: ChatTemplate,
    layout: Layout,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None,
) -> list[Message]:
    """Messages whose tools, calls and results are text, as far as the template needs that.

    The definitions become a part of the system message.
    """
    found = [dict(message) for message in messages]
    if "tool_calls" not in template.source:
        found = _without_calls(found)
    if not tools or takes_tools(template):
        return found
    text = INTRODUCTION.format(
        tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools),
        example=layout.example(),
    )
    if found and found[0]["role"] == "system" and isinstance(found[0].get("content"), str):
        content = found[0]["content"].rstrip()
        return [{**found[0], "content": f"{content}\n\n{text}"}, *found[1:]]
    return [{"role": "system", "content": text}, *found]


def in_first_user(messages: Sequence[Message]) -> list[Message]:
    """Messages whose system message is the beginning of the first one of the user."""
    system, *found = messages
    for i, message in enumerate(found):
        if message["role"] == "user" and isinstance(message.get("content"), str):
            text = f"{system['content']}\n\n{message['content']}"
            return [*found[:i], {**message, "content": text}, *found[i + 1 :]]
    return list(messages)


def _without_calls(messages: Sequence[Message]) -> list[Message]:
    """Messages whose calls and results of tools are text."""
    found: list[Message] = []
    after_result = False
    for message in messages:
        if message["role"] == "tool":
            text = RESULT.format(message.get("content") or "")
            if after_result:
                found[-1]["content"] += "\n" + text
            else:
                found.append({"role": "user", "content": text})
            after_result = True
            continue
        after_result = False
        calls = message.pop("tool_calls", None) or []
        if calls:
            content = message.get("content") or ""
            texts = [content] if content else []
            message["content"] = "\n".join([*texts, *map(_call, calls)])
        found.append(message)
    return found


def _call(call: Mapping[str, Any]) -> str:
    function = call.get("function", call)
    arguments = function.get("arguments") or {}
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    name = json.dumps(function.get("name"), ensure_ascii=False)
    return f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>'
