"""The parts of an answer while it is generated: what the model thinks, its text, its calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from llmpy.chat.thinking import Reader
from llmpy.session import Piece, ToolCall
from llmpy.session.stop import StopStrings
from llmpy.tools import CallReader, Layout

__all__ = ["AnswerReader", "Part", "piece_of"]

Part = tuple[Literal["thinking", "generated", "tool_call"], str | ToolCall]


class AnswerReader:
    """Takes the text of an answer as it comes; gives its parts.

    `calls` is None where no tools may be called.
    """

    def __init__(self, thinking: Reader, layout: Layout, calls: CallReader | None) -> None:
        self._thinking = thinking
        self._layout = layout
        self._calls = calls
        thinking.shows_calls = calls is not None and layout.channels

    @property
    def kind(self) -> Literal["thinking", "generated"]:
        """Return the kind of the text that comes next, as far as is known."""
        return self._thinking.kind

    @property
    def answers(self) -> bool:
        """Whether what comes next is the answer, unless the model begins to think by itself.

        The constraint of calls in channels governs the heads of all parts.
        """
        return self._thinking.answers or self._thinking.shows_calls

    def add(self, text: str, control: str = "") -> list[Part]:
        """Return the parts that are certain after this text and a control token of this name."""
        if control and not self._thinking.knows(control):
            known = self._calls is not None and self._layout.knows(control)
            text, control = text + control * known, ""
        return self._parts(self._thinking.add(text, control))

    def end(self) -> list[Part]:
        """Return the parts that were held back; of a call that is not whole, none."""
        parts = self._parts(self._thinking.end())
        if self._calls is not None:
            parts += map(_part, self._calls.end())
            if self._calls.is_within:
                return [part for part in parts if part[0] != "generated"]
        return parts

    def _parts(self, parts: Iterable[tuple[Literal["thinking", "generated"], str]]) -> list[Part]:
        found: list[Part] = []
        for kind, text in parts:
            if kind == "generated" and self._calls is not None:
                found += map(_part, self._calls.add(text))
            else:
                found.append((kind, text))
        return found


def _part(part: str | ToolCall) -> Part:
    return ("generated" if isinstance(part, str) else "tool_call", part)


def piece_of(part: Part, stops: StopStrings) -> Piece:
    """A part as a piece of a stream; `stops` hold back text of the answer."""
    kind, what = part
    if isinstance(what, ToolCall):
        return Piece("", None, "tool_call", tool_call=what)
    return Piece(stops.add(what) if kind == "generated" else what, None, kind)
