"""Long work in threads of its own, for which nobody waits when the program ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["aside"]

T = TypeVar("T")


def aside(function: Callable[[], T]) -> Awaitable[T]:
    """Call a function in a new thread, and return what to await for its result.

    The thread is a daemon: work that may be killed at any time, such as a download, which goes on
    from what is on the disk.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(set_: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            set_(value)

    def run() -> None:
        try:
            found = function()
        except BaseException as error:
            outcome: tuple[Any, Any] = future.set_exception, error
        else:
            outcome = future.set_result, found
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=run, name="llmpy work", daemon=True).start()
    return future
