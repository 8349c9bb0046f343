"""Files of a chat: conversations in JSON, and the history of typed lines."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

__all__ = ["data_folder", "read_messages", "write_messages"]

LARGEST = 256 << 20  # bytes of a conversation


def data_folder() -> Path:
    """Return the folder for data of the user, which may not exist yet."""
    return platformdirs.user_data_path("llmpy", appauthor=False)


def read_messages(path: Path) -> list[Any]:
    """Return the messages in a file: a list of JSON, or an object with one in "messages".

    Raises OSError where it cannot be read, ValueError where it holds something else.
    """
    if path.is_file() and path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: expected a conversation, found {path.stat().st_size:,} bytes")
    try:
        found = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected JSON in UTF-8, found other bytes") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, found something else ({error})") from error
    messages = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(messages, list):
        raise ValueError(f'{path}: expected a list of messages, or an object with "messages"')
    return messages


def write_messages(path: Path, messages: list[dict[str, Any]]) -> None:
    """Write messages as JSON; what was there before stays until the new file is complete."""
    text = json.dumps(messages, ensure_ascii=False, indent=2) + "\n"
    target = path.resolve()  # a link stays a link
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(name, target.stat().st_mode & 0o7777)
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
