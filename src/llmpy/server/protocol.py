"""HTTP connections that are closed where a client is too slow, and that take chunks directly."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["DIRECT", "DirectWriter", "timed_protocol"]

DIRECT = "llmpy.direct"  # the extension of ASGI under which a request finds its DirectWriter


class DirectWriter:
    """Writes chunks of a streamed answer to the connection, past ASGI.

    A message of ASGI costs a coroutine and a step of a protocol's state machine, more than all else
    that is done with a token. Chunks change no state between an answer's head and its end.
    """

    def __init__(self, connection: Any) -> None:
        self._cycle = connection.cycle
        self._flow = connection.flow
        self._transport = connection.transport

    @property
    def ready(self) -> bool:
        """Whether the head of the answer was sent, not its end, and the client takes what is."""
        cycle = self._cycle
        return (
            cycle.response_started
            and not cycle.response_complete
            and not cycle.disconnected
            and not self._flow.write_paused
        )

    def write(self, data: bytes) -> None:
        """Write a chunk of at least one byte; the answer must be chunked."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))


def _with_direct(app: Any, connection: Any) -> Any:
    """The application for requests of a connection, which find their DirectWriter."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["http_version"] == "1.1":  # 1.0 knows no chunks
            scope.setdefault("extensions", {})[DIRECT] = DirectWriter(connection)
        await app(scope, receive, send)

    return wrapped


def timed_protocol(receive: float, send: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, with limits in seconds.

    `receive`: from a connection to the end of its request's head, and for each further request from
    its first byte on. `send`: how long a client may take nothing of what waits for it.
    """
    base: Any = AutoHTTPProtocol

    class TimedProtocol(base):  # type: ignore[misc]
        """A connection with a clock."""

        app: Any

        _clock: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.app = _with_direct(self.app, self)
            self._wind()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_busy():
                self._stop()
            elif self._clock is None:
                self._wind()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            self._flows()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stuck = asyncio.get_running_loop().call_later(send, self.transport.abort)

        def resume_writing(self) -> None:
            self._flows()
            super().resume_writing()

        def _flows(self) -> None:
            if self._stuck is not None:
                self._stuck.cancel()
                self._stuck = None

        def _is_busy(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _wind(self) -> None:
            self._clock = asyncio.get_running_loop().call_later(receive, self._late)

        def _stop(self) -> None:
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None

        def _late(self) -> None:
            self._clock = None
            if not self._is_busy():
                self.transport.close()

    return TimedProtocol
