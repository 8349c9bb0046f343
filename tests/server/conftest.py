"""A server in a thread of this process, and requests to it without a client library."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from llmpy.server import Server, Settings
from tests.threads import finish

if TYPE_CHECKING:
    import openai

    from tests.server.described import Description

STORIES = "weights/stories260K/stories260K.gguf"
SECONDS = 60  # that a test waits for an answer at most


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events, without the end's mark."""
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line) for line in lines if line != b"[DONE]"]


class Stream:
    """An answer that may be read line by line, and left at any time."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._answer: http.client.HTTPResponse | None = None

    @property
    def answer(self) -> http.client.HTTPResponse:
        self._answer = self._answer or self._connection.getresponse()
        return self._answer

    def line(self) -> bytes:
        return self.answer.readline()

    def close(self) -> None:
        """Hang up."""
        if self._answer is not None:
            self._answer.close()
        self._connection.close()


class Running:
    """A server that runs."""

    def __init__(self, server: Server, log: io.StringIO) -> None:
        self.server = server
        self.url = server.url
        self.address = server.url.removeprefix("http://")
        self._log = log
        # Closed at the end, if a test leaves one open.
        self._connections: list[http.client.HTTPConnection] = []
        self._streams: list[Stream] = []

    def logged(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The last line of the access log that is wanted; it comes after the answer."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            lines = map(json.loads, reversed(self._log.getvalue().splitlines()))
            if (found := next(filter(wanted, lines), None)) is not None:
                return found
            time.sleep(0.01)
        raise AssertionError("no such line in the access log")

    @property
    def decoder(self) -> Any:
        """What generates the texts of the first model."""
        state = self.server.app.state
        assert state is not None
        offer = state.models.find(None)
        assert offer.loaded is not None
        return offer.loaded.decoder

    def wait_until(self, true: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Return once something is so; AssertionError where it takes longer."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.005)

    def open_stream(self, path: str, body: Any) -> Stream:
        """A request that is sent, whose answer streams."""
        connection = self.connection()
        connection.request("POST", path, json.dumps({"stream": True, **body}))
        self._streams.append(Stream(connection))
        return self._streams[-1]

    def hang_up(self) -> None:
        """Close the streams that tests left open."""
        for opened in (*self._streams, *self._connections):
            opened.close()

    def connection(self) -> http.client.HTTPConnection:
        self._connections.append(http.client.HTTPConnection(self.address, timeout=SECONDS))
        return self._connections[-1]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own; `body` is JSON unless it is bytes."""
        connection = self.connection()
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def send(self, data: bytes, seconds: float = SECONDS) -> bytes:
        """What comes back for these bytes until the server closes the connection."""
        host, port = self.address.rsplit(":", 1)
        found = b""
        with socket.create_connection((host, int(port)), timeout=seconds) as connection:
            connection.sendall(data)
            with suppress(ConnectionResetError):
                while data := connection.recv(65536):
                    found += data
        return found


@contextmanager
def serving(*models: str, **settings: Any) -> Iterator[Running]:
    """A server of these models until this is left."""
    log, ready, failed = io.StringIO(), threading.Event(), list[BaseException]()
    with Server(
        models, Settings(port=0, **settings), log=log, ready=lambda _: ready.set()
    ) as server:

        def run() -> None:
            try:
                server.run()
            except BaseException as error:
                failed.append(error)
                ready.set()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert ready.wait(SECONDS)
            if failed:
                raise failed[0]
            running = Running(server, log)
            yield running
            running.hang_up()
        finally:
            server.stop()
            finish(thread)


@pytest.fixture(scope="session")
def stories(shared_data: Callable[[str], Path]) -> Path:
    return shared_data(STORIES)


@pytest.fixture(scope="session")
def server(stories: Path) -> Iterator[Running]:
    """A server of a tiny model, which continues texts in the form of a chat."""
    with serving(f"stories={stories}", template="chatml", n_ctx=512) as running:
        yield running


@pytest.fixture(scope="session")
def chat_server(smollm2: Path) -> Iterator[Running]:
    """A server of a real model that was trained to chat."""
    with serving(f"smollm2={smollm2}") as running:
        yield running


@pytest.fixture(scope="session")
def description(shared_data: Callable[[str], Path]) -> Description:
    """What OpenAI says of its API."""
    from tests.server.described import Description

    return Description(shared_data("openai/openapi.json"))


@pytest.fixture
def client(chat_server: Running) -> Iterator[openai.OpenAI]:
    """OpenAI's own client of that server."""
    import openai

    with openai.OpenAI(base_url=f"{chat_server.url}/v1", api_key="none", max_retries=0) as found:
        yield found
