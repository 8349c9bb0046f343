"""Progress of a pull: what happens, how far it is, how fast, and how long it still takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["PullEvent", "Report"]

Kind = Literal["plan", "download", "wait", "retry", "check", "unpack", "done"]
WINDOW = 5.0  # seconds over which the speed is measured
PAUSE = 0.1  # seconds between events of one kind


@dataclass(frozen=True, slots=True)
class PullEvent:
    """A progress event of `pull`.

    `kind`: "plan" (what will be downloaded is known), "download", "wait" (another process downloads
    the same file), "retry" (the connection failed; `text` says how), "check" (checksums), "unpack",
    "done". `bytes_done` of `bytes_total` bytes are downloaded (None: the source does not report the
    total); `speed` in bytes a second and `seconds_left` are None while they are unknown. `license`
    is the model's, as its source states it. `resumable`: whether a download that is interrupted now
    goes on from there; one of pip begins again.
    """

    kind: Kind
    name: str
    text: str
    bytes_done: int
    bytes_total: int | None
    speed: float | None
    seconds_left: float | None
    license: str | None
    resumable: bool = True


class Report:
    """Makes events out of counts of bytes, not too many, and hands them to a callback.

    `base` bytes are of files that came before, of `total` in all files.
    """

    def __init__(self, callback: Callable[[PullEvent], object] | None) -> None:
        self.callback = callback
        self.name = ""
        self.license: str | None = None
        self.total: int | None = None
        self.base = 0
        self.resumable = True
        self._last: tuple[str, float] = ("", 0.0)
        self._seen: deque[tuple[float, int]] = deque()

    def __call__(self, kind: Kind, done: int = 0, text: str = "", *, always: bool = False) -> None:
        """Report `done` bytes of the present file; an exception of the callback ends the pull."""
        now = time.monotonic()
        if kind == "download":
            self._count(now, done)
        if self.callback is None:
            return
        if not always and self._last[0] == kind and now - self._last[1] < PAUSE:
            return
        self._last = (kind, now)
        speed, done = self._speed() if kind == "download" else None, self.base + done
        left = None
        if speed and self.total is not None:
            left = max(0, self.total - done) / speed
        event = PullEvent(
            kind, self.name, text, done, self.total, speed, left, self.license, self.resumable
        )
        self.callback(event)

    def _count(self, now: float, done: int) -> None:
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()  # another file, or one that begins again
        self._seen.append((now, done))
        while self._seen[-1][0] - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    def _speed(self) -> float | None:
        (begin, least), (end, most) = self._seen[0], self._seen[-1]
        return (most - least) / (end - begin) if end - begin > 0.2 and most > least else None
