"""Extensions of the server: further paths, and tasks that begin and end with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from llmpy.server.call import Call
    from llmpy.server.state import State

__all__ = ["Extension"]


class Extension(Protocol):
    """Further paths of a server.

    `begin` is called before the first request, and `end` when the server is told to stop, before it
    waits for the answers that run; `end` may be called again.
    """

    async def begin(self, state: State) -> None:
        """Make ready what the paths need."""

    async def end(self) -> None:
        """End all streams that have no end of their own."""

    def is_open(self, path: str) -> bool:
        """Return whether a path needs no key."""

    def find(self, call: Call) -> tuple[Callable[..., Awaitable[None]], list[str]] | None:
        """Return what answers a call, and the variable parts of its path; None: not one of these.

        It is called as `handler(call, state, *parts)`. ApiError for a path or method that is wrong.
        """
