"""Running the command line, within this process and as a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmpy import ffi
from llmpy.cli import main

STORIES = "weights/stories260K/stories260K.gguf"
BACKEND = "cpu" if ffi.available() else "reference"


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def stories(shared_data: Callable[[str], Path]) -> Path:
    """A small trained model."""
    return shared_data(STORIES)


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Runs `llmpy` with arguments, and bytes on stdin, in this process."""

    def call(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exit_:
            main([str(a) for a in arguments])
        assert isinstance(exit_.value.code, int)
        return Result(exit_.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def infer(run: Callable[..., Result], stories: Path) -> Callable[..., Result]:
    """Runs `llmpy infer` on the small model, without chance."""

    def call(*arguments: object, stdin: bytes = b"") -> Result:
        fixed = ("infer", "-m", stories, "--backend", BACKEND, "--temperature", 0)
        return run(*fixed, *arguments, stdin=stdin)

    return call


@pytest.fixture
def start(stories: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts `llmpy infer` as a process that waits after each piece.

    It is handed over after the eighth piece, of which a star on stderr tells.
    """
    slowly = (
        "import os, time, llmpy.cli.infer as infer; from llmpy.cli import main\n"
        "show, shown = infer.Printer.show, []\n"
        "def slow(self, piece):\n"
        "    show(self, piece)\n"
        "    shown.append(piece)\n"
        "    if len(shown) == 8: os.write(2, b'*')\n"
        "    time.sleep(0.05)\n"
        "infer.Printer.show = slow; main()"
    )

    def call(*arguments: object) -> subprocess.Popen[bytes]:
        fixed = ["infer", "-m", str(stories), "--backend", BACKEND, "--temperature", "0"]
        process = subprocess.Popen(
            [sys.executable, "-c", slowly, *fixed, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        assert process.stderr.read(1) == b"*"
        return process

    return call


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts `llmpy` in a pseudo-terminal."""
    if os.name != "posix":
        pytest.skip("pseudo-terminals of POSIX")
    from tests.cli.terminals import Terminal

    opened: list[Terminal] = []

    def call(*arguments: object, columns: int = 100) -> Terminal:
        opened.append(Terminal(list(arguments), tmp_path, columns))
        return opened[-1]

    yield call
    for one in opened:
        one.close()
