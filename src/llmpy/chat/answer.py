"""One answer: the conversation is made to fit, read, and answered piece by piece."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmpy import checks
from llmpy.chat.messages import Message, checked_messages
from llmpy.chat.parts import AnswerReader, piece_of
from llmpy.chat.prompt import prompt_parts, tail_of
from llmpy.chat.reuse import reusable
from llmpy.chat.template import ChatTemplate
from llmpy.chat.thinking import Format
from llmpy.errors import ContextFull
from llmpy.session import FinishReason, Piece, Session, Stats
from llmpy.session.overflow import ContextWarning, Overflow
from llmpy.session.stop import StopStrings
from llmpy.tools import layout_of

if TYPE_CHECKING:
    from llmpy.constraints import Constrain, ConstraintState
    from llmpy.session import ToolCall
    from llmpy.tools import Toolset

__all__ = ["Answer"]

SYSTEM = ("system", "developer")  # roles that are never left out
ROOM = 256  # tokens for an answer, at least, where older turns are left out to make room
ADVICE = (
    "load the model with a larger n_ctx, shorten the conversation (chat.messages, chat.undo), or "
    "make the chat with overflow='drop_oldest'"
)


@dataclass
class Answer:
    """The answer of a model to `messages`; `pieces()` makes it.

    While it is made, `content`, `thinking` and `tool_calls` grow; `messages` shrink where older
    turns are left out to make room.
    """

    messages: list[Message]
    session: Session
    template: ChatTemplate
    format: Format
    template_kwargs: Mapping[str, Any]
    think: bool | None
    overflow: Overflow | Callable[..., Any]
    max_tokens: int | None = None
    stop: str | Iterable[str] = ()
    logprobs: int | None = None
    progress: Callable[[int, int], Any] | None = None
    constrain: Constrain | ConstraintState | None = None
    tools: Toolset | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    content: str = ""
    thinking: str = ""
    _ids: list[int] = field(default_factory=list)  # generated
    _reason: FinishReason = "callback"
    _begin: float = 0.0
    _first: float | None = None  # when the first token came
    _n_read: int = 0
    _n_kept: int = 0
    _n_found: int = 0  # by the session, before

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            self.max_tokens = checks.whole("max_tokens", self.max_tokens, 0, sys.maxsize)
        if self.logprobs is not None:
            checks.whole("logprobs", self.logprobs, 0)
        if self.think is not None:
            checks.flag("think", self.think)
        checks.function("progress", self.progress)
        self._stops = StopStrings((*StopStrings(self.stop).strings, *self.template.stop))
        self._n_messages = len(self.messages)
        self._layout = layout_of(self.template.source)
        used = self.tools is not None and self.tools.is_used
        self._definitions = self.tools.definitions if self.tools is not None else None
        self._calls = (
            self.tools.reader(self._layout, self.messages) if used and self.tools else None
        )
        self._state = self._constraint()

    def _constraint(self) -> ConstraintState | None:
        if self._calls is not None:
            if self.constrain is not None:
                raise ValueError("constrain: expected none beside tools: they constrain the answer")
            assert self.tools is not None
            tags = () if self.think is False else self.format.tags
            return self.tools.state(self._layout, self.session.tokenizer, tags)
        if self.constrain is None:
            return None
        from llmpy.constraints import constraint_state  # which takes a while to import

        return constraint_state(self.constrain, self.session.tokenizer)

    @property
    def n_left_out(self) -> int:
        """The number of messages that were left out to make room."""
        return self._n_messages - len(self.messages)

    def message(self) -> Message:
        """The answer so far, as a message."""
        thought = {"reasoning_content": self.thinking} if self.thinking else {}
        calls = {"tool_calls": [call.as_dict() for call in self.tool_calls]}
        return {
            "role": "assistant",
            "content": self.content.strip(),
            **thought,
            **(calls if self.tool_calls else {}),
        }

    @property
    def is_cut(self) -> bool:
        """Whether it ended within a call of a tool."""
        return self._calls is not None and self._calls.is_within

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come yet."""
        return not (self.content or self.thinking or self.tool_calls)

    def stats(self) -> Stats:
        """Counts and times so far; the reason is "callback" until it has ended by itself."""
        now = time.perf_counter()
        first = self._first or now
        return Stats(
            self._n_read,
            first - self._begin,
            len(self._ids),
            now - first,
            self._reason,
            self._n_kept,
            self.session.transcript.n_found - self._n_found,
        )

    def pieces(self) -> Generator[Piece]:
        """Pieces of the kinds "prompt", "thinking", "generated", "tool_call" and one "end"."""
        stops = self._stops
        self._begin = time.perf_counter()
        self._n_found = self.session.transcript.n_found
        kept, new, tail = self._fit()
        self._n_read, self._n_kept = len(new), kept
        reader = AnswerReader(self.format.reader(tail), self._layout, self._calls)
        state = self._state
        if state is not None:
            state.active = reader.answers  # else once the model has thought
        while True:
            reason: FinishReason = "length"
            self.session.rewind(kept)
            for piece in self._stream(new):
                if piece.kind == "end":
                    assert piece.finish_reason is not None
                    reason, end = piece.finish_reason, piece
                    break
                if piece.kind == "generated":
                    self._first = self._first or time.perf_counter()
                    yield from self._shown(piece, reader, stops)
                    if state is not None and not state.active and reader.answers:
                        self.session.transcript.activate(state)
                    if stops.found:
                        reason, end = "stop", Piece("", None, "end")
                        break
                else:
                    yield piece
            if reason != "context" or self.overflow is Overflow.ERROR or state is not None:
                break
            try:
                kept, new, _ = self._fit()
            except ContextFull:
                break
        if not stops.found:
            yield from self._rest(reader, stops, end.text)
        self._reason = reason
        yield Piece("", end.token, "end", finish_reason=reason)

    def _stream(self, new: list[int]) -> Generator[Piece]:
        """The session's own pieces, and progress while it reads."""
        left = None if self.max_tokens is None else self.max_tokens - len(self._ids)
        n_read = 0
        stream = self.session.stream(
            new, max_tokens=left, logprobs=self.logprobs, constrain=self._state
        )
        with closing(stream):
            for piece in stream:
                if piece.kind == "prompt":
                    n_read += 1
                    whole = n_read == len(new) or n_read % self.session.n_batch == 0
                    if self.progress is not None and whole:
                        self.progress(n_read, len(new))
                elif piece.token is not None:
                    self._ids.append(piece.token)
                yield piece

    def _shown(self, piece: Piece, reader: AnswerReader, stops: StopStrings) -> Generator[Piece]:
        """A generated token as the parts of thinking, answer and calls that it completes."""
        tokenizer, token = self.session.tokenizer, piece.token
        assert token is not None
        name = tokenizer.token(token) if tokenizer.is_control(token) else ""
        parts = reader.add(piece.text, name) or [(reader.kind, "")]
        for i, part in enumerate(parts):
            found = piece_of(part, stops)
            if i == len(parts) - 1:
                found = found._replace(token=token, logprobs=piece.logprobs)
            yield self._counted(found)

    def _rest(self, reader: AnswerReader, stops: StopStrings, held: str) -> Generator[Piece]:
        """Return the text that was held back and turned out not to be a call."""
        for part in [*reader.add(held), *reader.end()]:
            yield self._counted(piece_of(part, stops))
        if not stops.found and (rest := stops.rest()):
            yield self._counted(Piece(rest, None, "generated"))

    def _counted(self, piece: Piece) -> Piece:
        if piece.tool_call is not None:
            self.tool_calls.append(piece.tool_call)
        elif piece.kind == "thinking":
            self.thinking += piece.text
        else:
            self.content += piece.text
        return piece

    # Making it fit

    def _fit(self) -> tuple[int, list[int], str]:
        """Return how many tokens of the session stay, the ids to read, and how the prompt ends.

        Leaves out turns as `overflow` says; ContextFull where that is not enough.
        """
        n_ctx, tokenizer = self.session.n_ctx, self.session.tokenizer
        room = (
            1 if self.overflow is Overflow.ERROR else min(self.max_tokens or ROOM, ROOM, n_ctx // 4)
        )
        n_messages = len(self.messages)
        while True:
            parts = self._prompt()
            kept, new = reusable(self.session.tokens, parts, tokenizer)
            if kept + len(new) + len(self._ids) + room <= n_ctx:
                break
            # What stays is read again: more is left out, so that this happens once in many turns.
            room = max(room, n_ctx // 4) if self._n_turns() > 2 else room
            self._leave_out(kept + len(new) + len(self._ids) + room)
        if n := n_messages - len(self.messages):
            text = f"the context of {n_ctx} tokens is full: {n} of the oldest messages are left out"
            warnings.warn(text, ContextWarning, stacklevel=2)
        return kept, new + self._ids, tail_of(parts, tokenizer)

    def _n_turns(self) -> int:
        return sum(message["role"] == "user" for message in self.messages)

    def _prompt(self) -> list[int | str]:
        """The conversation up to the head of the answer, with thinking turned on or off."""
        return prompt_parts(
            self.template,
            self.format,
            self.session.tokenizer,
            self.messages,
            tools=self._definitions,
            think=self.think,
            template_kwargs=self.template_kwargs,
        )

    def _leave_out(self, needed: int) -> None:
        n_ctx = self.session.n_ctx
        if callable(self.overflow):
            found = checked_messages(self.overflow(list(self.messages), needed, n_ctx))
            if _length(found) >= _length(self.messages):
                raise ContextFull(n_ctx, needed, "the overflow callable has shortened nothing")
            self.messages = found
            return
        users = [i for i, message in enumerate(self.messages) if message["role"] == "user"]
        if self.overflow is Overflow.ERROR or len(users) < 2:
            raise ContextFull(n_ctx, needed, ADVICE)
        first = next(i for i, m in enumerate(self.messages) if m["role"] not in SYSTEM)
        del self.messages[first : users[1] if users[0] == first else users[0]]


def _length(messages: list[Message]) -> int:
    return sum(len(str(message)) for message in messages)
