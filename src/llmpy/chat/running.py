"""Chats that call tools: the functions are called, and the model goes on with what they return."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import AbstractContextManager, aclosing, closing
from typing import Any, Protocol

from llmpy import checks
from llmpy.chat.messages import Message
from llmpy.errors import AnswerError, ToolError
from llmpy.session import STOP, Piece, Stats, ToolCall
from llmpy.tools import Toolset, acalled, called, result_message, toolset

__all__ = ["ToolRuns", "Tools"]

Callback = Callable[[Piece], Any]
Progress = Callable[[int, int], Any]
Tools = Iterable[Any] | Toolset
TIMEOUT = 60.0  # seconds


class _Chat(Protocol):
    """What a chat has for this."""

    say: Callable[..., Generator[Piece]]
    retry: Callable[..., Generator[Piece]]
    asay: Callable[..., AsyncGenerator[Piece]]
    aretry: Callable[..., AsyncGenerator[Piece]]
    stats: Stats | None
    is_cut: bool
    _messages: list[Message]
    _unchanged_by_errors: Callable[[], AbstractContextManager[None]]
    _last_answer: Callable[[], str]

    @property
    def tool_calls(self) -> list[ToolCall]: ...


class ToolRuns:
    """The part of a chat that calls tools."""

    is_cut = False  # whether the last answer ended within a call
    _messages: list[Message]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls of tools that the last message made."""
        last = self._messages[-1] if self._messages else {}
        return [
            ToolCall(str(call.get("id")), call["function"]["name"], call["function"]["arguments"])
            for call in last.get("tool_calls") or ()
        ]

    def run(
        self: _Chat,
        text: str,
        tools: Tools,
        callback: Callback | None = None,
        *,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        max_rounds: int = 8,
        timeout: float | None = TIMEOUT,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        progress: Progress | None = None,
    ) -> str:
        """Say `text`, call the tools that the model asks for, and return its answer in the end.

        `tools` are functions, or `Tool`s with one. What a function returns goes to the model, as
        JSON unless it is a text; so does the message of an exception. `callback` gets the pieces of
        `say`, and one of the kind "tool_result" for each call; it may return STOP. `max_rounds`:
        how many answers may call tools. `tool_choice` holds for the first answer; `max_tokens` for
        each. `timeout`: seconds for one call; a function that takes longer goes on in its thread.

        Raises ToolError for a call that takes too long, and where the model still calls tools after
        `max_rounds`; AnswerError where `max_tokens` or the context end a call. Errors leave
        `messages` as they were.
        """
        given = _runnable(tools, tool_choice, parallel_tool_calls)
        limit = _limits(callback, max_rounds, timeout)
        options = {"max_tokens": max_tokens, "stop": stop, "progress": progress}
        with self._unchanged_by_errors():
            events = self.say(text, tools=given, **options)
            for _ in range(max_rounds):
                with closing(events):
                    for piece in events:
                        if callback is not None and callback(piece) is STOP:
                            return self._last_answer()
                _check_whole(self)
                calls = self.tool_calls
                if not calls:
                    return self._last_answer()
                for call in calls:
                    found = called(call, given.tools, limit)
                    self._messages.append(result_message(call, found))
                    piece = Piece(found, None, "tool_result", tool_call=call)
                    if callback is not None and callback(piece) is STOP:
                        return ""
                given = Toolset(given.tools, "auto", given.parallel)
                events = self.retry(tools=given, **options)
            raise _endless(max_rounds)

    async def arun(
        self: _Chat,
        text: str,
        tools: Tools,
        callback: Callback | None = None,
        *,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        max_rounds: int = 8,
        timeout: float | None = TIMEOUT,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        progress: Progress | None = None,
    ) -> str:
        """`run` for asyncio: tools that are coroutines run in the event loop, others in threads."""
        given = _runnable(tools, tool_choice, parallel_tool_calls)
        limit = _limits(callback, max_rounds, timeout)
        options = {"max_tokens": max_tokens, "stop": stop, "progress": progress}
        with self._unchanged_by_errors():
            events = self.asay(text, tools=given, **options)
            for _ in range(max_rounds):
                async with aclosing(events):
                    async for piece in events:
                        if callback is not None and callback(piece) is STOP:
                            return self._last_answer()
                _check_whole(self)
                calls = self.tool_calls
                if not calls:
                    return self._last_answer()
                for call in calls:
                    found = await acalled(call, given.tools, limit)
                    self._messages.append(result_message(call, found))
                    piece = Piece(found, None, "tool_result", tool_call=call)
                    if callback is not None and callback(piece) is STOP:
                        return ""
                given = Toolset(given.tools, "auto", given.parallel)
                events = self.aretry(tools=given, **options)
            raise _endless(max_rounds)


def _runnable(tools: Tools, choice: str, parallel: bool) -> Toolset:
    given = toolset(tools, choice, parallel=parallel)
    if given is None:
        raise TypeError("tools: expected functions that the model may call, found None")
    for tool in given.tools:
        if tool.function is None:
            raise TypeError(
                f"tools: {tool.name!r}: expected a function to call, found a definition only; "
                "chat.say(tools=...) gives the calls to you"
            )
    return given


def _limits(callback: Any, max_rounds: int, timeout: float | None) -> float | None:
    checks.function("callback", callback)
    checks.whole("max_rounds", max_rounds, 1)
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise checks.wrong_type("timeout", "a number of seconds", timeout)
    if not timeout > 0:
        raise ValueError(f"timeout: expected more than 0 seconds, found {timeout}")
    return float(timeout)


def _check_whole(chat: _Chat) -> None:
    """Raise AnswerError where the last answer ended within a call."""
    if chat.is_cut and chat.stats is not None:
        reason = chat.stats.finish_reason
        text = f"a call of a tool is not whole: the answer ended by {reason!r}"
        raise AnswerError(f"{text}; allow more max_tokens", chat._last_answer(), reason)


def _endless(max_rounds: int) -> ToolError:
    return ToolError(
        f"the model still calls tools after {max_rounds} rounds; allow more (max_rounds=), or "
        "describe the tools so that their results are enough"
    )
