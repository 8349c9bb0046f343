"""The tables in which chats are kept, and how a file of them is opened.

A message's text is kept in `messages`; what is being generated is in `tail` as well, a row for each
step, so that a step writes no more than it has generated. `found` is an index of all texts.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from pathlib import Path

__all__ = ["connected", "opened"]

log = logging.getLogger("llmpy.app")

VERSION = 2
TABLES = """
CREATE TABLE IF NOT EXISTS threads (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT, folder TEXT, system TEXT, model TEXT, leaf TEXT,
    pinned INTEGER NOT NULL DEFAULT 0,
    sampling TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL, updated REAL NOT NULL,
    deleted REAL,
    schema TEXT, use_schema INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS threads_updated ON threads (updated);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    thread TEXT NOT NULL, parent TEXT,
    role TEXT NOT NULL,
    content TEXT NOT NULL DEFAULT '', thinking TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'done',
    model TEXT,
    more TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_thread ON messages (thread);
CREATE TABLE IF NOT EXISTS tail (
    number INTEGER PRIMARY KEY,
    message TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS tail_message ON tail (message);
CREATE VIRTUAL TABLE IF NOT EXISTS found USING fts5(text, tokenize = 'trigram');
"""
SINCE = {  # what each version has that the one before had not
    2: (
        "ALTER TABLE threads ADD COLUMN schema TEXT",
        "ALTER TABLE threads ADD COLUMN use_schema INTEGER NOT NULL DEFAULT 0",
    ),
}


def opened(path: Path) -> sqlite3.Connection:
    """Open the file of chats, or make it.

    A file that is damaged is set aside, and what can be read of it goes into a new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise  # locked, no room, no permission: the file itself may be sound
        aside = path.with_name(f"{path.stem}.damaged-{int(time.time())}{path.suffix}")
        log.error("%s is damaged (%s): it is kept as %s", path, error, aside.name)
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        connection = _opened(path)
        _salvage(aside, connection)
        return connection


def connected(path: Path) -> sqlite3.Connection:
    """Return a connection that any thread may use, one at a time."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.text_factory = _text
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _text(data: bytes) -> str:
    """A text, whatever a damaged file has in its place."""
    return data.decode("utf-8", "replace")


def _opened(path: Path) -> sqlite3.Connection:
    connection = connected(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise RuntimeError(
                f"{path}: it is of a newer llmpy (version {version} of the file, this one reads "
                f"{VERSION}): update llmpy, or name another folder with --data"
            )
        connection.executescript(TABLES)
        for newer in range(version + 1, VERSION + 1) if version else ():
            steps = [*SINCE[newer], f"PRAGMA user_version = {newer}"]
            connection.executescript(f"BEGIN; {'; '.join(steps)}; COMMIT")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        for table in ("threads", "messages", "tail"):
            connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _salvage(damaged: Path, target: sqlite3.Connection) -> None:
    """Copy the rows that can be read, from both ends of each table."""
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        contextlib.closing(sqlite3.connect(f"file:{damaged}?mode=ro", uri=True)) as source,
    ):
        for table in ("threads", "messages", "tail"):
            for order in ("ASC", "DESC"):
                with contextlib.suppress(sqlite3.DatabaseError):
                    rows = source.execute(f"SELECT * FROM {table} ORDER BY number {order}")
                    names = ", ".join(column[0] for column in rows.description)
                    marks = ", ".join("?" * len(rows.description))
                    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"
                    for row in rows:
                        target.execute(insert, row)
    for row in target.execute("SELECT number, content FROM messages").fetchall():
        target.execute("INSERT INTO found (rowid, text) VALUES (?, ?)", tuple(row))
    for row in target.execute("SELECT number, title FROM threads WHERE title != ''").fetchall():
        target.execute("INSERT INTO found (rowid, text) VALUES (?, ?)", (-row[0], row[1]))
