"""Search in all chats: pieces of words too, the newest first."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from pathlib import Path
from typing import Any

from llmpy.apps.webapp.records import Record
from llmpy.apps.webapp.schema import connected

__all__ = ["Search"]

LEAST = 3  # characters that the index can find
BEFORE, AFTER = 60, 140  # characters around a hit
FOUND = (
    "SELECT m.id AS message, m.thread AS thread, t.title AS title, m.content AS text, "
    "m.created AS created FROM {source} JOIN threads AS t ON t.id = m.thread "
    "WHERE t.deleted IS NULL AND {where} ORDER BY m.number DESC LIMIT ?"
)
TITLED = (
    "SELECT NULL AS message, id AS thread, title, title AS text, updated AS created FROM threads "
    "WHERE deleted IS NULL AND {where} ORDER BY updated DESC LIMIT ?"
)


class Search:
    """Finds texts, on a connection of its own and in threads."""

    def __init__(self, path: Path) -> None:
        self._db = connected(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    async def find(self, text: str, limit: int) -> tuple[list[Record], bool]:
        """The messages and titles that have all words of a text, and whether there are more."""
        words = list(dict.fromkeys(text.replace("\0", " ").split()))[:16]
        if not words:
            return [], False
        return await asyncio.to_thread(self._find, words, limit)

    def _find(self, words: list[str], limit: int) -> tuple[list[Record], bool]:
        with self._lock:
            where = " AND ".join(["title LIKE ? ESCAPE '\\'"] * len(words))
            rows = self._rows(TITLED.format(where=where), [*map(_like, words), limit + 1])
            long = [word for word in words if len(word) >= LEAST]
            short = [word for word in words if len(word) < LEAST]
            conditions = ["m.content LIKE ? ESCAPE '\\'"] * len(short)
            values: list[Any] = [*map(_like, short)]
            source = "messages AS m"
            if long:
                source = "found JOIN messages AS m ON m.number = found.rowid"
                conditions.insert(0, "found.text MATCH ?")
                values.insert(0, " AND ".join('"' + w.replace('"', '""') + '"' for w in long))
            query = FOUND.format(source=source, where=" AND ".join(conditions))
            rows += self._rows(query, [*values, limit + 1])
        return [_hit(row, words) for row in rows[:limit]], len(rows) > limit

    def _rows(self, query: str, values: list[Any]) -> list[sqlite3.Row]:
        return self._db.execute(query, values).fetchall()


def _like(word: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"


def _hit(row: sqlite3.Row, words: list[str]) -> Record:
    """A hit with the text around it, on one line."""
    text = row["text"] or ""
    match = next(filter(None, (re.search(re.escape(w), text, re.I) for w in words)), None)
    begin, end = match.span() if match else (0, 0)
    first = max(0, begin - BEFORE)
    before = ("…" if first else "") + re.sub(r"\s", " ", text[first:begin])
    after = re.sub(r"\s", " ", text[begin : end + AFTER])
    return {
        "thread": row["thread"],
        "message": row["message"],
        "title": row["title"],
        "text": before + after + ("…" if end + AFTER < len(text) else ""),
        "at": len(before),
        "length": end - begin,
        "created": row["created"],
    }
