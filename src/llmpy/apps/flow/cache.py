"""Results of nodes by their content, in memory or in a file."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from typing import Any

import msgspec

__all__ = ["Cache"]

VERSION = 1
MOST_ROWS = 10_000
MOST_BYTES = 64 << 20  # of one result
TABLE = "create table if not exists results (key text primary key, value blob, at real)"


class Cache:
    """Results by key: `path` is a file, "" memory. Any number of threads may use it."""

    def __init__(self, path: str | os.PathLike[str] = "") -> None:
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                os.fspath(path) or ":memory:", check_same_thread=False, isolation_level=None
            )
            self._db.execute(TABLE)
        except sqlite3.Error as error:
            raise OSError(f"{path}: the cache cannot be opened: {error}") from None

    @staticmethod
    def key(*parts: Any) -> str:
        """Return the key of what a result depends on."""
        told = msgspec.json.encode([VERSION, *parts], enc_hook=repr, order="deterministic")
        return hashlib.sha256(told).hexdigest()

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a result; None where there is none."""
        with self._lock:
            row = self._db.execute("select value from results where key = ?", (key,)).fetchone()
        try:
            found = None if row is None else msgspec.json.decode(row[0])
        except msgspec.MsgspecError:
            return None
        return found if isinstance(found, dict) else None

    def put(self, key: str, values: dict[str, Any]) -> None:
        """Keep a result; the oldest ones go when there are too many."""
        data = msgspec.json.encode(values)
        if len(data) > MOST_BYTES:
            return
        with self._lock:
            row = key, data, time.time()
            self._db.execute("insert or replace into results values (?, ?, ?)", row)
            self._db.execute(
                "delete from results where key in (select key from results order by at desc "
                "limit -1 offset ?)", (MOST_ROWS,),
            )  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
