"""The bodies of requests, checked: what a page may send, and how large it may be."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from llmpy.apps.webapp.records import Record
from llmpy.server import ApiError, Call, bad_value

__all__ = [
    "Draft",
    "File",
    "Job",
    "MessageChange",
    "Named",
    "Names",
    "Pull",
    "RunRequest",
    "ThreadChange",
    "given",
    "read",
]

T = TypeVar("T", bound=msgspec.Struct)

MOST_OF_A_NAME = 500  # characters
MOST_OF_A_TEXT = 4 << 20


class File(msgspec.Struct):
    """A text file beside a question."""

    name: str
    text: str


class ThreadChange(msgspec.Struct, kw_only=True):
    """Fields of a thread that may be set."""

    title: str | msgspec.UnsetType | None = msgspec.UNSET
    folder: str | msgspec.UnsetType | None = msgspec.UNSET
    pinned: bool | msgspec.UnsetType = msgspec.UNSET
    system: str | msgspec.UnsetType | None = msgspec.UNSET
    sampling: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    model: str | msgspec.UnsetType | None = msgspec.UNSET
    leaf: str | msgspec.UnsetType | None = msgspec.UNSET
    schema: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    use_schema: bool | msgspec.UnsetType = msgspec.UNSET


class MessageChange(msgspec.Struct, kw_only=True):
    """Fields of a message that may be set."""

    content: str | msgspec.UnsetType = msgspec.UNSET
    thinking: str | msgspec.UnsetType = msgspec.UNSET
    files: list[File] | msgspec.UnsetType = msgspec.UNSET


class RunRequest(msgspec.Struct, kw_only=True):
    """A new question, another answer to one, or more of an answer."""

    content: str | None = None
    parent: str | msgspec.UnsetType | None = msgspec.UNSET
    files: list[File] = []
    question: str | None = None
    continue_: str | None = msgspec.field(name="continue", default=None)
    model: str | None = None
    settings: dict[str, Any] | None = None
    schema: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    tools: list[str] | None = None


class Draft(msgspec.Struct, kw_only=True):
    """A question that is being typed."""

    text: str
    parent: str | msgspec.UnsetType | None = msgspec.UNSET
    model: str | None = None


class Names(msgspec.Struct, kw_only=True):
    """Threads to delete."""

    ids: list[str]
    pinned: bool = False


class Named(msgspec.Struct, kw_only=True):
    """A model."""

    name: str
    force: bool = False


class Pull(msgspec.Struct, kw_only=True):
    """A model to download."""

    name: str
    save_as: str | None = None
    sha256: str | None = None


class Job(msgspec.Struct, kw_only=True):
    """Long work on a model."""

    kind: str
    model: str
    type: str | None = None
    save_as: str | None = None


async def read(call: Call, kind: type[T]) -> T:
    """The body of a request; ApiError names what is wrong with it."""
    try:
        found = msgspec.convert(await call.json(), kind)
    except msgspec.ValidationError as error:
        wrong = bad_value(error)
        wrong.code = "invalid_value"
        raise wrong from None
    for field in msgspec.structs.fields(kind):
        value = getattr(found, field.name)
        most = MOST_OF_A_TEXT if field.name in ("content", "thinking", "system", "text") else None
        if isinstance(value, str) and len(value) > (most or MOST_OF_A_NAME):
            name = field.encode_name
            raise ApiError(
                400,
                f"{name}: expected up to {most or MOST_OF_A_NAME} characters, found {len(value)}",
                param=name,
                code="invalid_value",
            )
    return found


def given(body: msgspec.Struct) -> Record:
    """The fields that were there."""
    found = msgspec.to_builtins(body)
    return {key: value for key, value in found.items() if value is not msgspec.UNSET}
