"""Tools as the APIs have them, to a `Toolset`; calls, to what the APIs answer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from llmpy.server.errors import ApiError
from llmpy.session import Piece, ToolCall
from llmpy.tools import Toolset, toolset

__all__ = [
    "anthropic_tools",
    "arguments_of",
    "calls_in",
    "function_call",
    "openai_call",
    "openai_tools",
]


def openai_tools(tools: Any, choice: Any, parallel: bool | None) -> Toolset | None:
    """The tools of a request of OpenAI's or Ollama's APIs, None for none.

    A tool has its definition in "function", or beside its type. ApiError names what is wrong.
    """
    if not tools:
        if choice not in (None, "none", "auto"):
            raise _wrong("tool_choice", "it needs tools")
        return None
    name = "auto" if choice is None else choice
    if isinstance(choice, Mapping):
        if choice.get("type") != "function":
            raise _wrong("tool_choice.type", f"expected function, found {choice.get('type')!r:.60}")
        function = choice.get("function", choice)
        name = function.get("name") if isinstance(function, Mapping) else None
    given = [_definition(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    return _checked(given, name, parallel is not False)


def anthropic_tools(tools: Any, choice: Mapping[str, Any] | None) -> Toolset | None:
    """The tools of a request of Anthropic's API, None for none."""
    kind = "auto" if choice is None else choice.get("type")
    if not tools:
        if kind not in ("auto", "none"):
            raise _wrong("tool_choice", "it needs tools")
        return None
    names = {"auto": "auto", "any": "required", "none": "none"}
    name = (choice or {}).get("name") if kind == "tool" else names.get(str(kind))
    if name is None:
        raise _wrong("tool_choice.type", f"expected auto, any, tool or none, found {kind!r:.60}")
    given = []
    for i, tool in enumerate(tools):
        if tool.get("type") not in (None, "custom"):
            raise _wrong(f"tools[{i}].type", f"there is no {str(tool['type'])[:60]!r} here")
        parameters = tool.get("input_schema")
        given.append({**_named(tool, f"tools[{i}]"), "parameters": parameters})
    return _checked(given, name, not (choice or {}).get("disable_parallel_tool_use"))


def arguments_of(call: ToolCall) -> str:
    """The arguments of a call as JSON."""
    return json.dumps(call.arguments, ensure_ascii=False)


def openai_call(call: ToolCall) -> dict[str, Any]:
    """A call as OpenAI's API has it in a message."""
    function = {"name": call.name, "arguments": arguments_of(call)}
    return {"id": call.id, "type": "function", "function": function}


def function_call(call: ToolCall) -> dict[str, Any]:
    """A call as an item of a response of OpenAI's /v1/responses."""
    return {
        "id": f"fc_{uuid.uuid4().hex}",
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments_of(call),
        "status": "completed",
    }


def calls_in(pieces: Sequence[Piece]) -> list[ToolCall]:
    """The calls among the pieces."""
    return [piece.tool_call for piece in pieces if piece.tool_call is not None]


def _definition(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, Mapping) or tool.get("type", "function") != "function":
        kind = tool.get("type") if isinstance(tool, Mapping) else tool
        raise _wrong(f"{where}.type", f"expected function, found {str(kind)[:60]!r}")
    return _named(tool.get("function", tool), where)


def _named(tool: Any, where: str) -> dict[str, Any]:
    """The parts of a definition that are used, each checked."""
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        raise _wrong(f"{where}.name", "expected the name of a function")
    if not isinstance(tool.get("description"), str | None):
        raise _wrong(f"{where}.description", "expected a text")
    return {key: tool.get(key) for key in ("name", "description", "parameters")}


def _checked(given: Sequence[Mapping[str, Any]], choice: Any, parallel: bool) -> Toolset | None:
    try:
        return toolset(given, choice, parallel=parallel)
    except (TypeError, ValueError) as error:
        field = "tool_choice" if str(error).startswith("tool_choice") else "tools"
        message = str(error).removeprefix(f"{field}: ")
        raise _wrong(field, message) from None


def _wrong(field: str, problem: str) -> ApiError:
    return ApiError(400, f"{field}: {problem}", param=field)
