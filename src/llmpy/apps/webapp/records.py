"""Threads and messages as the interface has them, and what of them may be set."""

from __future__ import annotations

import json
import secrets
import sqlite3
from typing import Any

__all__ = ["MORE", "Record", "message_of", "new_id", "packed", "thread_of"]

Record = dict[str, Any]
MORE = ("tool_calls", "files", "schema", "settings", "stats", "error")  # kept as one JSON text
STATES = ("running", "done", "stopped", "error")
ROLES = ("user", "assistant")


def new_id(kind: str) -> str:
    """A name that nothing else has: "t_..." of a thread, "m_..." of a message."""
    return f"{kind}_{secrets.token_hex(8)}"


def thread_of(row: sqlite3.Row) -> Record:
    """A row of `threads`; what is damaged in it is left out."""
    return {
        "id": row["id"],
        **{key: _text(row[key]) for key in ("title", "folder")},
        "pinned": bool(row["pinned"]),
        "system": _text(row["system"]),
        "sampling": _object(row["sampling"])[0],
        **{key: _text(row[key]) for key in ("model", "leaf")},
        "schema": None if row["schema"] is None else _object(row["schema"])[0],
        "use_schema": bool(row["use_schema"]),
        "created": _time(row["created"]),
        "updated": _time(row["updated"]),
    }


def message_of(row: sqlite3.Row, tail: dict[str, str]) -> Record:
    """A row of `messages`, with what was generated since it was written."""
    more, is_whole = _object(row["more"])
    found: Record = {
        "id": row["id"],
        "parent": _text(row["parent"]),
        "role": row["role"] if row["role"] in ROLES else "assistant",
        "content": (_text(row["content"]) or "") + tail.get("text", ""),
        "thinking": (_text(row["thinking"]) or "") + tail.get("thinking", ""),
        "tool_calls": _list(more.get("tool_calls")),
        "files": _list(more.get("files")),
        "schema": more.get("schema"),
        "model": _text(row["model"]),
        "settings": _dict(more.get("settings")),
        "stats": more.get("stats") if isinstance(more.get("stats"), dict) else None,
        "state": row["state"] if row["state"] in STATES else "error",
        "error": more.get("error") if isinstance(more.get("error"), dict) else None,
        "created": _time(row["created"]),
    }
    if not is_whole:
        found["error"] = {"code": "damaged", "message": "a part of this message was damaged"}
    return found


def packed(message: Record) -> str:
    """Return the column `more` that `message_of` reads: only what is there."""
    found = {key: message[key] for key in MORE if message.get(key) not in (None, [], {})}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else str(value)


def _time(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _list(value: Any) -> list[Any]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _dict(value: Any) -> Record:
    return value if isinstance(value, dict) else {}


def _object(text: Any) -> tuple[Record, bool]:
    """A JSON object, and whether it was one."""
    if text == "{}":  # as most
        return {}, True
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}, False
    return (found, True) if isinstance(found, dict) else ({}, False)
