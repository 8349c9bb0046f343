"""One HTTP request and its answer, over ASGI: bodies within limits, answers whole or streamed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from llmpy.server.errors import ApiError
from llmpy.server.protocol import DIRECT, DirectWriter
from llmpy.server.settings import Settings

__all__ = ["EVENTS", "LINES", "Call", "Gone", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
LINES = "application/x-ndjson"


class Gone(Exception):
    """The client has hung up, or takes nothing of what is sent."""


class Call:
    """A request that is being answered.

    `notes` go into the access log. `more_headers` are sent with the answer, whatever it is.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        client = scope.get("client")
        self.client = client[0] if client else ""
        self.settings = settings
        self.notes: dict[str, Any] = {}
        self.more_headers: dict[str, str] = {}
        self.status = 0
        self.n_sent = 0
        self.gone = False
        self.last_sent = self.begun = time.monotonic()
        self._query: bytes = scope.get("query_string", b"")
        self._receive = receive
        self._send = send
        self._direct: DirectWriter | None = scope.get("extensions", {}).get(DIRECT)

    # The request

    @property
    def query(self) -> dict[str, str]:
        """Return the parameters after "?" in the path: the last value of each name."""
        return dict(parse_qsl(self._query.decode("latin-1"), keep_blank_values=True))

    async def body(self, most: int | None = None) -> bytes:
        """All of it; ApiError where it is too large (413) or takes too long (408).

        `most`: bytes that it may have, where that is not as the settings say.
        """
        most = self.settings.max_body if most is None else most
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise _too_large(most)
        chunks, n = [], 0
        try:
            async with asyncio.timeout(self.settings.receive_seconds):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    chunk = message.get("body", b"")
                    n += len(chunk)
                    if n > most:
                        raise _too_large(most)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise ApiError(
                408,
                f"the request did not arrive within {self.settings.receive_seconds:g} seconds",
                headers={"Connection": "close"},
            ) from None

    async def json(self, most: int | None = None) -> dict[str, Any]:
        """The body as a JSON object, of values that are not nested too deeply."""
        body = await self.body(most)
        try:
            value = msgspec.json.decode(body)
        except msgspec.MsgspecError as error:
            raise ApiError(400, f"the body is no JSON: {error}", code="invalid_json") from None
        except (RecursionError, UnicodeDecodeError) as error:
            raise ApiError(400, f"the body is no JSON that is read here: {error}") from None
        if not isinstance(value, dict):
            raise ApiError(400, f"the body: expected an object, found {type(value).__name__}")
        if not _is_flat(value, self.settings.max_depth):
            most = self.settings.max_depth
            raise ApiError(400, f"the body: lists and objects are nested more than {most} deep")
        return value

    @asynccontextmanager
    async def watched(self, on_gone: Callable[[], object]) -> AsyncIterator[None]:
        """Call a function once when the client hangs up, as long as this is open."""

        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.gone = True
            on_gone()

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()

    # The answer

    async def answer(
        self,
        content: Any,
        status: int = 200,
        *,
        kind: str = JSON,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send a whole answer: bytes as they are, anything else as JSON."""
        data = content if isinstance(content, bytes) else msgspec.json.encode(content)
        named = {"content-type": kind, "content-length": str(len(data)), **(headers or {})}
        if status in (204, 304):
            named.pop("content-length")
            named.pop("content-type")
        await self._start(status, named)
        await self._write(b"" if self.method == "HEAD" else data, more=False)

    async def begin(self, kind: str = EVENTS) -> None:
        """Send the head of an answer that is streamed."""
        headers = {"content-type": kind, "cache-control": "no-cache", "x-accel-buffering": "no"}
        await self._start(200, headers)

    async def write(self, data: bytes) -> None:
        """Send a part of a streamed answer; Gone where the client takes nothing any more."""
        await self._write(data, more=True)

    @property
    def takes(self) -> bool:
        """Whether `write_now` may be called: the client takes what is sent, as far as is known."""
        return self._direct is not None and not self.gone and self._direct.ready

    def write_now(self, data: bytes) -> None:
        """Send a part of a streamed answer without waiting, where `takes` says so."""
        assert self._direct is not None
        self._sent(data)
        self._direct.write(data)

    async def end(self) -> None:
        """End a streamed answer."""
        await self._write(b"", more=False)

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        named = {k.lower(): v for k, v in (headers | self.more_headers).items()}
        raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _write(self, data: bytes, *, more: bool) -> None:
        if self.gone:
            raise Gone
        self._sent(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def _sent(self, data: bytes) -> None:
        self.last_sent = time.monotonic()
        self.n_sent += len(data)


def _too_large(most: int) -> ApiError:
    return ApiError(
        413,
        f"the request is larger than {most} bytes (--max-body)",
        headers={"Connection": "close"},
    )


def _is_flat(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested at most so deep."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            item
            for parent in level
            for item in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(item, dict | list)
        ]
        if not level:
            return True
    return False
