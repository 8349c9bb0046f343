"""A program in a pseudo-terminal: what is typed into it, and what it shows."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>78MDE]")
WHERE = b"\x1b[6n"  # asks the terminal for the place of the cursor
PASTE = "\x1b[200~{}\x1b[201~"
ENTER, NEW_LINE, CTRL_C, CTRL_D, UP = "\r", "\x1b\r", "\x03", "\x04", "\x1b[A"
SECONDS = 20  # for what shall be seen; it takes a second


class Terminal:
    """`llmpy` with arguments in a terminal of its own."""

    def __init__(self, arguments: list[object], folder: Path, columns: int = 100) -> None:
        import fcntl
        import pty
        import termios

        self._screen, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "XDG_DATA_HOME": str(folder),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmpy", *map(str, arguments)],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=environment,
            cwd=folder,
            preexec_fn=lambda: _own_terminal(termios.TIOCSCTTY, fcntl.ioctl),
        )
        os.close(inside)
        self.raw = b""

    @property
    def text(self) -> str:
        """All that was shown, without escape sequences."""
        return ESCAPES.sub("", self.raw.decode("utf-8", "replace")).replace("\r", "")

    def type(self, keys: str | bytes) -> None:
        """Type something."""
        os.write(self._screen, keys.encode() if isinstance(keys, str) else keys)

    def send(self, line: str) -> int:
        """Type a line and Enter; returns where what is shown next begins."""
        start = len(self.text)
        self.type(line + ENTER)
        return start

    def wait(self, wanted: str, start: int = 0) -> str:
        """Wait until something is shown after `start`; return all that is shown after it."""
        end = time.monotonic() + SECONDS
        while wanted not in self.text[start:]:
            left = end - time.monotonic()
            assert left > 0, f"{wanted!r} was not shown: {self.text[start:][-2000:]!r}"
            self._read(left)
        return self.text[start:]

    def answered(self, text: str, start: int) -> None:
        """Wait for a text in an answer after `start`, and for the line that comes after it."""
        at = start + self.wait(text, start).index(text)
        at += self.wait("\u203a ", at).index("\u203a ")
        self.wait(" tokens", at)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._screen], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # Linux says so when the program has ended
            data = b""
        self.raw += data
        for _ in range(data.count(WHERE)):
            os.write(self._screen, b"\x1b[1;1R")
        return bool(data)

    def end(self) -> int:
        """Wait until the program has ended; its exit code."""
        end = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.05)
        while self._read(0.05):
            pass
        code = self.process.poll()
        assert code is not None, f"the program did not end: {self.text[-500:]!r}"
        return code

    def close(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._screen)


def _own_terminal(request: int, ioctl: object) -> None:
    os.setsid()
    ioctl(0, request, 0)  # type: ignore[operator]
