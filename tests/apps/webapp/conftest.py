"""The app on a tiny model, in a thread of this process, with an empty folder for all it keeps."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from llmpy.apps.webapp import WebApp
from llmpy.server import Server, Settings
from llmpy.server.decoder import Decoder
from tests.server.conftest import SECONDS, STORIES, Answer, Running
from tests.threads import finish

CHATML = "chatml"
N_CTX = 1024
QUESTION = "Once upon a time"


class Events:
    """A stream of events that is read one by one."""

    def __init__(self, running: Running, path: str, **headers: str) -> None:
        self._connection = running.connection()
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()

    def __iter__(self) -> Iterator[tuple[int, str, Any]]:
        number, kind = 0, ""
        while line := self.answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event":
                kind = value
            elif name == "data":
                yield number, kind, json.loads(value)

    def until(self, wanted: str) -> list[tuple[int, str, Any]]:
        """The events up to the first one of a kind."""
        found = []
        for event in self:
            found.append(event)
            if event[1] == wanted:
                return found
        raise AssertionError(f"no event {wanted}: {found}")

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


class Page(Running):
    """A running app, and what a page does with it."""

    app: WebApp

    def ok(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The answer to a request that must succeed."""
        answer = self.ask(method, path, body)
        assert answer.status == status, answer.body
        return answer.json if answer.body else None

    def refused(self, method: str, path: str, body: Any = None, status: int = 400) -> Any:
        """The error of a request that must fail."""
        answer = self.ask(method, path, body)
        assert answer.status == status, (answer.status, answer.body)
        return answer.json["error"]

    def new_thread(self, **fields: Any) -> str:
        return str(self.ok("POST", "/app/threads", fields, 201)["id"])

    def begin(self, thread: str, **request: Any) -> Any:
        """Begin an answer."""
        return self.ok("POST", f"/app/threads/{thread}/runs", request, 201)

    def answered(self, thread: str, **request: Any) -> Any:
        """The message of an answer, once it is complete."""
        return self.end_of(self.begin(thread, **request)["run"])

    def end_of(self, run: str) -> Any:
        events = Events(self, f"/app/runs/{run}/events")
        found = events.until("done")[-1][2]
        events.close()
        return found

    def listen(self, path: str, **headers: str) -> Events:
        return Events(self, path, **headers)

    def asked(self, thread: str, content: str = QUESTION, n: int = 8, **more: Any) -> Any:
        """A short answer to a question."""
        settings = {"max_tokens": n, "temperature": 0, **more.pop("settings", {})}
        return self.answered(thread, content=content, settings=settings, **more)

    def messages(self, thread: str) -> list[Any]:
        return list(self.ok("GET", f"/app/threads/{thread}")["messages"])


@contextmanager
def app_running(folder: Path, *models: str, tools: Any = (), **settings: Any) -> Iterator[Page]:
    """The app until this is left."""
    app = WebApp(folder, tools=tools)
    ready, failed = threading.Event(), list[BaseException]()
    checked = Settings(port=0, **{"template": CHATML, "n_ctx": N_CTX, **settings})
    server = Server(
        models, checked, log=cast(TextIO, app.lines), ready=lambda _: ready.set(), extension=app
    )

    def run() -> None:
        try:
            server.run()
        except BaseException as error:
            failed.append(error)
            ready.set()

    with server:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert ready.wait(SECONDS)
            if failed:
                raise failed[0]
            page = Page(server, cast(Any, app.lines))
            page.app = app
            yield page
            page.hang_up()
        finally:
            server.stop()
            finish(thread)


def wait_for(true: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What a function returns, once it is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return found


@pytest.fixture(autouse=True, scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user without models, of any program."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMPY_MODELS", str(home / "models"))
        patch.setenv("OLLAMA_MODELS", str(home / "ollama"))
        patch.setattr("llmpy.hub.neighbours._home", lambda: home)
        patch.delenv("LLMPY_ALLOW_LICENSES", raising=False)
        yield home


@pytest.fixture(scope="session")
def stories(shared_data: Callable[[str], Path]) -> Path:
    return shared_data(STORIES)


@pytest.fixture(scope="session")
def page(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The app on a model that continues texts, for tests that do not mind each other's chats."""
    with app_running(tmp_path_factory.mktemp("app"), f"stories={stories}") as running:
        yield running


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token takes 10 ms at least: a tiny model ends before anybody can stop it."""
    quick = Decoder._step

    def step(decoder: Decoder, delivery: Any) -> None:
        time.sleep(0.01)
        quick(decoder, delivery)

    monkeypatch.setattr(Decoder, "_step", step)


@pytest.fixture
def thread(page: Page) -> str:
    """A new thread."""
    return page.new_thread()


__all__ = ["Answer", "Events", "Page", "app_running", "wait_for"]
