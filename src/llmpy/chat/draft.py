"""A message that is read while it is being typed, with the conversation before it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from llmpy.chat.messages import Message, checked_messages
from llmpy.chat.reuse import reusable
from llmpy.session import Piece
from llmpy.session.ahead import Continuation, ReadAhead
from llmpy.session.asynchronous import in_thread
from llmpy.session.transcript import n_same

if TYPE_CHECKING:
    from llmpy.chat.conversation import Chat
    from llmpy.constraints import Constrain

__all__ = ["ChatDraft", "ChatDraftOptions"]

Callback = Callable[[Piece], Any]
Prompt = Callable[[list[Message]], list[int | str]]


class ChatDraftOptions(TypedDict, total=False):
    """The options of `Chat.say` besides the text."""

    max_tokens: int | None
    stop: str | Iterable[str]
    logprobs: int | None
    constrain: Constrain | None
    progress: Callable[[int, int], Any] | None


class ChatDraft(ReadAhead):
    """A message that is prefilled while it is typed, made by `Chat.draft`.

    Call `update(text)` after each change of the text, and `commit()` at the end.

    The conversation so far is computed at once, and the message as far as its tokens are final.
    `commit` yields what `Chat.say` yields for the same text, sooner. The chat does not change until
    then and may be used; a draft of an earlier state of the chat saves no time.
    """

    def __init__(self, chat: Chat, prompt: Prompt) -> None:
        super().__init__(chat.session.transcript)
        self._chat = chat
        self._prompt = prompt
        self.update("")

    def commit(
        self, text: str | None = None, **options: Unpack[ChatDraftOptions]
    ) -> Generator[Piece]:
        """Append the text (None: that of the last update), and yield the pieces of `Chat.say`."""
        events = self._chat.say(self._finished(text), **options)
        self._hand_over()
        return events

    def ask(
        self,
        callback: Callback | None = None,
        text: str | None = None,
        **options: Unpack[ChatDraftOptions],
    ) -> str:
        """Run `commit`, pass each piece to the callback, and return the answer, as `Chat.ask`."""
        text = self._finished(text)
        self._hand_over()
        return self._chat.ask(text, callback, **options)

    async def acommit(
        self, text: str | None = None, **options: Unpack[ChatDraftOptions]
    ) -> AsyncGenerator[Piece]:
        """Run `commit` in asyncio: `async for piece in draft.acommit()`."""
        text = self._finished(text)
        await in_thread(self._hand_over)
        async with aclosing(self._chat.asay(text, **options)) as events:
            async for piece in events:
                yield piece

    async def aask(
        self,
        callback: Callback | None = None,
        text: str | None = None,
        **options: Unpack[ChatDraftOptions],
    ) -> str:
        """Run `ask` in asyncio."""
        text = self._finished(text)
        await in_thread(self._hand_over)
        return await self._chat.aask(text, callback, **options)

    def _continuation(self, text: str) -> Continuation:
        return partial(self._read_for, checked_messages(self._chat.messages), text)

    def _read_for(
        self, messages: list[Message], text: str, read: list[int]
    ) -> tuple[int, list[int]]:
        tokenizer = self._chat.session.tokenizer
        one, other = (
            self._prompt([*messages, {"role": "user", "content": text + more}]) for more in "xy"
        )
        n = n_same(one, other)
        parts, last, second = one[:n], one[n], other[n]
        if isinstance(last, str) and isinstance(second, str):
            certain = last[: n_same(last, second)]
            parts += [certain[: tokenizer.stable(certain)]]
        return reusable(read, [part for part in parts if part != ""], tokenizer)
