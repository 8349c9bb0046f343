"""Chats on the disk: threads and their messages, in small transactions.

All methods are quick, and belong to the thread of the event loop.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmpy.apps.webapp.records import MORE, Record, message_of, new_id, packed, thread_of
from llmpy.apps.webapp.schema import opened

__all__ = ["Store"]

FIELDS = (
    "title", "folder", "pinned", "system", "sampling", "model", "leaf", "schema", "use_schema",
)  # fmt: skip
INTERRUPTED = {"code": "interrupted", "message": "the program ended before this answer did"}


class Store:
    """The chats in one file. KeyError for an id that nothing has."""

    def __init__(self, path: Path) -> None:
        self._db = opened(path)
        self._recover()

    def close(self) -> None:
        """Close the file; nothing is lost without this."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Threads

    def threads(self) -> list[Record]:
        """All threads but deleted ones, the last changed first, without messages."""
        rows = self._db.execute(
            "SELECT * FROM threads WHERE deleted IS NULL ORDER BY updated DESC, number DESC"
        )
        return [thread_of(row) for row in rows]

    def thread(self, id: str) -> Record:
        """One of them."""
        row = self._db.execute(
            "SELECT * FROM threads WHERE id = ? AND deleted IS NULL", (id,)
        ).fetchone()
        if row is None:
            raise KeyError(id)
        return thread_of(row)

    def add_thread(self, fields: Mapping[str, Any], id: str | None = None) -> Record:
        """Make a thread; `fields` are some of those of a thread."""
        now = time.time()
        id = id or new_id("t")
        values = {
            "id": id,
            "created": fields.get("created", now),
            "updated": fields.get("updated", now),
            **_columns(fields),
        }
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._transaction():
            self._db.execute(
                f"INSERT INTO threads ({names}) VALUES ({marks})", tuple(values.values())
            )
            self._index_title(id, values.get("title"))
        return self.thread(id)

    def change_thread(self, id: str, fields: Mapping[str, Any], *, touch: bool = False) -> Record:
        """Set some fields; `touch`: it counts as used now."""
        values = _columns(fields) | ({"updated": time.time()} if touch else {})
        if values:
            sets = ", ".join(f"{name} = ?" for name in values)
            with self._transaction():
                self._db.execute(f"UPDATE threads SET {sets} WHERE id = ?", (*values.values(), id))
                if "title" in values:
                    self._index_title(id, values["title"])
        return self.thread(id)

    def delete_threads(self, ids: Sequence[str]) -> float:
        """Hide threads, and return the time; they are there until they are purged."""
        now = time.time()
        with self._transaction():
            for id in ids:
                self._db.execute(
                    "UPDATE threads SET deleted = ? WHERE id = ? AND deleted IS NULL", (now, id)
                )
        return now

    def restore_thread(self, id: str) -> Record:
        """Show a thread again."""
        with self._transaction():
            self._db.execute("UPDATE threads SET deleted = NULL WHERE id = ?", (id,))
        return self.thread(id)

    def purge(self, before: float) -> int:
        """Remove what was deleted before this time; return how many threads that were."""
        gone = [
            (row["id"], row["number"])
            for row in self._db.execute("SELECT * FROM threads WHERE deleted < ?", (before,))
        ]
        with self._transaction():
            for id, number in gone:
                rows = self._db.execute("SELECT id FROM messages WHERE thread = ?", (id,))
                self._remove([row["id"] for row in rows.fetchall()])
                self._db.execute("DELETE FROM found WHERE rowid = ?", (-number,))
                self._db.execute("DELETE FROM threads WHERE id = ?", (id,))
        return len(gone)

    # Messages

    def messages(self, thread: str) -> list[Record]:
        """All messages of a thread, the oldest first."""
        tails: dict[str, dict[str, str]] = {}
        for row in self._db.execute(
            "SELECT tail.* FROM tail JOIN messages ON messages.id = tail.message "
            "WHERE messages.thread = ? ORDER BY tail.number",
            (thread,),
        ):
            tail = tails.setdefault(row["message"], {})
            tail[row["kind"]] = tail.get(row["kind"], "") + row["text"]
        rows = self._db.execute(
            "SELECT * FROM messages WHERE thread = ? ORDER BY number", (thread,)
        )
        found = [message_of(row, tails.get(row["id"], {})) for row in rows]
        known = {message["id"] for message in found}
        for message in found:
            if message["parent"] not in known:  # which was lost: this begins a branch then
                message["parent"] = None
        return found

    def message(self, id: str, thread: str | None = None) -> Record:
        """One message, of this thread if one is given."""
        row = self._db.execute("SELECT * FROM messages WHERE id = ?", (id,)).fetchone()
        if row is None or thread not in (None, row["thread"]):
            raise KeyError(id)
        return message_of(row, self._tail(id))

    def path(self, thread: str, leaf: str | None) -> list[Record]:
        """The messages from the first one to `leaf`."""
        found: list[Record] = []
        seen = set[str]()
        while leaf is not None and leaf not in seen:  # a damaged file may have a circle
            seen.add(leaf)
            try:
                found.append(self.message(leaf, thread))
            except KeyError:  # lost: what is after it begins the branch
                if not found:
                    raise
                break
            leaf = found[-1]["parent"]
        return found[::-1]

    def add_messages(self, thread: str, messages: Sequence[Record], fields: Record) -> Record:
        """Write messages, and fields of their thread, to the disk itself; return the thread."""
        self._db.execute("PRAGMA synchronous = FULL")
        try:
            with self._transaction():
                for message in messages:
                    self._insert(thread, message)
                return self.change_thread(thread, fields, touch="updated" not in fields)
        finally:
            self._db.execute("PRAGMA synchronous = NORMAL")

    def add_whole(self, id: str, fields: Record, messages: Sequence[Record]) -> None:
        """Write a thread with all its messages, in one transaction."""
        with self._transaction():
            self.add_thread(fields, id)
            for message in messages:
                self._insert(id, message)

    def has_thread(self, id: str) -> bool:
        """Return whether a thread has this id, be it a deleted one."""
        return self._db.execute("SELECT 1 FROM threads WHERE id = ?", (id,)).fetchone() is not None

    def has_message(self, id: str) -> bool:
        """Return whether a message has this id."""
        row = self._db.execute("SELECT 1 FROM messages WHERE id = ?", (id,)).fetchone()
        return row is not None

    def append(self, message: str, kind: str, text: str) -> None:
        """Add to a message that is being generated; `kind` is "text" or "thinking"."""
        self._db.execute(
            "INSERT INTO tail (message, kind, text) VALUES (?, ?, ?)", (message, kind, text)
        )

    def change_message(self, id: str, fields: Mapping[str, Any]) -> Record:
        """Set some fields of a message; what was generated becomes a part of it."""
        message = {**self.message(id), **fields}
        with self._transaction():
            self._db.execute(
                "UPDATE messages SET content = ?, thinking = ?, state = ?, model = ?, more = ? "
                "WHERE id = ?",
                (
                    *(message[key] for key in ("content", "thinking", "state", "model")),
                    packed(message),
                    id,
                ),
            )
            self._db.execute("DELETE FROM tail WHERE message = ?", (id,))
            self._index(id, message["content"])
        return self.message(id)

    def set_more(self, id: str, fields: Mapping[str, Any]) -> None:
        """Set some of the fields that `MORE` names, while the text is still being generated."""
        message = self.message(id)
        assert fields.keys() <= set(MORE)
        self._db.execute(
            "UPDATE messages SET more = ? WHERE id = ?", (packed({**message, **fields}), id)
        )

    def delete_message(self, thread: str, id: str) -> tuple[list[str], str | None]:
        """Remove a message and all after it; return their ids and the new leaf."""
        messages = self.messages(thread)
        parent = next((m["parent"] for m in messages if m["id"] == id), None)
        self.message(id, thread)
        gone = {id}
        while more := {m["id"] for m in messages if m["parent"] in gone} - gone:
            gone |= more
        leaf = self.thread(thread)["leaf"]
        with self._transaction():
            self._remove(gone)
            if leaf in gone:
                leaf = _last(messages, parent, gone)
                self._db.execute("UPDATE threads SET leaf = ? WHERE id = ?", (leaf, thread))
        return [m["id"] for m in messages if m["id"] in gone], leaf

    # Inside

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _insert(self, thread: str, message: Record) -> None:
        cursor = self._db.execute(
            "INSERT INTO messages (id, thread, parent, role, content, thinking, state, model, "
            "more, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                message["id"],
                thread,
                message["parent"],
                message["role"],
                message["content"],
                message.get("thinking", ""),
                message.get("state", "done"),
                message.get("model"),
                packed(message),
                message.get("created") or time.time(),
            ),
        )
        if message["content"]:
            self._db.execute(
                "INSERT INTO found (rowid, text) VALUES (?, ?)",
                (cursor.lastrowid, message["content"]),
            )

    def _tail(self, id: str) -> dict[str, str]:
        tail: dict[str, str] = {}
        for row in self._db.execute("SELECT * FROM tail WHERE message = ? ORDER BY number", (id,)):
            tail[row["kind"]] = tail.get(row["kind"], "") + row["text"]
        return tail

    def _remove(self, ids: Sequence[str] | set[str]) -> None:
        for id in ids:
            self._db.execute(
                "DELETE FROM found WHERE rowid = (SELECT number FROM messages WHERE id = ?)", (id,)
            )
            self._db.execute("DELETE FROM tail WHERE message = ?", (id,))
            self._db.execute("DELETE FROM messages WHERE id = ?", (id,))

    def _index(self, id: str, text: str) -> None:
        row = self._db.execute("SELECT number FROM messages WHERE id = ?", (id,)).fetchone()
        self._db.execute("DELETE FROM found WHERE rowid = ?", (row["number"],))
        if text:
            self._db.execute("INSERT INTO found (rowid, text) VALUES (?, ?)", (row["number"], text))

    def _index_title(self, id: str, title: str | None) -> None:
        row = self._db.execute("SELECT number FROM threads WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise KeyError(id)
        self._db.execute("DELETE FROM found WHERE rowid = ?", (-row["number"],))
        if title:
            self._db.execute(
                "INSERT INTO found (rowid, text) VALUES (?, ?)", (-row["number"], title)
            )

    def _recover(self) -> None:
        """End the answers of a program that was killed: their text is whole as far as it came."""
        rows = self._db.execute("SELECT id FROM messages WHERE state = 'running'").fetchall()
        for row in rows:
            self.change_message(row["id"], {"state": "stopped", "error": INTERRUPTED})
        self._db.execute("DELETE FROM tail WHERE message NOT IN (SELECT id FROM messages)")


def _columns(fields: Mapping[str, Any]) -> Record:
    """Fields of a thread as the table has them."""
    found = {name: fields[name] for name in FIELDS if name in fields}
    for name in ("pinned", "use_schema"):
        if name in found:
            found[name] = int(bool(found[name]))
    if found.get("schema") is not None:
        found["schema"] = json.dumps(found["schema"], ensure_ascii=False)
    if "sampling" in found:
        found["sampling"] = json.dumps(found["sampling"] or {}, ensure_ascii=False)
    return found


def _last(messages: Sequence[Record], parent: str | None, gone: set[str]) -> str | None:
    """The end of the newest branch from `parent` on, of what is left."""
    leaf = parent
    while True:
        after = [m["id"] for m in messages if m["parent"] == leaf and m["id"] not in gone]
        if not after:
            return leaf
        leaf = after[-1]
