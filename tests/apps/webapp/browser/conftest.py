"""A browser, the app as a process with a real model, and a server whose answers tests write."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps.webapp.browser.scripted import Scripted

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
SECONDS = int(
    os.environ.get("APPX_S", "60")
)  # that a step may take on a machine that does other work
SLOWER = float(os.environ.get("LLMPY_BROWSER_SLOWDOWN", "1"))  # to find tests that do not wait


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium; skips where there is none.

    Of one module: Playwright keeps an event loop running, in which others cannot run theirs.
    """
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    path = os.environ.get("LLMPY_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium was found (set LLMPY_CHROMIUM to its path)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


class Tab:
    """Makes pages, and collects what goes wrong in them."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.contexts: list[Any] = []
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.expected: list[str] = []  # patterns of problems that a test brings about

    def open(self, url: str, *, ready: bool = True, **options: Any) -> Any:
        """A page at an address, once it has read the state of the server."""
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = self.browser.new_context(**options)
        context.set_default_timeout(SECONDS * 1000)
        self.contexts.append(context)
        page = context.new_page()
        if SLOWER > 1:
            session = context.new_cdp_session(page)
            session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", lambda r: self.hosts.add(re.sub(r"^(\w+:(//[^/]*)?).*", r"\1", r.url)))
        page.goto(url)
        if ready:
            page.wait_for_selector("#app:not([aria-busy])")
        return page

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def unexpected(self) -> list[str]:
        """Problems that no test brought about."""
        return [p for p in self.problems if not any(re.search(e, p) for e in self.expected)]


@pytest.fixture
def tab(chromium: Any) -> Iterator[Tab]:
    """Opens pages; afterwards no script had failed, and no other host was asked."""
    made = Tab(chromium)
    yield made
    for context in made.contexts:
        context.close()
    assert made.unexpected() == []
    ours = ("http://127.0.0.1", "data:", "blob:")
    assert [host for host in made.hosts if not host.startswith(ours)] == []


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server whose answers the test writes."""
    server = Scripted()
    yield server
    server.close()


@pytest.fixture
def chat(scripted: Scripted, tab: Tab) -> Callable[..., Any]:
    """Open a chat of the scripted server in a page."""

    def opened(thread: dict[str, Any] | None = None, **options: Any) -> Any:
        page = tab.open(scripted.url + (f"#/c/{thread['id']}" if thread else ""), **options)
        page.wait_for_selector(".message" if thread and thread["messages"] else "#input")
        return page

    return opened


class App:
    """`llmpy app` as a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before."""
        environment = dict(os.environ)
        environment["LLMPY_MODELS"] = str(self.folder / "models")
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmpy", "app", "--no-browser", "--port", str(self.port),
             "--data", str(self.folder / "data"), *self.arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"(http://127\.0\.0\.1:(\d+))", line):
                self.url, self.port = found[1] + "/", int(found[2])
                break
        else:
            pytest.fail(f"the app did not start: {''.join(said)}")
        self._reader = threading.Thread(target=self.process.stderr.read)
        self._reader.start()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self._wait()

    def close(self) -> None:
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.terminate()
        self._wait()

    def _wait(self) -> None:
        self.process.wait(SECONDS)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def start_app(tmp_path: Path) -> Iterator[Callable[..., App]]:
    """Start the app with an empty folder for chats and for models."""
    started: list[App] = []

    def start(*arguments: str) -> App:
        app = App(tmp_path, *arguments)
        started.append(app)
        return app

    yield start
    for app in started:
        app.close()


@pytest.fixture
def app(start_app: Callable[..., App], smollm2: Path) -> App:
    """The app with SmolLM2."""
    return start_app("-m", f"smollm2={smollm2}")
