"""Questions that are read while they are typed: what is computed of them is found by the answer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import NamedTuple

import llmpy
from llmpy.apps.webapp.prompts import conversation
from llmpy.apps.webapp.records import Record
from llmpy.apps.webapp.store import Store
from llmpy.server import Loaded, State

__all__ = ["Drafts"]

log = logging.getLogger("llmpy.app")

QUIET = 5.0  # seconds without a change after which a draft is put away; what was read stays cached


class _Key(NamedTuple):
    thread: str
    parent: str | None
    model: str
    system: str | None
    think: bool | None


class _Typing:
    """One question that is typed."""

    def __init__(self, key: _Key, text: str) -> None:
        self.key = key
        self.text = text
        self.changed = asyncio.Event()
        self.draft: llmpy.ChatDraft | None = None
        self.task: asyncio.Task[None]


class Drafts:
    """The question that is typed now: of one thread, for there is one keyboard."""

    def __init__(self, store: Store) -> None:
        self.server: State
        self._store = store
        self.quiet = QUIET
        self._typing: _Typing | None = None

    @property
    def n_read(self) -> int | None:
        """The number of tokens of the draft that are read; None without one."""
        typing = self._typing
        if typing is None:
            return None
        return 0 if typing.draft is None else typing.draft.n_read

    def update(self, thread: Record, parent: str | None, text: str, model: str) -> None:
        """Read this text ahead, as far as it cannot change any more."""
        think = thread["sampling"].get("think")
        key = _Key(thread["id"], parent, model, thread["system"], think)
        if not text.strip():
            self.forget(thread["id"])
            return
        if self._typing is not None and self._typing.key == key:
            self._typing.text = text
            self._typing.changed.set()
            return
        self.forget()
        self._typing = _Typing(key, text)
        self._typing.task = asyncio.create_task(self._read(self._typing))

    def forget(self, thread: str | None = None) -> asyncio.Task[None] | None:
        """Put the draft away, if it is of this thread; return the task that ends then."""
        typing = self._typing
        if typing is None or thread not in (None, typing.key.thread):
            return None
        self._typing = None
        typing.task.cancel()
        return typing.task

    async def close(self) -> None:
        """Put the draft away, and wait for that."""
        if (task := self.forget()) is not None:
            await asyncio.wait([task])

    async def _read(self, typing: _Typing) -> None:
        try:
            async with self.server.models.use(typing.key.model) as loaded:
                await self._read_with(loaded, typing)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the answer will fail with it, and say so
            log.info("a draft was not read ahead: %s", error)
        finally:
            if self._typing is typing:
                self._typing = None

    async def _read_with(self, loaded: Loaded, typing: _Typing) -> None:
        key = typing.key
        path = self._store.path(key.thread, key.parent) if key.parent else []
        messages = conversation(key.system, path)
        chat: llmpy.Chat | None = None
        try:
            chat = loaded.model.chat(
                messages=messages, think=key.think, template=self.server.settings.template
            )
            draft = typing.draft = await asyncio.to_thread(chat.draft)
            while True:
                typing.changed.clear()
                draft.update(typing.text)
                with suppress(TimeoutError):
                    await asyncio.wait_for(typing.changed.wait(), self.quiet)
                if not typing.changed.is_set():
                    return
        finally:
            if typing.draft is not None:
                await asyncio.shield(asyncio.to_thread(typing.draft.close))
            if chat is not None:
                chat.close()
