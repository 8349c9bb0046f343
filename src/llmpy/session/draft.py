"""A prompt that is read while it is being typed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from llmpy import checks
from llmpy.session.ahead import Continuation, ReadAhead
from llmpy.session.asynchronous import in_thread
from llmpy.session.events import Piece, Stats
from llmpy.session.transcript import n_same

if TYPE_CHECKING:
    from llmpy.constraints import Constrain
    from llmpy.session.session import Session

__all__ = ["Draft", "DraftOptions"]

Callback = Callable[[Piece], Any]


class DraftOptions(TypedDict, total=False):
    """The arguments of `Session.stream` besides the prompt and how it is read."""

    max_tokens: int | None
    stop: str | Iterable[str]
    logprobs: int | None
    constrain: Constrain | None


class Draft(ReadAhead):
    """A prompt that is prefilled while it is typed, made by `Session.draft`.

    Call `update(text)` after each change of the text, and `commit()` at the end.

    `commit` yields what `Session.stream` yields for the same text, sooner. The session does not
    change until then and may be used; a draft of an earlier state of the session saves no time.
    """

    def __init__(self, session: Session, special: bool, bos: bool | None) -> None:
        checks.flags(special=special, bos=bos or False)
        super().__init__(session.transcript)
        self._session = session
        self._special, self._bos = special, bos
        self._tokens = session.tokens

    def commit(self, text: str | None = None, **options: Unpack[DraftOptions]) -> Generator[Piece]:
        """Append the text (None: that of the last update), and yield the pieces of `stream`."""
        text = self._finished(text)
        self._hand_over()
        return self._session.stream(text, special=self._special, bos=self._bos, **options)

    def infer(
        self,
        callback: Callback | None = None,
        text: str | None = None,
        **options: Unpack[DraftOptions],
    ) -> Stats:
        """Run `commit` and pass each piece to the callback, as `Session.infer` does."""
        text = self._finished(text)
        self._hand_over()
        session = self._session
        return session.infer(text, callback, special=self._special, bos=self._bos, **options)

    async def acommit(
        self, text: str | None = None, **options: Unpack[DraftOptions]
    ) -> AsyncGenerator[Piece]:
        """Run `commit` in asyncio: `async for piece in draft.acommit()`."""
        text = self._finished(text)
        await in_thread(self._hand_over)
        session = self._session
        events = session.astream(text, special=self._special, bos=self._bos, **options)
        async with aclosing(events):
            async for piece in events:
                yield piece

    async def ainfer(
        self,
        callback: Callback | None = None,
        text: str | None = None,
        **options: Unpack[DraftOptions],
    ) -> Stats:
        """Run `infer` in asyncio."""
        text = self._finished(text)
        await in_thread(self._hand_over)
        session = self._session
        return await session.ainfer(text, callback, special=self._special, bos=self._bos, **options)

    def _continuation(self, text: str) -> Continuation:
        return partial(self._read_for, text)

    def _read_for(self, text: str, read: list[int]) -> tuple[int, list[int]]:
        tokenizer, tokens, special = self._session.tokenizer, self._tokens, self._special
        certain = text[: tokenizer.stable(text, special=special)]
        start = not tokens or tokenizer.is_control(tokens[-1])
        bos = self._bos if self._bos is not None or not tokens else False
        ids = [*tokens, *tokenizer.encode(certain, special=special, bos=bos, start=start)]
        same = n_same(read, ids)
        return same, ids[same:]
