"""A screen of one's own: Xvfb with a window manager, editors and a terminal, keys by xdotool."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llmpy
from tests.cli.conftest import run

__all__ = ["run"]  # the fixture of commands

NEEDED = "Xvfb", "openbox", "xdotool", "xclip", "mousepad", "featherpad", "xterm", "setxkbmap"
BEGINNING = "One day, a girl named"
ENDLESS = (
    'sampler = "ignore-eos/top-k:k=40/temperature:0.9"\nseed = 1\nnewline = "space"',
    "delay = 0.01",
)


def until(true: Callable[[], object], seconds: float = 15) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.03)


class Process:
    """A program on the screen; its lines on stderr are kept."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.arguments, self.log = arguments, log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )

    def lines(self) -> list[str]:
        """What it said."""
        return self.log.read_text(encoding="utf-8").splitlines()

    def is_typing(self) -> bool:
        """Whether an answer of `llmpy anywhere` is being typed."""
        return ": read " in self.lines()[-1]

    def is_done(self) -> bool:
        """Whether an answer of `llmpy anywhere` has been typed to its end."""
        return ": typed " in self.lines()[-1]

    def end(self, by: int = signal.SIGTERM) -> int:
        """End it and what it started; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return code


class Editor:
    """A program with a text, that of `file`."""

    def __init__(self, screen: Screen, kind: str, file: Path) -> None:
        self.screen, self.kind, self.file = screen, kind, file
        file.touch()
        arguments = {
            "mousepad": ["mousepad", "--disable-server", str(file)],
            "featherpad": ["featherpad", "--standalone", str(file)],
            "xterm": ["xterm", "-u8", "-e", f"cat > {file}"],
        }[kind]
        self.process = screen.start(arguments)
        self.window = ""
        until(self._is_focused, 30)

    def _is_focused(self) -> bool:
        search = ["--pid", str(self.process.process.pid)]
        if self.kind == "xterm":
            search = ["--class", "xterm"]
        windows = self.screen.xdotool("search", "--onlyvisible", *search, fails=True).split()
        self.window = self.screen.xdotool("getactivewindow", fails=True).strip()
        if self.window in windows:
            return True
        if windows:  # asked again each time: a window manager that is busy drops a request
            self.screen.xdotool("windowactivate", windows[-1], fails=True)
        return False

    def focus(self) -> None:
        """Give it the focus."""
        until(self._is_focused, 30)
        time.sleep(0.1)

    def type(self, text: str) -> None:
        """Type a text."""
        self.screen.xdotool("type", "--delay", "2", text)

    @property
    def text(self) -> str:
        """The text now; of a terminal, the lines that are complete."""
        if self.kind != "xterm":
            self.screen.xdotool("key", "ctrl+s")
            time.sleep(0.1)
        return self.file.read_text(encoding="utf-8")

    def clear(self) -> None:
        """Give it the focus, and remove the text; a terminal keeps it."""
        self.focus()
        if self.kind == "xterm":
            return
        self.screen.xdotool("key", "ctrl+a", "BackSpace")
        until(lambda: self.text.strip() == "")


class Screen:
    """A display; programs on it find nothing of the user who runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        reading, writing = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1000x700x24", "-nolisten", "tcp"],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with open(reading, encoding="ascii") as number:
            self.name = f":{number.readline().strip()}"
        kept = ("PATH", "PYTHONPATH", "LLMPY_LIBRARY", "LD_LIBRARY_PATH")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ}
        self.environment |= {
            "DISPLAY": self.name,
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "NO_AT_BRIDGE": "1",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "PYTHONIOENCODING": "utf-8",
        }
        self._programs: list[Process] = []
        self.start(["openbox"])
        until(lambda: self.xdotool("get_num_desktops", fails=True).strip() != "", 30)

    def start(self, arguments: list[str]) -> Process:
        """Start a program."""
        log = self.folder / f"{Path(arguments[0]).name}-{len(self._programs)}.log"
        self._programs.append(Process(arguments, self.environment, log))
        return self._programs[-1]

    def run(self, *arguments: str, given: bytes | None = None, fails: bool = False) -> bytes:
        """Run a command on the screen, return what it prints."""
        done = subprocess.run(
            arguments,
            env=self.environment,
            input=given,
            stdout=subprocess.PIPE if given is None else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=not fails,
        )
        return done.stdout or b""

    def xdotool(self, *arguments: str, fails: bool = False) -> str:
        """Press keys, find windows."""
        return self.run("xdotool", *arguments, fails=fails).decode()

    def clipboard(self, target: str = "UTF8_STRING", of: str = "clipboard") -> bytes:
        """What is on the clipboard."""
        return self.run("xclip", "-o", "-selection", of, "-t", target, fails=True)

    def put(self, data: bytes, target: str = "UTF8_STRING") -> None:
        """Put data on the clipboard."""
        self.run("xclip", "-selection", "clipboard", "-t", target, given=data)

    @contextlib.contextmanager
    def anywhere(self, config: str, *options: str) -> Iterator[Process]:
        """The program, once it is ready."""
        path = self.folder / "config.toml"
        path.write_text(config, encoding="utf-8")
        python = [sys.executable, "-m", "llmpy", "anywhere", "--config", str(path), *options]
        process = self.start(python)
        try:
            if not options:
                until(lambda: any("ready" in line for line in process.lines()), 60)
            yield process
        finally:
            process.end(signal.SIGINT)
            self.xdotool("keyup", "ctrl", "keyup", "alt", "keyup", "shift", fails=True)

    def close(self) -> None:
        """End the display, and all programs with it."""
        self._server.terminate()
        self._server.wait()
        for program in self._programs:
            program.end(signal.SIGCONT)  # programs end with their display


@pytest.fixture(scope="package")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    """A screen for all tests."""
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"programs not found: {', '.join(missing)} (see docs/apps/anywhere.md)")
    pytest.importorskip("Xlib")
    opened = Screen(tmp_path_factory.mktemp("home"))
    yield opened
    opened.close()


@pytest.fixture(scope="package")
def editors(screen: Screen) -> dict[str, Editor]:
    """Two editors and a terminal."""
    kinds = "mousepad", "featherpad", "xterm"
    return {kind: Editor(screen, kind, screen.folder / f"{kind}.txt") for kind in kinds}


@pytest.fixture(params=["mousepad", "featherpad"])
def each_editor(request: pytest.FixtureRequest, editors: dict[str, Editor]) -> Editor:
    """Each of the editors, empty, with the focus."""
    found = editors[request.param]
    found.clear()
    return found


@pytest.fixture(params=["mousepad", pytest.param("featherpad", marks=pytest.mark.full)])
def editor(request: pytest.FixtureRequest, editors: dict[str, Editor]) -> Editor:
    """An editor, empty, with the focus; each of them where there is time."""
    found = editors[request.param]
    found.clear()
    return found


@pytest.fixture(scope="session")
def stories(shared_data: Callable[[str], Path]) -> Path:
    """A tiny model."""
    return shared_data("weights/stories260K/stories260K.gguf")


@pytest.fixture
def config(stories: Path) -> Callable[..., str]:
    """Makes a configuration with one command."""

    def make(command: str = "max_tokens = 20\ntemperature = 0.0", first: str = "") -> str:
        return f'model = "{stories}"\nn_ctx = 512\n{first}\n[[commands]]\nname = "go"\n{command}\n'

    return make


@pytest.fixture(scope="session")
def expected(stories: Path) -> str:
    """How the model goes on after `BEGINNING`."""
    with llmpy.load(stories, n_ctx=512) as model:
        return model.generate(BEGINNING, max_tokens=20, temperature=0).text
