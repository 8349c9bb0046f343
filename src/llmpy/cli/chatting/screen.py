"""Output of the interactive program beside answers: remarks, errors, tables, conversations."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from llmpy.cli.chatting.blocks import Blocks
from llmpy.cli.chatting.commands import SIGN, Screen
from llmpy.cli.chatting.live import text_width
from llmpy.cli.chatting.markdown import ACCENT, ERROR, FAINT, THEME, block_lines
from llmpy.cli.terminal import cleaned

__all__ = ["ConsoleScreen", "made_console"]


def made_console(**options: Any) -> Console:
    """Return a console with the colours of the program, which takes text as it is."""
    return Console(theme=THEME, highlight=False, markup=False, emoji=False, **options)


class ConsoleScreen(Screen):
    """Shows things on a console, each with an empty line after it."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        """Show a remark."""
        self._lines(Text(cleaned(text), style=FAINT))

    def fail(self, text: str) -> None:
        """Show what is wrong."""
        self._lines(Text(cleaned(text), style=ERROR))

    def title(self, name: str, about: str) -> None:
        """Show what is beginning."""
        self.console.print()
        self.console.print(Text(cleaned(name), style="bold"), width=text_width(self.console))
        self.say(about)

    def table(self, rows: list[tuple[str, ...]]) -> None:
        """Show rows of a table, the first column as names."""
        grid = Table.grid(padding=(0, 3, 0, 0))
        for i in range(len(rows[0])):
            style = (ACCENT, "default", FAINT)[i] if len(rows[0]) == 3 else (ACCENT, FAINT)[i]
            grid.add_column(style=style, no_wrap=i == 0, overflow="fold")
        for row in rows:
            grid.add_row(*(Text(cleaned(cell)) for cell in row))
        self._lines(grid)

    def conversation(self, messages: list[dict[str, Any]]) -> None:
        """Show messages."""
        for message in messages:
            text = _content(message)
            if message["role"] == "assistant":
                self.answer(text)
            else:
                sign = SIGN if message["role"] == "user" else f"{message['role']}:"
                grid = Table.grid(padding=(0, 1, 0, 0))
                grid.add_row(Text(cleaned(sign), style=f"bold {ACCENT}"), Text(cleaned(text)))
                self._lines(grid)

    def answer(self, text: str) -> None:
        """Show an answer that is complete."""
        blocks, lines = Blocks(), list[list[Segment]]()
        for block in [*blocks.add(text), *blocks.end()]:
            gap: list[list[Segment]] = [[]] if lines and block.first else []
            lines += gap + block_lines(self.console, block, text_width(self.console))
        parts = [segment for line in lines for segment in [*line, Segment.line()]]
        self.console.print(Segments(parts))

    def thought(self, text: str) -> None:
        """Show thinking."""
        self._lines(Text(cleaned(text), style=f"italic {FAINT}"))

    def _lines(self, what: Text | Table) -> None:
        self.console.print(what, width=text_width(self.console))
        self.console.print()


def _content(message: dict[str, Any]) -> str:
    """The text of a message, whose content may be a list of parts."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
