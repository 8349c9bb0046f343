"""A chat: messages of both sides, and a session that has read them.

Before each answer the whole conversation is rendered; the session keeps what it begins with and
reads only the rest. So messages may be changed in any way between two answers.
"""

from __future__ import annotations

import copy
import operator
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from llmpy import checks
from llmpy.chat.answer import Answer
from llmpy.chat.draft import ChatDraft
from llmpy.chat.messages import Message, checked_message, checked_messages
from llmpy.chat.prompt import prompt_parts
from llmpy.chat.running import ToolRuns, Tools
from llmpy.chat.template import ChatTemplate
from llmpy.chat.thinking import format_of
from llmpy.chat.turns import Turns
from llmpy.sampling import Chain, Sampler
from llmpy.session import STOP, Parsed, Piece, Session, Stats
from llmpy.session.asynchronous import exhausted, in_thread, returned, stepped
from llmpy.session.overflow import Overflow, checked_overflow
from llmpy.session.parsing import parsing
from llmpy.session.typed import detailed
from llmpy.tools import Toolset, toolset

if TYPE_CHECKING:
    from llmpy.constraints import Constrain, ConstraintState

__all__ = ["Chat"]

Callback = Callable[[Piece], Any]
Progress = Callable[[int, int], Any]
A = TypeVar("A")
Refuse = Callable[[str, str, str], Exception]


class ParseOptions(TypedDict, total=False):
    """The options of `Chat.parse` besides the text and the type."""

    max_tokens: int | None
    progress: Progress | None


