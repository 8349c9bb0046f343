"""Event streams: what pages listen to, one after another or many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from llmpy.server import Call, Gone

__all__ = ["Bus", "Feed", "encoded"]

MOST_BEHIND = 1000  # events that a slow listener may be behind


def encoded(number: int, kind: str, data: Any) -> bytes:
    """An event as a stream has it."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), msgspec.json.encode(data))


class Feed:
    """Something that grows, and those who wait for it to grow."""

    def __init__(self) -> None:
        self._waiters = set[asyncio.Future[None]]()

    def wake(self) -> None:
        """Let all of them look."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def grown(self) -> None:
        """Wait for `wake`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    async def stream(self, call: Call, take: Callable[[], bytes | None]) -> None:
        """Send what `take` returns, again after each `wake`; None ends it, b"" is nothing new."""
        await call.begin()
        async with call.watched(self.wake):
            while not call.gone and (data := take()) is not None:
                if data:
                    await call.write(data)
                else:
                    await self.grown()
        if call.gone:
            raise Gone
        await call.end()


class Bus:
    """Events of the app, sent to every page that listens."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._feed = Feed()
        self._events: list[tuple[str, Any]] = []
        self._first = 0  # the number of the first of these
        self._closed = False
        self.n_listeners = 0
        self.n_log_listeners = 0

    def tell(self, kind: str, data: Any) -> None:
        """Tell all listeners."""
        if not self.n_listeners:
            return
        self._events.append((kind, data))
        if len(self._events) > 2 * MOST_BEHIND:
            self._first += MOST_BEHIND
            del self._events[:MOST_BEHIND]
        self._feed.wake()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._feed.wake()

    async def listen(self, call: Call, *, logs: bool) -> None:
        """Send all that happens from now on."""
        seen = self._first + len(self._events)
        number = 0
        pending = [("hello", {"instance": self._instance})]

        def take() -> bytes | None:
            nonlocal seen, number
            if self._closed:
                return None
            new = self._events[max(0, seen - self._first) :]
            if seen < self._first:
                new = [("reset", {})]
            seen = self._first + len(self._events)
            data = b""
            for kind, what in [*pending, *new]:
                if kind != "log" or logs:
                    number += 1
                    data += encoded(number, kind, what)
            pending.clear()
            return data

        self.n_listeners += 1
        self.n_log_listeners += logs
        try:
            await self._feed.stream(call, take)
        finally:
            self.n_listeners -= 1
            self.n_log_listeners -= logs
            if not self.n_listeners:
                self._first += len(self._events)
                self._events.clear()
