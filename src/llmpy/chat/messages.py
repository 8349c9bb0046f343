"""Messages in their usual form: a list of dicts with "role" and "content", as plain data.

What a caller gives is checked and copied here, once; templates and conversations see only this.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["ROLES", "Message", "checked_message", "checked_messages", "plain", "with_aliases"]

Message = dict[str, Any]
ROLES = ("system", "developer", "user", "assistant", "tool", "ipython", "function")
REASONING = ("reasoning_content", "thinking", "reasoning")  # names of one thing; the first is usual
MAX_DEPTH = 64


def checked_messages(messages: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Copies of the messages, as plain data.

    Raises TypeError for what is no message, ValueError for an unknown role, a second system
    message, or a message without content.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        raise TypeError(f"messages: expected a list of dicts, found {type(messages).__name__}")
    found = [checked_message(message, f"messages[{i}]") for i, message in enumerate(messages)]
    systems = [i for i, message in enumerate(found) if message["role"] == "system"]
    if len(systems) > 1:
        raise ValueError(
            f"messages[{systems[1]}]: expected one system message, found a second one; "
            f"join it with messages[{systems[0]}]"
        )
    return found


def checked_message(message: Mapping[str, Any], where: str = "message") -> Message:
    """A copy of one message; see `checked_messages`."""
    if not isinstance(message, Mapping) and not _is_object(message):
        raise TypeError(
            f"{where}: expected a dict with 'role' and 'content', found {type(message).__name__}"
        )
    found = plain(message, where)
    if not isinstance(found, dict):
        raise TypeError(f"{where}: expected the data of a dict, found {type(found).__name__}")
    role = found.get("role")
    if role not in ROLES:
        raise ValueError(f"{where}: role: expected one of {', '.join(ROLES)}, found {role!r}")
    found = {key: value for key, value in found.items() if value is not None}
    content = found.get("content")
    if content is None and not found.get("tool_calls"):
        raise ValueError(f"{where}: content: expected a text, found none")
    if content is not None and not isinstance(content, str):
        _check_parts(content, f"{where}: content")
    for name in REASONING:
        if name in found and not isinstance(found[name], str):
            raise TypeError(f"{where}: {name}: expected a text, found {type(found[name]).__name__}")
    return found


def with_aliases(message: Message) -> Message:
    """The message with its reasoning under the names that templates read, as transformers does."""
    thinking = next((message[name] for name in REASONING if name in message), None)
    if thinking is None:
        return message
    return {"thinking": thinking, **message, "reasoning_content": thinking}


def _check_parts(content: Any, where: str) -> None:
    """Content may be a list of parts, as APIs have it; llmpy reads those that are text."""
    if not isinstance(content, list):
        raise TypeError(f"{where}: expected a text, found {type(content).__name__}")
    for i, part in enumerate(content):
        kind = part.get("type", "text") if isinstance(part, dict) else type(part).__name__
        if not isinstance(part, dict) or kind != "text":
            raise TypeError(f"{where}[{i}]: expected a part of type 'text', found {kind!r}")
        if not isinstance(part.get("text"), str):
            raise TypeError(f"{where}[{i}]: text: expected a str, found {part.get('text')!r:.60}")


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy in plain data: str, int, float, bool, None, and lists and dicts of these.

    Subclasses of these types become the types themselves, so that a template meets nothing else.
    Raises TypeError for other values, ValueError for surrogates and for what is nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"{where}: nested more than {MAX_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str.__str__(value), where)
    if isinstance(value, numbers.Integral):  # NumPy's too
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return {
            _key(key, where): plain(item, f"{where}: {key}", depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    dump = getattr(value, "model_dump", None)  # pydantic's, and that of API clients
    if not isinstance(value, type) and callable(dump):
        return plain(dump(), where, depth + 1)
    if _is_object(value):
        return plain({f.name: getattr(value, f.name) for f in fields(value)}, where, depth + 1)
    raise TypeError(f"{where}: expected text or plain data, found {type(value).__name__}")


def _is_object(value: Any) -> bool:
    """Whether it is an object of a class for data: of dataclasses, of pydantic."""
    return not isinstance(value, type) and (
        is_dataclass(value) or callable(getattr(value, "model_dump", None))
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{where}: expected texts as keys, found {key!r:.60}")
    return _text(str.__str__(key), where)


def _text(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where}: it holds a lone surrogate (U+{ord(text[error.start]):04X} at character "
            f"{error.start}), which is no character; decode it with errors='replace' first"
        ) from None
    return text
