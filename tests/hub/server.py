"""A local HTTP server of files that behaves as badly as it is told to."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RANGE = re.compile(r"bytes=(\d+)-")


@dataclass
class Asked:
    """A request as it came."""

    path: str
    start: int | None
    headers: dict[str, str]


@dataclass
class Site:
    """Files by path; `behave` answers a request for one, `asked` lists all requests."""

    files: dict[str, bytes] = field(default_factory=dict)
    behave: Callable[[Answer, bytes, int | None], None] | None = None
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    @property
    def starts(self) -> list[int | None]:
        """Where the ranges that were asked for begin; None: no range."""
        return [asked.start for asked in self.asked]


class Answer(BaseHTTPRequestHandler):
    """One request; the behaviours below answer it."""

    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        """Answer it."""
        found = RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(found[1]) if found else None
        self.site.asked.append(Asked(self.path, start, dict(self.headers)))
        path = re.sub(r"^http://[^/]*", "", self.path)  # as a proxy is asked
        data = self.site.files.get(path.partition("?")[0])
        with suppress(OSError):
            if data is None:
                self.say(404, b"")
            else:
                (self.site.behave or honest)(self, data, start)

    def say(self, status: int, body: bytes, size: int | None = None, **headers: str) -> None:
        """Head and body; `size`: what Content-Length says."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.end_headers()
        self.wfile.write(body)
        if size is not None and size != len(body):
            self.drop()

    def drop(self) -> None:
        """End the connection."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def log_message(self, *_: object) -> None:
        """Silence."""


def honest(answer: Answer, data: bytes, start: int | None) -> None:
    """As a server should."""
    if start is None:
        answer.say(200, data)
    elif start >= len(data):
        answer.say(416, b"", Content_Range=f"bytes */{len(data)}")
    else:
        answer.say(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")


def dropping(after: Callable[[], int]) -> Callable[[Answer, bytes, int | None], None]:
    """Honest, but each connection ends after so many bytes."""

    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        begin, n = start or 0, after()
        extent = {} if start is None else {"Content_Range": extent_of(data, begin)}
        body = data[begin : begin + n]
        answer.say(206 if extent else 200, body, len(data) - begin, **extent)

    return behave


def stalling(after: int, seconds: float) -> Callable[[Answer, bytes, int | None], None]:
    """Sends so many bytes of each answer, then nothing for long."""

    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        begin = start or 0
        answer.send_response(200 if start is None else 206)
        answer.send_header("Content-Length", str(len(data) - begin))
        if start is not None:
            answer.send_header("Content-Range", extent_of(data, begin))
        answer.end_headers()
        answer.wfile.write(data[begin : begin + after])
        answer.wfile.flush()
        if begin + after < len(data):
            time.sleep(seconds)
        answer.drop()

    return behave


def throttled(rate: float) -> Callable[[Answer, bytes, int | None], None]:
    """Honest, at so many bytes a second."""

    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        begin, piece = start or 0, 1 << 18
        answer.send_response(200 if start is None else 206)
        answer.send_header("Content-Length", str(len(data) - begin))
        if start is not None:
            answer.send_header("Content-Range", extent_of(data, begin))
        answer.end_headers()
        for at in range(begin, len(data), piece):
            answer.wfile.write(data[at : at + piece])
            time.sleep(piece / rate)

    return behave


def extent_of(data: bytes, begin: int) -> str:
    """What Content-Range says of the rest from `begin` on."""
    return f"bytes {begin}-{len(data) - 1}/{len(data)}"


@contextmanager
def serving() -> Iterator[Site]:
    """A server on a free port of this machine."""
    site = Site()
    kind = type("Bound", (Answer,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    server.block_on_close = False
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
