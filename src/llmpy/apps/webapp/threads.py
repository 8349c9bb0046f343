"""The paths about threads, their messages, and their answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from llmpy.apps.webapp.fields import (
    Draft,
    MessageChange,
    Names,
    RunRequest,
    ThreadChange,
    given,
    read,
)
from llmpy.apps.webapp.prompts import sampling_of
from llmpy.apps.webapp.records import Record, new_id
from llmpy.server import ApiError, Call, Handler, State

if TYPE_CHECKING:
    from llmpy.apps.webapp.assembly import WebApp

__all__ = ["ThreadPaths"]

UNDO_SECONDS = 600.0
LONGEST_TITLE = 60


class ThreadPaths:
    """Answers what a page asks of threads."""

    def __init__(self, app: WebApp) -> None:
        self._app = app
        self._store = app.store
        self._runs = app.runs
        self._bus = app.bus

    def table(self) -> dict[str, dict[str, Handler]]:
        """The paths."""
        return {
            "/app/threads": {"GET": self.threads, "POST": self.create},
            "/app/threads/delete": {"POST": self.delete_many},
            "/app/threads/*": {"GET": self.show, "PATCH": self.change, "DELETE": self.delete},
            "/app/threads/*/restore": {"POST": self.restore},
            "/app/threads/*/runs": {"POST": self.run},
            "/app/threads/*/draft": {"POST": self.draft},
            "/app/threads/*/messages/*": {
                "PATCH": self.change_message,
                "DELETE": self.delete_message,
            },
            "/app/runs/*/events": {"GET": self.events},
            "/app/runs/*/stop": {"POST": self.stop},
        }

    # Threads

    async def threads(self, call: Call, state: State) -> None:  # noqa: ARG002
        """GET /app/threads."""
        threads = [self._shown(thread) for thread in self._store.threads()]
        await call.answer({"threads": threads})

    async def create(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /app/threads."""
        fields = self._checked(given(await read(call, ThreadChange)))
        fields.pop("leaf", None)
        thread = self._shown(self._store.add_thread(fields))
        self._tell("created", thread["id"], thread)
        await call.answer(thread, 201)

    async def show(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """GET /app/threads/ID."""
        thread = self._shown(self._thread(id))
        messages = [self._shown_message(m) for m in self._store.messages(id)]
        runs = [{"run": run.id, "answer": run.answer} for run in self._runs.of_thread(id)]
        data = msgspec.json.encode({**thread, "messages": messages, "runs": runs})
        await call.answer(data)

    async def change(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """PATCH /app/threads/ID."""
        fields = self._checked(given(await read(call, ThreadChange)))
        self._thread(id)
        if fields.get("leaf") is not None:
            self._message(id, fields["leaf"])
        thread = self._shown(self._store.change_thread(id, fields))
        self._tell("changed", id, thread)
        await call.answer(thread)

    async def delete(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """DELETE /app/threads/ID."""
        self._thread(id)
        await call.answer(await self._delete([id]))

    async def delete_many(self, call: Call, state: State) -> None:  # noqa: ARG002
        """POST /app/threads/delete."""
        body = await read(call, Names)
        known = {thread["id"]: thread for thread in self._store.threads()}
        ids = [id for id in body.ids if id in known and (body.pinned or not known[id]["pinned"])]
        await call.answer(await self._delete(ids))

    async def restore(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """POST /app/threads/ID/restore."""
        try:
            thread = self._shown(self._store.restore_thread(id))
        except KeyError:
            raise _missing("thread", id) from None
        self._tell("restored", id, thread)
        await call.answer(thread)

    async def _delete(self, ids: list[str]) -> Record:
        for id in ids:
            await asyncio.gather(*(run.stop() for run in self._runs.of_thread(id)))
        until = self._store.delete_threads(ids) + UNDO_SECONDS
        if ids:
            asyncio.get_running_loop().call_later(UNDO_SECONDS + 1, self._purge)
        for id in ids:
            self._tell("deleted", id, None)
        return {"deleted": ids, "until": until}

    def _purge(self) -> None:
        if not self._app.is_closed:
            self._store.purge(time.time() - UNDO_SECONDS)

    # Messages

    async def change_message(self, call: Call, state: State, id: str, message: str) -> None:  # noqa: ARG002
        """PATCH /app/threads/ID/messages/MID."""
        fields = given(await read(call, MessageChange))
        self._thread(id)
        self._message(id, message)
        if self._runs.of(message) is not None:
            raise ApiError(409, "this answer is being written: stop it first", code="busy")
        if "content" in fields:
            length = len(fields["content"])
            calls = self._store.message(message)["tool_calls"]
            fields["tool_calls"] = [{**c, "at": min(c.get("at", 0), length)} for c in calls]
        changed = self._store.change_message(message, fields)
        self._bus.tell("message", {"thread": id, "message": changed})
        await call.answer(self._shown_message(changed))

    async def delete_message(self, call: Call, state: State, id: str, message: str) -> None:  # noqa: ARG002
        """DELETE /app/threads/ID/messages/MID."""
        self._thread(id)
        self._message(id, message)
        for run in self._runs.of_thread(id):
            await run.stop()
        gone, leaf = self._store.delete_message(id, message)
        self._bus.tell("removed", {"thread": id, "messages": gone})
        self._tell("changed", id, self._shown(self._store.thread(id)))
        await call.answer({"deleted": gone, "leaf": leaf})

    # Answers

    async def run(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """POST /app/threads/ID/runs."""
        body = await read(call, RunRequest)
        thread = self._thread(id)
        asks = body.content is not None or bool(body.files)
        if asks + (body.question is not None) + (body.continue_ is not None) != 1:
            raise ApiError(
                400, "expected one of content, question and continue", code="invalid_value"
            )
        settings = {**thread["sampling"], **sampling_of(body.settings, "settings")}
        model = body.model or thread["model"] or self._app.library.default()
        question, answer, is_new = self._messages_of(id, thread, body)
        schema = _schema_of(body, thread, answer)
        answer |= {"model": model, "settings": settings, "schema": schema, "state": "running"}
        fields: Record = {"leaf": answer["id"]}
        if body.model is not None:
            fields["model"] = body.model
        if thread["title"] is None:
            fields["title"] = _title(question)
        if is_new:
            new = [answer] if body.question else [question, answer]
            thread = self._store.add_messages(id, new, fields)
        else:
            more = {k: answer[k] for k in ("model", "settings", "schema", "state")}
            again = {} if answer["content"].strip() else {"content": "", "thinking": ""}
            self._store.change_message(answer["id"], {**more, **again, "error": None})
            thread = self._store.change_thread(id, fields, touch=True)
        request = {
            "model": model,
            "system": thread["system"],
            "path": self._store.path(id, answer["id"] if body.continue_ else answer["parent"]),
            "settings": settings,
            "schema": schema,
            "tools": body.tools,
            "go_on": bool(body.continue_),
        }
        self._app.drafts.forget(id)
        if model is not None:
            self._app.used(model)
        run = self._runs.start(id, answer["id"], request)
        shown: Record = {
            "run": run.id,
            "question": self._shown_message(self._store.message(question["id"])),
            "answer": self._shown_message(self._store.message(answer["id"])),
            "thread": self._shown(thread),
        }
        self._tell("changed", id, shown["thread"])
        for name in ("question", "answer"):
            self._bus.tell("message", {"thread": id, "message": shown[name]})
        await call.answer(shown, 201)

    def _messages_of(
        self, id: str, thread: Record, body: RunRequest
    ) -> tuple[Record, Record, bool]:
        """The question and the answer of a request, and whether the answer is a new message."""
        now = time.time()
        if body.continue_ is not None:
            answer = self._message(id, body.continue_)
            if answer["role"] != "assistant" or answer["parent"] is None:
                raise _wrong("continue", "expected an answer")
            if self._runs.of(answer["id"]) is not None:
                raise ApiError(409, "this answer is being written already", code="busy")
            return self._message(id, answer["parent"]), answer, False
        if body.question is not None:
            question = self._message(id, body.question)
            if question["role"] != "user":
                raise _wrong("question", "expected a question")
        else:
            if not (body.content or "").strip() and not body.files:
                raise _wrong("content", "expected a text that is not empty")
            parent = thread["leaf"] if body.parent is msgspec.UNSET else body.parent
            if parent is not None:
                self._message(id, str(parent))
            question = {
                "id": new_id("m"),
                "parent": parent,
                "role": "user",
                "content": body.content or "",
                "files": msgspec.to_builtins(body.files),
                "created": now,
            }
        answer = {
            "id": new_id("m"),
            "parent": question["id"],
            "role": "assistant",
            "content": "",
            "created": max(now, question["created"] + 1e-6),
        }
        return question, answer, True

    async def draft(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """POST /app/threads/ID/draft."""
        body = await read(call, Draft)
        thread = self._thread(id)
        parent = thread["leaf"] if body.parent is msgspec.UNSET else body.parent
        if parent is not None:
            self._message(id, str(parent))
        model = body.model or thread["model"] or self._app.library.default()
        if model is not None:
            self._app.drafts.update(
                thread, None if parent is None else str(parent), body.text, model
            )
        await call.answer(b"", 204)

    async def events(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """GET /app/runs/RID/events."""
        run = self._run(id)
        seen = call.query.get("from") or call.headers.get("last-event-id") or "0"
        if not seen.isdecimal() or len(seen) > 9:
            raise _wrong("from", f"expected a number, found {seen[:40]!r}")
        await run.listen(call, int(seen))

    async def stop(self, call: Call, state: State, id: str) -> None:  # noqa: ARG002
        """POST /app/runs/RID/stop."""
        run = self._run(id)
        await run.stop()
        await call.answer(self._store.message(run.answer))

    # What all of them need

    def _thread(self, id: str) -> Record:
        try:
            return self._store.thread(id)
        except KeyError:
            raise _missing("thread", id) from None

    def _message(self, thread: str, id: str) -> Record:
        try:
            return self._store.message(id, thread)
        except KeyError:
            raise _missing("message", id) from None

    def _run(self, id: str) -> Any:
        try:
            return self._runs.find(id)
        except KeyError:
            raise _missing("run", id) from None

    def _checked(self, fields: Record) -> Record:
        if "sampling" in fields:
            fields["sampling"] = sampling_of(fields["sampling"], "sampling")
        for name in ("title", "folder", "system", "model"):
            if isinstance(fields.get(name), str) and not fields[name].strip():
                fields[name] = None
        return fields

    def _shown(self, thread: Record) -> Record:
        runs = self._runs.of_thread(thread["id"])
        return {**thread, "running": runs[-1].id if runs else None}

    def _shown_message(self, message: Record) -> Record:
        run = self._runs.of(message["id"])
        if run is None:
            return {**message, "run": None}
        return {**message, "run": run.id, "n_events": run.n_events}

    def _tell(self, change: str, id: str, thread: Record | None) -> None:
        self._bus.tell("thread", {"id": id, "change": change, "thread": thread})


def _schema_of(body: RunRequest, thread: Record, answer: Record) -> Record | None:
    """The schema that an answer follows: that of the request, else its own or that of the chat."""
    if body.schema is not msgspec.UNSET:
        return body.schema
    if body.continue_ is not None:
        schema: Record | None = answer["schema"]
        return schema
    return thread["schema"] if thread["use_schema"] else None


def _title(question: Record) -> str:
    """The beginning of a question, to the end of a word."""
    text = " ".join(question["content"].split())
    if not text and question.get("files"):
        text = str(question["files"][0].get("name", ""))
    if len(text) <= LONGEST_TITLE:
        return text
    cut = text[: LONGEST_TITLE - 1]
    return (cut.rpartition(" ")[0] if " " in cut[20:] else cut).rstrip(" ,;:.") + "…"


def _missing(what: str, id: str) -> ApiError:
    return ApiError(404, f"there is no {what} {id[:80]!r}", code="not_found")


def _wrong(field: str, problem: str) -> ApiError:
    return ApiError(400, f"{field}: {problem}", param=field, code="invalid_value")
