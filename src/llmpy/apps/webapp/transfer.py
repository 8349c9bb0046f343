"""Chats taken along: all of them or one as JSON, one as Markdown or as a thread of local.ai."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from llmpy.apps.webapp.mdx import from_mdx, is_mdx, to_mdx
from llmpy.apps.webapp.plaintext import from_markdown, to_markdown
from llmpy.apps.webapp.records import Record, new_id
from llmpy.apps.webapp.taken import TakenThread, checked
from llmpy.server import ApiError, Call, State

if TYPE_CHECKING:
    from llmpy.apps.webapp.assembly import WebApp

__all__ = ["TransferPaths"]

Handler = Callable[..., Awaitable[None]]
MOST_BYTES = 512 << 20
MOST_OF_A_TEXT = 32 << 20
FORMAT = 1
MARKDOWN = "text/markdown"


class TransferPaths:
    """Answers exports and imports."""

    def __init__(self, app: WebApp) -> None:
        self._app = app
        self._store = app.store

    def table(self) -> dict[str, dict[str, Handler]]:
        """The paths."""
        return {
            "/app/export": {"GET": self.export_all},
            "/app/threads/*/export": {"GET": self.export_one},
            "/app/import": {"POST": self.take},
        }

    async def export_all(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /app/export."""
        threads = [self._whole(thread) for thread in reversed(self._store.threads())]
        await self._send(call, "llmpy chats.json", _as_json(threads))

    async def export_one(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """GET /app/threads/ID/export."""
        try:
            thread = self._store.thread(id)
        except KeyError:
            raise ApiError(404, f"there is no thread {id[:80]!r}", code="not_found") from None
        form = call.query.get("form", "json")
        name = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', " ", thread["title"] or "chat").strip()[:80]
        if form == "json":
            await self._send(call, f"{name}.json", _as_json([self._whole(thread)]))
            return
        path = self._store.path(id, thread["leaf"]) if thread["leaf"] else []
        if form == "md":
            await self._send(call, f"{name}.md", to_markdown(thread, path).encode(), MARKDOWN)
        elif form == "mdx":
            data = to_mdx(thread, path).encode()
            await self._send(call, f"{name}.l.mdx", data, MARKDOWN)
        else:
            raise ApiError(
                400,
                f"form: expected json, md or mdx, found {form[:40]!r}",
                param="form",
                code="invalid_value",
            )

    async def take(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /app/import."""
        body = await call.body(MOST_BYTES)
        kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        given: list[Any]
        if kind in (MARKDOWN, "text/plain"):
            if len(body) > MOST_OF_A_TEXT:
                raise ApiError(413, f"a text may have {MOST_OF_A_TEXT} bytes, found {len(body)}")
            text = body.decode("utf-8", "replace").removeprefix("\ufeff")
            title = call.query.get("title", "")[:200] or None
            given = [from_mdx(text, title) if is_mdx(text) else from_markdown(text, title)]
        else:
            given = await asyncio.to_thread(_threads_in, body)
        taken, skipped = list[str](), list[Record]()
        for index, one in enumerate(given):
            try:
                taken.append(self._take(checked(one)))
            except (msgspec.ValidationError, ValueError) as error:
                skipped.append({"index": index, "message": str(error)})
            await asyncio.sleep(0)  # others have their turn
        for id in taken:
            thread = {**self._store.thread(id), "running": None}
            self._app.bus.tell("thread", {"id": id, "change": "created", "thread": thread})
        await call.answer({"threads": taken, "skipped": skipped})

    def _whole(self, thread: Record) -> Record:
        return {**thread, "messages": self._store.messages(thread["id"])}

    def _take(self, thread: TakenThread) -> str:
        """Write a thread to the disk; ids that are in use are replaced."""
        ids = {message["id"]: message["id"] for message in thread.messages}
        if self._store.has_thread(thread.id) or any(map(self._store.has_message, ids)):
            ids = {id: new_id("m") for id in ids}
            thread.id = new_id("t")
        messages = [
            {**message, "id": ids[message["id"]], "parent": ids.get(message["parent"])}
            for message in thread.messages
        ]
        fields = {**thread.fields, "leaf": ids.get(thread.fields.get("leaf"))}
        if fields["leaf"] is None and messages:
            fields["leaf"] = messages[-1]["id"]
        self._store.add_whole(thread.id, fields, messages)
        return thread.id

    async def _send(
        self, call: Call, name: str, data: bytes, kind: str = "application/json"
    ) -> None:
        plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", name)
        disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
        charset = "" if kind == "application/json" else "; charset=utf-8"
        await call.answer(data, kind=kind + charset, headers={"Content-Disposition": disposition})


def _as_json(threads: list[Record]) -> bytes:
    return msgspec.json.encode({"llmpy_chats": FORMAT, "threads": threads})


def _threads_in(body: bytes) -> list[Any]:
    """The threads of an export; ApiError where it is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ApiError(400, f"the file is no JSON: {error}", code="invalid_json") from None
    if isinstance(found, dict) and isinstance(found.get("threads"), list):
        if found.get("llmpy_chats") not in (FORMAT, None):
            raise ApiError(
                400,
                f"llmpy_chats: expected {FORMAT}, found {found['llmpy_chats']!r:.40}: the file is "
                "of a newer llmpy",
                code="invalid_value",
            )
        return list(found["threads"])
    raise ApiError(
        400,
        'expected {"threads": [...]}, as GET /app/export gives it, or Markdown',
        code="invalid_value",
    )
