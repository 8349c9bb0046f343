"""An answer on a terminal: markdown as it comes, thinking faint and folded, a line of progress."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.segment import Segment, Segments
from rich.spinner import Spinner
from rich.text import Text

from llmpy.cli.chatting.blocks import FENCE, Block, Blocks
from llmpy.cli.chatting.markdown import ACCENT, FAINT, block_lines
from llmpy.cli.terminal import cleaned

if TYPE_CHECKING:
    import llmpy

__all__ = ["MARGIN", "WIDEST", "LiveDisplay", "end_of", "text_width"]

WIDEST = 100  # cells of a line of text, at most
MARGIN = 5  # lines of the terminal that an unfinished block leaves free
INTERVAL = 0.1  # seconds between two drawings
THOUGHTS = 4  # lines of thinking in sight


def text_width(console: Console) -> int:
    """Return how wide lines of text are on this terminal."""
    return max(10, min(console.width - 1, WIDEST))


def end_of(text: str, n_lines: int, width: int) -> str:
    """Return the end of a block that fills so many lines, so that a long one is drawn as fast."""
    lines = text.splitlines(keepends=True)
    if len(lines) <= n_lines and len(text) <= n_lines * width:
        return text
    end = "".join(lines[-n_lines:])[-n_lines * width :]
    return (lines[0] if FENCE.match(lines[0]) and len(lines) > 1 else "") + end


class LiveDisplay:
    """Shows an answer between `with` and its end: complete blocks stay, what grows is drawn again.

    `thinking`: "fold" shows the last lines while they come and one line afterwards, "show" keeps
    them, "hide" leaves them out.
    """

    def __init__(self, console: Console, thinking: Literal["fold", "show", "hide"]) -> None:
        self._console = console
        self._thinking = thinking
        self._blocks = Blocks()
        self._thought = ""
        self._state: Literal["reading", "thinking", "generated", "done"] = "reading"
        self._read = (0, 0)
        self._n_tokens = 0
        self._begin = self._first = time.perf_counter()
        self._is_first = True
        self._spinner = Spinner("dots", style=ACCENT)
        self._live = Live(
            self,
            console=console,
            auto_refresh=False,  # rich's own thread may draw while this one prints
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._clock = threading.Thread(target=self._draw, name="llmpy chat", daemon=True)
        self.seconds_of_thinking = 0.0

    def __enter__(self) -> LiveDisplay:
        self._live.start(refresh=True)
        self._clock.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._clock.join()
        self._fold()
        for block in self._blocks.end():
            self._keep(block)
        self._state = "done"
        self._live.stop()

    def _draw(self) -> None:
        while not self._done.wait(INTERVAL):
            with self._lock, suppress(OSError):  # who prints next is told of it
                self._live.refresh()

    def progress(self, n_read: int, total: int) -> None:
        """Show how much of a prompt is read."""
        self._read = (n_read, total)

    def show(self, piece: llmpy.Piece) -> None:
        """Show one piece."""
        with self._lock:
            self._show(piece)

    def _show(self, piece: llmpy.Piece) -> None:
        if piece.token is not None:
            self._first = self._first if self._n_tokens else time.perf_counter()
            self._n_tokens += 1
        if piece.kind == "thinking":
            self._state = "thinking"
            self._thought += piece.text
            self.seconds_of_thinking = time.perf_counter() - self._begin
        elif piece.text:
            self._fold()
            self._state = "generated"
            for block in self._blocks.add(piece.text):
                self._keep(block)

    def _fold(self) -> None:
        """Put one line, or all of it, where the thinking was."""
        if self._state != "thinking":
            return
        self._state = "generated"
        if self._thinking == "hide":
            return
        title = f"▸ Thought for {self.seconds_of_thinking:.1f} s (/think shows it)"
        if self._thinking == "show":
            text = Text(cleaned(self._thought.strip()), style=f"italic {FAINT}")
            self._print(self._console.render_lines(text, self._options(), pad=False))
        else:
            self._print([[Segment(title, self._console.get_style(FAINT))]])
        self._is_first = False

    def _keep(self, block: Block) -> None:
        """Show a block for good, with an empty line before it."""
        lines = block_lines(self._console, block, text_width(self._console))
        if lines:
            self._print(([] if self._is_first or not block.first else [[]]) + lines)
            self._is_first = False

    def _print(self, lines: list[list[Segment]]) -> None:
        self._console.print(_joined(lines), end="")

    def _options(self) -> ConsoleOptions:
        return self._console.options.update(width=text_width(self._console), height=None)

    # What is drawn again and again

    def __rich__(self) -> RenderableType:
        if self._state == "done":
            return ""
        height = max(3, self._console.height - MARGIN)
        if self._state == "thinking":
            lines = [] if self._thinking == "hide" else self._last_thoughts()
        else:
            lines = self._unfinished(height)
        tail = self._blocks.tail
        goes_on = self._is_first or (tail is not None and not tail.first)
        gap: list[list[Segment]] = [[]] if lines and not goes_on else []
        below: list[list[Segment]] = [] if self._is_first and not lines else [[]]
        return Group(_joined(gap + lines + below), self._status())

    def _last_thoughts(self) -> list[list[Segment]]:
        width = text_width(self._console)
        text = Text(cleaned(self._thought[-THOUGHTS * width :].lstrip()), style=f"italic {FAINT}")
        return self._console.render_lines(text, self._options(), pad=False)[-THOUGHTS:]

    def _unfinished(self, height: int) -> list[list[Segment]]:
        block = self._blocks.tail
        if block is None:
            return []
        width = text_width(self._console)
        block = Block(end_of(block.text, 2 * height, width), block.first, last=False)
        return block_lines(self._console, block, width)[-height:]

    def _status(self) -> RenderableType:
        seconds = time.perf_counter() - self._begin
        if self._state == "reading":
            n_read, total = self._read
            status = f"reading {n_read:,} of {total:,} tokens" if n_read < total else "reading"
        elif self._state == "thinking":
            status = f"thinking · {seconds:.0f} s"
        else:
            status = f"{self._rate():.0f} tokens/s" if self._n_tokens > 3 else "writing"
        self._spinner.update(text=Text(f"{status} · Ctrl-C stops", style=FAINT, no_wrap=True))
        return self._spinner

    def _rate(self) -> float:
        passed = time.perf_counter() - self._first
        return (self._n_tokens - 1) / passed if passed > 0 else 0.0


def _joined(lines: list[list[Segment]]) -> Segments:
    return Segments([segment for line in lines for segment in [*line, Segment.line()]])
