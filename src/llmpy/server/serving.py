"""serve(): a server on a socket, until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TextIO, Unpack

import uvicorn

from llmpy.server.app import App
from llmpy.server.extension import Extension
from llmpy.server.models import offers_of
from llmpy.server.protocol import timed_protocol
from llmpy.server.settings import ServeOptions, Settings

__all__ = ["Server", "serve"]

GRACE = 30  # seconds that running answers have to end


def serve(
    *models: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8080,
    keys: Iterable[str] = (),
    log: TextIO | None = None,
    ready: Callable[[str], object] | None = None,
    **settings: Unpack[ServeOptions],
) -> None:
    """Serve models over HTTP until the process is interrupted: `llmpy.serve("MODEL.gguf")`.

    `models`: paths or names, or NAME=MODEL; the first is loaded now and answers requests that name
    none, the others are loaded when they are requested. Without any: all of `llmpy.models()`.
    `keys`: API keys, one of which clients must send. `log`: a file that gets a line of JSON for
    each request. `ready(url)` is called once the server accepts requests. The other settings are
    those of `llmpy.server.Settings`. Raises ValueError for invalid settings, OSError if the address
    cannot be bound, and what `load` raises.
    """
    checked = Settings(host=host, port=port, keys=tuple(keys), **settings)
    with Server(models, checked, log=log, ready=ready) as server:
        if threading.current_thread() is threading.main_thread():
            # uvicorn sends the signal that ended it once more, to those who handled it before.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: None)
        server.run()


class Server:
    """A server of models on its own socket: `run()` serves until `stop()`.

    `url` is the address it listens on; port 0 in the settings takes a free port. With an
    `extension` the server may begin without any model, and loads none before it is asked for.
    """

    def __init__(
        self,
        models: Sequence[str | os.PathLike[str]],
        settings: Settings,
        *,
        log: TextIO | None = None,
        ready: Callable[[str], object] | None = None,
        extension: Extension | None = None,
    ) -> None:
        offers = offers_of(models, needs_one=extension is None)
        self.app = App(offers, settings, log=log, extension=extension)
        self._socket = _listening(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self.app,
            http=timed_protocol(settings.receive_seconds, settings.send_seconds),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        self._server = _Uvicorn(config, lambda: ready and ready(self.url), self.app.end_streams)

    def run(self) -> None:
        """Serve until `stop`, or a signal; raises what loading the first model raises."""
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except SystemExit:
            raise self.app.failed or RuntimeError("the server did not start") from None

    def stop(self) -> None:
        """End `run` once running answers have ended; any thread may call it."""
        self._server.should_exit = True

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which says when it takes requests and when it takes no more."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], object],
        ending: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load what is loaded first, then take requests."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams that have no end, then wait for the others."""
        await self._ending()
        await super().shutdown(sockets)


def _listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    found = socket.socket(family)
    try:
        if sys.platform != "win32":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((settings.host.strip("[]"), settings.port))
    except OSError as error:
        found.close()
        raise OSError(
            error.errno, f"{settings.host} port {settings.port}: {error.strerror}"
        ) from None
    return found
