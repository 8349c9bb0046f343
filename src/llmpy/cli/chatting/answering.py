"""One answer from its first to its last piece, shown as it comes, which Ctrl-C may stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import llmpy

__all__ = [
    "Display",
    "InterruptedAnswer",
    "Start",
    "interruptible",
    "on_interrupt",
    "shown",
    "silent_keyboard",
]

Progress = Callable[[int, int], Any]
Start = Callable[[Progress], "Generator[llmpy.Piece]"]


class InterruptedAnswer(Exception):
    """Ctrl-C came before the answer began."""


class Display(Protocol):
    """The display of one answer, between `with` and its end."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *exception: object) -> None: ...

    def progress(self, n_read: int, total: int) -> None:
        """Show how much of the prompt is read."""

    def show(self, piece: llmpy.Piece) -> None:
        """Show one piece."""


def shown(start: Start, display: Display, stop: threading.Event) -> str:
    """Show an answer; return its finish reason, or "interrupted" where `stop` was set.

    Raises InterruptedAnswer where that was before the answer began: then the chat has not changed.
    """

    def progress(n_read: int, total: int) -> None:
        if stop.is_set():
            raise InterruptedAnswer
        display.progress(n_read, total)

    with display, closing(start(progress)) as events:
        for piece in events:
            display.show(piece)
            if piece.finish_reason is not None:
                return piece.finish_reason
            if stop.is_set():
                break
    return "interrupted"


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets, instead of ending what runs."""
    stop = threading.Event()
    with on_interrupt(lambda *_: stop.set()):
        yield stop


@contextmanager
def on_interrupt(handler: Callable[..., Any]) -> Iterator[None]:
    """Let Ctrl-C call `handler`."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def silent_keyboard() -> Iterator[None]:
    """Let what is typed wait unseen until it is read; Ctrl-C alone has its effect at once."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios

    keyboard = sys.stdin.fileno()
    settings = termios.tcgetattr(keyboard)
    silent = list(settings)
    silent[0] &= ~termios.ICRNL
    silent[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    termios.tcsetattr(keyboard, termios.TCSANOW, silent)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSANOW, settings)
