"""The application: which path is answered by what, and what happens around each answer."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from llmpy.server.call import Call, Gone, Receive, Scope, Send
from llmpy.server.dispatch import Handler, by_method, nothing_at
from llmpy.server.errors import (
    ApiError,
    anthropic_shape,
    as_api_error,
    ollama_shape,
    openai_shape,
)
from llmpy.server.extension import Extension
from llmpy.server.guard import Guard
from llmpy.server.metrics import Metrics
from llmpy.server.models import Models, Offer
from llmpy.server.routes import ROUTES
from llmpy.server.settings import Settings
from llmpy.server.state import State

__all__ = ["App"]

TICK = 0.25  # seconds between two looks at what waits


class App:
    """The ASGI application of a server that offers these models.

    `log`: where the access log goes, a line of JSON for each request; None for nowhere.
    `extension`: what answers further paths; with one, no model is loaded before it is asked for.
    """

    def __init__(
        self,
        offers: Mapping[str, Offer],
        settings: Settings,
        *,
        log: TextIO | None = None,
        extension: Extension | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._offers = offers
        self._extension = extension
        self._guard = Guard(settings, self._is_open)
        self._log = log
        self.state: State | None = None
        self.failed: Exception | None = None  # why it did not start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or follow the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(Call(scope, receive, send, self.settings))

    # Life

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.state = State(Models(self._offers, self.settings), self.settings, self.metrics)
        state = self.state
        try:
            if self._extension is None:
                await state.models.load_first()
            else:
                await self._extension.begin(state)
        except Exception as error:
            self.failed = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        tasks = [asyncio.create_task(_repeat(work)) for work in (state.wake, state.models.expire)]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self.end_streams()
        await self.state.models.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def end_streams(self) -> None:
        """End what would go on without an end, so that the server can stop."""
        if self._extension is not None:
            await self._extension.end()

    # A request

    def _is_open(self, path: str) -> bool:
        return self._extension is not None and self._extension.is_open(path)

    def _found(self, call: Call) -> tuple[Handler, list[str]]:
        """Return the handler of a path, and what is left of the path; ApiError 404 or 405."""
        found = self._extension.find(call) if self._extension is not None else None
        return found or _found(call)

    async def _answer(self, call: Call) -> None:
        error: ApiError | None = None
        try:
            self._guard.check(call)
            if call.method == "OPTIONS":
                await self._guard.preflight(call)
            else:
                handler, rest = self._found(call)
                assert self.state is not None
                await handler(call, self.state, *rest)
        except Gone:
            call.notes["gone"] = True
        except Exception as found:
            error = as_api_error(found)
            if error is None:
                call.notes["failed"] = traceback.format_exc()
                error = ApiError(500, "an error that nobody foresaw: see the log of the server")
            call.notes["error"] = error.message[:500]
            with suppress(Gone):
                await self._refuse(call, error)
        finally:
            self._note(call)

    async def _refuse(self, call: Call, error: ApiError) -> None:
        """Say what is wrong, if nothing was said yet."""
        if not call.status:
            shape = _shape(call)
            await call.answer(shape(error), error.status, headers=error.headers)

    def _note(self, call: Call) -> None:
        seconds = time.monotonic() - call.begun
        self.metrics.count(call.path if call.path in ROUTES else "other", call.status, seconds)
        if self._log is None:
            return
        line = {
            "time": round(time.time(), 3),
            "client": call.client,
            "method": call.method,
            "path": call.path[:200],
            "status": call.status,
            "ms": round(seconds * 1000, 1),
            "bytes": call.n_sent,
            **call.notes,
        }
        try:
            print(json.dumps(line), file=self._log, flush=True)
        except (OSError, ValueError):  # a log that is full or closed stops nobody
            self._log = None


async def _repeat(work: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again."""
    while True:
        await asyncio.sleep(TICK)
        await work()


def _found(call: Call) -> tuple[Handler, list[str]]:
    """Return the handler of a path, and what is left of the path; ApiError 404 or 405."""
    path, rest = call.path, list[str]()
    if path not in ROUTES:
        for prefix in ("/v1/models/",):
            if path.startswith(prefix) and len(path) > len(prefix):
                path, rest = prefix, [path[len(prefix) :]]
    methods = ROUTES.get(path)
    if methods is None:
        raise nothing_at(call)
    return by_method(call, path, methods), rest


def _shape(call: Call) -> Callable[[ApiError], dict[str, Any]]:
    """Return the shape of errors in the API of the request."""
    if call.path.startswith("/v1/messages") or "anthropic-version" in call.headers:
        return anthropic_shape
    if call.path.startswith("/api/"):
        return ollama_shape
    return openai_shape
