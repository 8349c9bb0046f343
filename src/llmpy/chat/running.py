"""Chats that call tools: the functions are called, and the model goes on with what they return."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import AbstractContextManager, aclosing, closing
from typing import Any, Protocol, TypedDict, Unpack

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


class RunOptions(TypedDict, total=False):
    """The options of `Chat.run` besides the text and the tools."""

    tool_choice: str
    parallel_tool_calls: bool
    max_rounds: int
    timeout: float | None
    max_tokens: int | None
    stop: str | Iterable[str]
    progress: Progress | None


class _Chat(Protocol):
    """The methods of a chat that a run uses."""

    stats: Stats | None
    is_cut: bool
    _messages: list[Message]

    @property
    def tool_calls(self) -> list[ToolCall]: ...

    def say(self, *args: Any, **options: Any) -> Generator[Piece]: ...

    def retry(self, *args: Any, **options: Any) -> Generator[Piece]: ...

    def asay(self, *args: Any, **options: Any) -> AsyncGenerator[Piece]: ...

    def aretry(self, *args: Any, **options: Any) -> AsyncGenerator[Piece]: ...

    def _unchanged_by_errors(self) -> AbstractContextManager[None, Any]: ...

    def _last_answer(self) -> str: ...


class ToolRuns:
    """The methods of a chat that call tools."""

    is_cut = False  # whether the last answer ended within a call
    _messages: list[Message]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Tool calls of the last message."""
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
        stream: bool = False,
        **options: Unpack[RunOptions],
    ) -> Any:
        """Append `text`, run the tool calls of the model, and return its final answer.

        `tools` are functions, or `Tool`s with one. The result of a function is passed to the model,
        as JSON unless it is a text; so is the message of an exception. `callback` gets the pieces
        of `say`, and one of the kind "tool_result" for each call; it may return STOP. With
        `stream`, an iterator of these pieces is returned. `max_rounds` (8): how many answers may
        call tools. `tool_choice` holds for the first answer; `max_tokens` for each. `timeout` (60):
        seconds for one call; a function that takes longer continues in its thread.
        `parallel_tool_calls`, `stop` and `progress` are those of `say`.

        Raises ToolError for a call that takes too long, and if the model still calls tools after
        `max_rounds`; AnswerError where `max_tokens` or the context end a call. Errors leave
        `messages` as they were.
        """
        checks.function("callback", callback)
        pieces = _pieces(self, text, _Run(tools, options))
        if stream:
            return pieces
        with closing(pieces):
            for piece in pieces:
                if callback is not None and callback(piece) is STOP:
                    break
        return self._last_answer()

    def arun(
        self: _Chat,
        text: str,
        tools: Tools,
        callback: Callback | None = None,
        *,
        stream: bool = False,
        **options: Unpack[RunOptions],
    ) -> Any:
        """Run `run` in asyncio: return a coroutine, or with `stream` an asynchronous iterator.

        Tools that are coroutines run in the event loop, others in threads.
        """
        checks.function("callback", callback)
        pieces = _apieces(self, text, _Run(tools, options))
        return pieces if stream else _answered(self, pieces, callback)


class _Run:
    """The checked arguments of a run."""

    def __init__(self, tools: Tools, options: RunOptions) -> None:
        given: dict[str, Any] = dict(options)
        unknown = given.keys() - RunOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"run: unexpected {', '.join(sorted(unknown))}")
        choice, parallel = given.pop("tool_choice", "auto"), given.pop("parallel_tool_calls", True)
        self.tools = _runnable(tools, choice, parallel)
        self.max_rounds = checks.whole("max_rounds", given.pop("max_rounds", 8), 1)
        self.timeout = _seconds(given.pop("timeout", TIMEOUT))
        self.options = given

    def go_on(self) -> dict[str, Any]:
        """Return the arguments of the answers after the first one, which need not call tools."""
        tools = Toolset(self.tools.tools, "auto", self.tools.parallel)
        return {"tools": tools, **self.options}


def _pieces(chat: _Chat, text: str, run: _Run) -> Generator[Piece]:
    """The pieces of all answers, and the results of tools; one end."""
    with chat._unchanged_by_errors():
        events = chat.say(text, tools=run.tools, **run.options)
        for _ in range(run.max_rounds):
            end = None
            with closing(events):
                for piece in events:
                    if piece.kind == "end":
                        end = piece
                    else:
                        yield piece
            _check_whole(chat)
            if not chat.tool_calls:
                if end is not None:
                    yield end
                return
            for call in chat.tool_calls:
                found = called(call, run.tools.tools, run.timeout)
                chat._messages.append(result_message(call, found))
                yield Piece(found, None, "tool_result", tool_call=call)
            events = chat.retry(**run.go_on())
        raise _endless(run.max_rounds)


async def _apieces(chat: _Chat, text: str, run: _Run) -> AsyncGenerator[Piece]:
    """`_pieces` for asyncio."""
    with chat._unchanged_by_errors():
        events = chat.asay(text, tools=run.tools, **run.options)
        for _ in range(run.max_rounds):
            end = None
            async with aclosing(events):
                async for piece in events:
                    if piece.kind == "end":
                        end = piece
                    else:
                        yield piece
            _check_whole(chat)
            if not chat.tool_calls:
                if end is not None:
                    yield end
                return
            for call in chat.tool_calls:
                found = await acalled(call, run.tools.tools, run.timeout)
                chat._messages.append(result_message(call, found))
                yield Piece(found, None, "tool_result", tool_call=call)
            events = chat.aretry(**run.go_on())
        raise _endless(run.max_rounds)


async def _answered(chat: _Chat, pieces: AsyncGenerator[Piece], callback: Callback | None) -> str:
    async with aclosing(pieces):
        async for piece in pieces:
            if callback is not None and callback(piece) is STOP:
                break
    return chat._last_answer()


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


def _seconds(timeout: Any) -> float | None:
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