class Chat(ToolRuns):
    """A conversation with a model, made by `Model.chat`: `chat.ask("Hello")` returns the answer.

    `messages` is the conversation, a list of dicts with "role" and "content" (and
    "reasoning_content", the model's thinking); it may be changed or assigned at any time. `session`
    is the session that holds its tokens, `template` the chat template, `think` whether the model
    thinks before it answers (None: the template's default), `stats` the counts and times of the
    last answer, `n_left_out` how many messages were dropped because the context was full.

    A chat generates one answer at a time. A new call ends an open stream of the same thread, and
    raises RuntimeError while another thread generates; `fork()` makes a chat for each thread.
    """

    def __init__(
        self,
        session: Session,
        template: ChatTemplate,
        *,
        system: str | None = None,
        messages: Iterable[Mapping[str, Any]] = (),
        template_kwargs: Mapping[str, Any] | None = None,
        think: bool | None = None,
        overflow: Overflow | str | Callable[..., Any] = Overflow.ERROR,
    ) -> None:
        self.session = session
        self.template = template
        self.template_kwargs = dict(template_kwargs or {})
        self.think = think if think is None else checks.flag("think", think)
        self.stats: Stats | None = None
        self.n_left_out = 0
        self.overflow = checked_overflow(
            overflow, Overflow.ERROR, Overflow.DROP_OLDEST, where="a chat"
        )
        self._tokenizer = session.tokenizer
        self._format = format_of(self._tokenizer, template.literals)
        self._turns = Turns(self._keep)
        self._messages = checked_messages(messages)
        if system is not None:
            self.system = system

    @classmethod
    def loaded(
        cls, session: Session, saved: Any, template: ChatTemplate | None, refuse: Refuse
    ) -> Chat:
        """Return the chat that `save` wrote as `saved`; `template` replaces the saved one."""
        if not isinstance(saved, dict):
            raise refuse("chat", "a conversation", "a session without one")
        try:
            if template is None:
                stop = [str(text) for text in saved["stop"]]
                template = ChatTemplate(str(saved["template"]), session.tokenizer, stop=stop)
            chat = cls(
                session,
                template,
                messages=saved["messages"],
                template_kwargs=saved["template_kwargs"],
                think=saved["think"],
                overflow=saved["overflow"] or Overflow.ERROR,
            )
            chat.n_left_out = operator.index(saved["n_left_out"])
        except (LookupError, TypeError, ValueError) as error:
            raise refuse("chat", "a conversation", str(error)[:200]) from error
        return chat

    # The conversation

    @property
    def messages(self) -> list[Message]:
        """Messages of the conversation; the list itself, which may be changed in place."""
        return self._messages

    @messages.setter
    def messages(self, messages: Iterable[Mapping[str, Any]]) -> None:
        self._turns.end()
        self._messages = checked_messages(messages)

    @property
    def system(self) -> str | None:
        """Text of the system message, or None; assign a text to change it, None to remove it."""
        first = checked_messages(self._messages[:1])
        return first[0].get("content") if first and first[0]["role"] == "system" else None

    @system.setter
    def system(self, text: str | None) -> None:
        if isinstance(text, list):
            raise TypeError("system: expected a str, found list; messages= takes a conversation")
        new = [] if text is None else [checked_message({"role": "system", "content": text})]
        self._messages[: self.system is not None] = new

    @property
    def can_think(self) -> bool:
        """True if the model's chat format supports thinking."""
        return bool(self._format.tags) or self._format.channels

    def undo(self) -> list[Message]:
        """Remove the last message of the user and all messages after it; return these messages."""
        self._turns.end()
        roles = [message["role"] for message in checked_messages(self._messages)]
        if "user" not in roles:
            return []
        at = len(roles) - 1 - roles[::-1].index("user")
        removed = self._messages[at:]
        del self._messages[at:]
        return removed

    def edit(self, i: int, text: str) -> None:
        """Change the text of the message at index `i`, and remove the messages after it.

        `retry()` then answers the changed message.
        """
        self._turns.end()
        if not -len(self._messages) <= i < len(self._messages):
            n = len(self._messages)
            raise IndexError(f"edit: expected the number of one of {n} messages, found {i}")
        i %= len(self._messages)
        changed = {**self._messages[i], "content": text}
        changed.pop("reasoning_content", None)
        self._messages[i:] = [checked_message(changed, f"messages[{i}]")]

    def fork(self, *, sampler: Chain | Sampler | None = None, seed: int | None = None) -> Chat:
        """Return a second chat with the same messages, which shares KV cache pages with this one.

        `sampler` and `seed` are those of `Session.fork`.
        """
        other = copy.copy(self)
        other.session = self.session.fork(sampler=sampler, seed=seed)
        other._turns = Turns(other._keep)
        other._messages = copy.deepcopy(self._messages)
        other.template_kwargs = dict(self.template_kwargs)
        return other

    def save(self, path: str | os.PathLike[str], *, compression: str = "none") -> None:
        """Write the conversation and its session to a file.

        `Model.load_chat` reads it, and computes no token again. See `Session.save`.
        """
        self._turns.end()
        overflow = self.overflow
        chat = {
            "messages": checked_messages(self._messages),
            "template": self.template.source,
            "stop": list(self.template.stop),
            "template_kwargs": self.template_kwargs,
            "think": self.think,
            "overflow": str(overflow) if isinstance(overflow, Overflow) else None,
            "n_left_out": self.n_left_out,
        }
        self.session.save_with(path, {"chat": chat}, compression=compression)

    async def asave(self, path: str | os.PathLike[str], *, compression: str = "none") -> None:
        """Run `save` in asyncio; when cancelled, it waits until the file is written."""
        await in_thread(lambda: self.save(path, compression=compression))

    def close(self) -> None:
        """Release the session's memory; `messages` stay readable."""
        self.session.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<llmpy.Chat: {len(self._messages)} messages, {len(self.session)} of "
            f"{self.session.n_ctx} tokens>"
        )

    # Answers

    def say(
        self,
        text: str,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        progress: Progress | None = None,
        constrain: Constrain | None = None,
        tools: Tools | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
    ) -> Generator[Piece]:
        """Append `text` as the user's message, and yield the pieces of the answer.

        Nothing is appended before the first piece is requested: loop over the result. Pieces are of
        the kinds "thinking" (text before the answer), "generated" (the answer), "tool_call", and
        one "end", whose `finish_reason` is that of `Session.stream`. `stop`: texts that end the
        answer. `constrain`: the constraint of the answer, as in `Session.stream`; thinking is not
        constrained. `tools`: functions, `Tool`s or dicts that the model may call; `tool_choice` is
        "auto", "required" (one call at least), "none" or the name of one; `run` calls them.
        `progress(read, total)` is called during prefill. A loop that is left early keeps the answer
        so far in `messages`; an exception leaves the chat as it was. Raises ContextFull if the
        conversation does not fit (see `overflow`), TypeError and ValueError for a text that cannot
        be encoded, TemplateError if the template rejects the conversation, ConstraintError for
        schemas that are not supported.
        """
        self._with(text)  # raises here, not in the loop
        new = partial(self._with, text)
        given = toolset(tools, tool_choice, parallel=parallel_tool_calls)
        return _without_prompt(
            self._answered(new, max_tokens, stop, logprobs, progress, constrain, given)
        )

    def ask(
        self,
        text: str,
        callback: Callback | None = None,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        progress: Progress | None = None,
        constrain: Constrain | None = None,
        tools: Tools | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
    ) -> str:
        """Append `text` as the user's message, and return the answer without the thinking.

        `callback` gets each piece of `say`, and may return STOP. `stats` has the counts and times.
        """
        checks.function("callback", callback)
        events = self.say(
            text,
            max_tokens=max_tokens,
            stop=stop,
            logprobs=logprobs,
            progress=progress,
            constrain=constrain,
            tools=tools,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
        )
        with self._unchanged_by_errors(), closing(events):
            for piece in events:
                if callback is not None and callback(piece) is STOP:
                    break
        return self._last_answer()

    def retry(
        self,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        progress: Progress | None = None,
        constrain: Constrain | None = None,
        tools: Tools | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
    ) -> Generator[Piece]:
        """Generate another answer to the last message of the user; yield pieces as `say` does.

        The random numbers continue, so that the answer may differ.
        """
        self._unanswered()  # raises here, not in the loop
        new = self._unanswered
        given = toolset(tools, tool_choice, parallel=parallel_tool_calls)
        return _without_prompt(
            self._answered(new, max_tokens, stop, logprobs, progress, constrain, given)
        )

    def asay(
        self,
        text: str,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        progress: Progress | None = None,
        constrain: Constrain | None = None,
        tools: Tools | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
    ) -> AsyncGenerator[Piece]:
        """Run `say` in asyncio: `async for piece in chat.asay(...)`.

        Cancelling the task stops generation after the current step; the answer so far stays in
        `messages`.
        """
        self._with(text)
        new = partial(self._with, text)
        given = toolset(tools, tool_choice, parallel=parallel_tool_calls)
        answered = self._answered(new, max_tokens, stop, logprobs, progress, constrain, given)
        return stepped(answered, self.session.cancel, _shown)

    async def aask(
        self,
        text: str,
        callback: Callback | None = None,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        progress: Progress | None = None,
        constrain: Constrain | None = None,
        tools: Tools | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
    ) -> str:
        """Run `ask` in asyncio."""
        checks.function("callback", callback)
        events = self.asay(
            text,
            max_tokens=max_tokens,
            stop=stop,
            logprobs=logprobs,
            progress=progress,
            constrain=constrain,
            tools=tools,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
        )
        with self._unchanged_by_errors():
            async with aclosing(events):
                async for piece in events:
                    if callback is not None and callback(piece) is STOP:
                        break
        return self._last_answer()

    def aretry(
        self,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        logprobs: int | None = None,
        progress: Progress | None = None,
        constrain: Constrain | None = None,
        tools: Tools | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
    ) -> AsyncGenerator[Piece]:
        """Run `retry` in asyncio."""
        given = toolset(tools, tool_choice, parallel=parallel_tool_calls)
        new = self._unanswered
        answered = self._answered(new, max_tokens, stop, logprobs, progress, constrain, given)
        return stepped(answered, self.session.cancel, _shown)

    def draft(self) -> ChatDraft:
        """Return a draft: a message that is prefilled while it is being typed.

        Call `draft.update(text)` after each change, then `draft.commit()`, which is `say(text)`
        with most of the text in the KV cache already. The tokens before the message are computed at
        once.
        """
        return ChatDraft(self, self._prompt)

    # Typed answers

    @overload
    def parse(self, text: str, T: type[A], **o: Unpack[ParseOptions]) -> A: ...

    @overload
    def parse(self, text: str, T: Any, **o: Unpack[ParseOptions]) -> Any: ...

    def parse(
        self,
        text: str,
        T: Any,
        *,
        max_tokens: int | None = None,
        details: bool = False,
        stream: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Append `text` as the user's message, and generate a value of the type `T` as the answer.

        The options are those of `Session.parse`; thinking before the answer is not constrained. The
        JSON of the answer becomes the assistant's message. An incomplete answer raises AnswerError,
        and leaves `messages` as they were.
        """
        steps = self._parsing(text, T, max_tokens, progress, growing=stream)
        if stream:
            return steps
        found = returned(steps)
        return found if details else found.value

    def aparse(
        self,
        text: str,
        T: Any,
        *,
        max_tokens: int | None = None,
        details: bool = False,
        stream: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Run `parse` in asyncio: return a coroutine, or with `stream` an asynchronous iterator."""
        steps = self._parsing(text, T, max_tokens, progress, growing=stream)
        if stream:
            return stepped(steps, self.session.cancel)
        return detailed(exhausted(steps, self.session.cancel), details)

    def _parsing(
        self, text: str, T: Any, max_tokens: int | None, progress: Progress | None, *, growing: bool
    ) -> Generator[Parsed[Any], None, Parsed[Any]]:
        """The steps of `parse`; what can be wrong with its arguments is wrong now."""
        from llmpy.constraints import answer_type, begin

        answer = answer_type(T)
        state = begin(answer.constraint, self._tokenizer, recording=True)
        self._with(text)
        messages = partial(self._with, text)
        events = self._answered(messages, max_tokens, (), None, progress, state)
        transcript = self.session.transcript

        def steps() -> Generator[Parsed[Any], None, Parsed[Any]]:
            with self._unchanged_by_errors():
                return (
                    yield from parsing(
                        transcript, answer, state, events, self._last_stats, partial=growing
                    )
                )

        return steps()

    def _last_stats(self) -> Stats:
        assert self.stats is not None
        return self.stats

    # Inside

    def _prompt(self, messages: list[Message]) -> list[int | str]:
        """Return the prompt that is read before these messages are answered."""
        return prompt_parts(
            self.template,
            self._format,
            self._tokenizer,
            messages,
            think=self.think,
            template_kwargs=self.template_kwargs,
        )

    def _with(self, text: str) -> list[Message]:
        """The conversation with one more message of the user."""
        if not isinstance(text, str):
            hint = "; model.chat(messages=...) takes a conversation" * isinstance(text, list)
            raise TypeError(f"text: expected a str, found {type(text).__name__}{hint}")
        if not text.strip():
            raise ValueError("text: expected something to answer, found an empty text")
        message = checked_message({"role": "user", "content": text}, "text")
        return [*checked_messages(self._messages), message]

    def _unanswered(self) -> list[Message]:
        """The conversation without what answered the last message of the user."""
        messages = checked_messages(self._messages)
        while messages and messages[-1]["role"] == "assistant":
            messages.pop()
        if not messages:
            raise ValueError("retry: expected a message to answer, found none")
        return messages

    @contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        """The conversation is as it was where the caller's own code raises."""
        before = list(self._messages)
        try:
            yield
        except Exception:
            self._messages[:] = before
            raise

    def _last_answer(self) -> str:
        last = self._messages[-1] if self._messages else {}
        return str(last.get("content", "")) if last.get("role") == "assistant" else ""

    def _answered(
        self,
        messages: Callable[[], list[Message]],
        max_tokens: int | None,
        stop: str | Iterable[str],
        logprobs: int | None,
        progress: Progress | None,
        constrain: Constrain | ConstraintState | None,
        tools: Toolset | None = None,
    ) -> Generator[Piece]:
        """Pieces of the answer to `messages()`, which become the conversation with it."""
        return self._turns.pieces(
            lambda: Answer(
                messages(),
                self.session,
                self.template,
                self._format,
                self.template_kwargs,
                self.think,
                self.overflow,
                max_tokens,
                stop,
                logprobs,
                progress,
                constrain,
                tools,
            )
        )

    def _keep(self, answer: Answer) -> None:
        """Make an answer part of the conversation."""
        self.n_left_out += answer.n_left_out
        self._messages[:] = [*answer.messages, answer.message()]
        self.stats, self.is_cut = answer.stats(), answer.is_cut


def _shown(piece: Piece) -> bool:
    return piece.kind != "prompt"


def _without_prompt(events: Generator[Piece]) -> Generator[Piece]:
    with closing(events):
        yield from filter(_shown, events)
