"""HTTP connections that are closed where a client is too slow, in sending or in taking."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["timed_protocol"]


def timed_protocol(receive: float, send: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, with limits in seconds.

    `receive`: from a connection to the end of its request's head, and for each further request from
    its first byte on. `send`: how long a client may take nothing of what waits for it.
    """
    base: Any = AutoHTTPProtocol

    class TimedProtocol(base):  # type: ignore[misc]
        """A connection with a clock."""

        _clock: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
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
