"""Calling the functions of tools, and what the model is told of it.

An exception of a function is its result. One that does not return in time is an error: it goes on
in its thread, for a thread cannot be ended from outside.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any

from llmpy.errors import ToolError
from llmpy.session.events import ToolCall
from llmpy.tools.definition import Tool

__all__ = ["acalled", "called", "result_message"]

MAX_RESULT = 1 << 20  # characters


def called(call: ToolCall, tools: Sequence[Tool], timeout: float | None) -> str:
    """Return what a call returns, as text for the model; ToolError where it takes too long."""
    prepared = _prepared(call, tools)
    if isinstance(prepared, str):
        return prepared
    found: list[str] = []
    context = copy_context()

    def run() -> None:
        found.append(context.run(_result, prepared))

    thread = threading.Thread(target=run, name=f"llmpy-tool-{call.name}", daemon=True)
    thread.start()
    thread.join(timeout)
    if not found:
        raise _late(call, timeout)
    return found[0]


async def acalled(call: ToolCall, tools: Sequence[Tool], timeout: float | None) -> str:
    """`called` for asyncio: coroutines run in the event loop, other functions in a thread."""
    prepared = _prepared(call, tools)
    if isinstance(prepared, str):
        return prepared
    tool = next(tool for tool in tools if tool.name == call.name)
    if not inspect.iscoroutinefunction(tool.function):
        return await asyncio.to_thread(called, call, tools, timeout)
    try:
        async with asyncio.timeout(timeout) as limit:
            return _text(await prepared())
    except TimeoutError as error:
        if limit.expired():
            raise _late(call, timeout) from None
        return _failed(error)
    except Exception as error:
        return _failed(error)


def result_message(call: ToolCall, text: str) -> dict[str, Any]:
    """Return the message that tells the model what a call returned."""
    return {"role": "tool", "content": text, "tool_call_id": call.id, "name": call.name}


def _prepared(call: ToolCall, tools: Sequence[Tool]) -> Callable[[], Any] | str:
    """The function with its arguments, or what is wrong with the call."""
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is None:
        names = ", ".join(tool.name for tool in tools)
        return f"Error: there is no tool {call.name!r}; there are {names}"
    function = tool.function
    if function is None:
        raise ToolError(f"tool {tool.name!r}: expected a function to call, found a definition only")
    try:
        values = tool.values(call.arguments)
    except ValueError as error:
        return f"Error: {error}"
    return lambda: function(**values)


def _result(function: Callable[[], Any]) -> str:
    try:
        value = function()
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return _text(value)
    except BaseException as error:
        return _failed(error)


def _failed(error: BaseException) -> str:
    return f"Error: {type(error).__name__}: {error}"[:MAX_RESULT]


def _text(value: Any) -> str:
    """Return the result of a function as text: JSON for all but texts."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode(errors="replace").decode()  # without lone surrogates
    if len(text) > MAX_RESULT:
        raise ValueError(f"expected a result of at most {MAX_RESULT} characters, found {len(text)}")
    return text


def _late(call: ToolCall, timeout: float | None) -> ToolError:
    return ToolError(
        f"tool {call.name!r}: expected a result within {timeout:g} seconds (timeout=), found none; "
        "the function goes on in its thread"
    )
