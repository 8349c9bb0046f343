"""The last lines of the log, for the page to show."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable

from llmpy.apps.webapp.records import Record

__all__ = ["Lines"]

MOST_LINES = 1000
MOST_OF_A_LINE = 4000  # characters


class Lines(logging.Handler):
    """Keeps what the logger "llmpy" says; `added` is called for each line, in any thread."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[Record] = deque(maxlen=MOST_LINES)
        self.added: Callable[[Record], object] | None = None
        self._n = 0
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.keep(record.created, record.levelname.lower(), self.format(record))

    def keep(self, when: float, level: str, text: str) -> None:
        """Keep a line that did not come by the logger."""
        assert self.lock is not None
        with self.lock:
            self._n += 1
            line = {"n": self._n, "time": when, "level": level, "text": text[:MOST_OF_A_LINE]}
            self.lines.append(line)
        if self.added is not None:
            self.added(line)

    def after(self, n: int) -> Record:
        """The lines after number `n`."""
        found = [line for line in list(self.lines) if line["n"] > n]
        return {"lines": found, "next": self._n}

    def write(self, text: str) -> int:
        """Keep a line of the access log, as if this were a file."""
        text = text.strip()
        if text:
            found = json.loads(text)
            if found["status"] >= 400 or "failed" in found:
                self.keep(time.time(), "warning", _told(found))
        return len(text)

    def flush(self) -> None:
        """Do nothing: lines are kept at once."""


def _told(found: Record) -> str:
    """A line of the access log for people."""
    text = f"{found['method']} {found['path']}: {found['status']} in {found['ms']} ms"
    return ": ".join(filter(None, (text, found.get("error"), found.get("failed"))))
