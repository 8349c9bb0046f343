"""Threads that come from a file: checked, before anything of them is written."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from llmpy.apps.webapp.prompts import sampling_of
from llmpy.apps.webapp.records import Record, new_id
from llmpy.server import ApiError

__all__ = ["TakenThread", "checked"]

MOST_DEPTH = 64
LATEST = 32_503_680_000  # the year 3000, in seconds


class _Message(msgspec.Struct, kw_only=True):
    id: str = ""
    parent: str | None = None
    role: str
    content: str = ""
    thinking: str = ""
    tool_calls: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    schema: dict[str, Any] | None = None
    model: str | None = None
    settings: dict[str, Any] = {}
    stats: dict[str, Any] | None = None
    state: str = "done"
    error: dict[str, Any] | None = None
    created: float = 0.0


class _Thread(msgspec.Struct, kw_only=True):
    id: str = ""
    title: str | None = None
    folder: str | None = None
    pinned: bool = False
    system: str | None = None
    sampling: dict[str, Any] = {}
    model: str | None = None
    leaf: str | None = None
    schema: dict[str, Any] | None = None
    use_schema: bool = False
    created: float | None = None
    updated: float | None = None
    messages: list[_Message] = []


class TakenThread:
    """A thread with its messages, each after its parent."""

    def __init__(self, id: str, fields: Record, messages: list[Record]) -> None:
        self.id = id
        self.fields = fields
        self.messages = messages


def checked(value: Any) -> TakenThread:
    """A thread of a file; ValueError or msgspec.ValidationError for what is none."""
    thread = msgspec.convert(value, _Thread)
    messages: list[Record] = []
    known = set[str]()
    now = time.time()
    for i, message in enumerate(thread.messages):
        if message.role not in ("user", "assistant"):
            raise ValueError(f"messages[{i}].role: expected user or assistant")
        found = msgspec.structs.asdict(message)
        found["id"] = message.id or new_id("m")
        if message.state not in ("done", "stopped", "error"):
            found["state"] = "stopped"
        found["created"] = message.created if 0 < message.created < LATEST else now
        if found["id"] in known:
            raise ValueError(f"messages[{i}].id: another message has it")
        if message.parent is not None and message.parent not in known:
            raise ValueError(f"messages[{i}].parent: expected the id of a message before it")
        _check_depth(found, f"messages[{i}]")
        known.add(found["id"])
        messages.append(found)
    fields = {
        key: value
        for key, value in msgspec.structs.asdict(thread).items()
        if key not in ("id", "messages") and value is not None
    }
    for name in ("created", "updated"):
        if not 0 < fields.get(name, now) < LATEST:
            fields[name] = now
    _check_depth(thread.schema or {}, "schema")
    try:
        fields["sampling"] = sampling_of(thread.sampling, "sampling")
    except ApiError as error:
        raise ValueError(error.message) from None
    return TakenThread(thread.id or new_id("t"), fields, messages)


def _check_depth(value: Any, where: str) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            item
            for parent in level
            for item in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"{where}: nested more than {MOST_DEPTH} deep")
