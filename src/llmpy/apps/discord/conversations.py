"""Conversations: the answers of the bot as a tree in a SQLite file, and chats kept in memory."""

from __future__ import annotations

import sqlite3
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import llmpy

__all__ = ["Chats", "Conversations", "Turn", "messages_of"]

TABLES = """
create table if not exists turns (
    id integer primary key autoincrement, parent integer, command text, question text, answer text,
    used real);
create table if not exists posts (message integer primary key, turn integer);
create index if not exists of_turn on posts (turn);
create index if not exists by_use on turns (used);
"""


@dataclass(frozen=True)
class Turn:
    """A question and its answer; `parent` is the turn that it replies to."""

    id: int
    parent: int | None
    command: str
    question: str
    answer: str


class Conversations:
    """All turns that can be replied to, at most `most`: the least recently used are forgotten."""

    def __init__(self, path: Path | str, most: int) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.executescript(TABLES)
        self.most = most

    def add(
        self, parent: int | None, command: str, question: str, answer: str, messages: list[int]
    ) -> int:
        """Keep an answer and the ids of its messages; return the number of the turn."""
        row = (parent, command, question, answer, time.time())
        with self._db:
            self._db.execute("begin")
            insert = "insert into turns (parent, command, question, answer, used)"
            turn = self._db.execute(f"{insert} values (?, ?, ?, ?, ?)", row).lastrowid
            assert turn is not None
            rows = [(message, turn) for message in messages]
            self._db.executemany("insert or replace into posts values (?, ?)", rows)
            extra = self._db.execute("select count(*) from turns").fetchone()[0] - self.most
            if extra > 0:
                old = f"(select id from turns order by used, id limit {extra})"
                self._db.execute(f"delete from posts where turn in {old}")
                self._db.execute(f"delete from turns where id in {old}")
        return turn

    def of_message(self, message: int) -> int | None:
        """Return the turn that a message of the bot belongs to, None for an unknown message."""
        found = self._db.execute("select turn from posts where message = ?", (message,)).fetchone()
        return None if found is None else found[0]

    def path_to(self, turn: int | None) -> list[Turn]:
        """Return the turns of a conversation up to that one, oldest first."""
        path: list[Turn] = []
        while turn is not None:
            select = "select id, parent, command, question, answer from turns where id = ?"
            row = self._db.execute(select, (turn,)).fetchone()
            if row is None:
                break
            path.append(Turn(*row))
            turn = path[-1].parent
        rows = [(time.time(), one.id) for one in path]
        self._db.executemany("update turns set used = ? where id = ?", rows)
        return path[::-1]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Chats:
    """Chats whose KV caches are in memory, by the turn that they end with: the last ones used."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[int, llmpy.Chat] = OrderedDict()

    def take(self, turn: int | None) -> llmpy.Chat | None:
        """Hand the chat that ends with a turn to the caller; None if none is kept."""
        return None if turn is None else self._kept.pop(turn, None)

    def keep(self, turn: int, chat: llmpy.Chat) -> None:
        """Keep a chat, and close the least recently used one beyond the most."""
        self._kept[turn] = chat
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)[1].close()

    def close(self) -> None:
        """Close all."""
        while self._kept:
            self._kept.popitem()[1].close()


def messages_of(path: list[Turn]) -> list[dict[str, str]]:
    """Return a conversation as the messages of a chat, without what was never answered."""
    messages = []
    for turn in (turn for turn in path if turn.answer):
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    return messages
