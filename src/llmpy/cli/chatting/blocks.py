"""Markdown that grows, cut into blocks: those that are complete, and the last one, which is not.

A complete block is shown once and stays; so only the last block is drawn again while text comes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["FENCE", "Block", "Blocks", "is_closing", "parser"]

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
LONGEST = 24  # lines of code that wait for the end of their block


class Block(NamedTuple):
    """A part of a text; `first` and `last`: whether its block begins and ends in it."""

    text: str
    first: bool = True
    last: bool = True


@cache
def parser() -> MarkdownIt:
    """Return a parser that leaves nothing out: HTML and references are text."""
    from markdown_it import MarkdownIt

    found = MarkdownIt("commonmark", {"html": False})
    return found.enable(["strikethrough", "table"]).disable("reference")


class Blocks:
    """Takes text as it comes; `tail` is the block that may still grow."""

    def __init__(self) -> None:
        self._text = ""
        self._fence = ""  # the line that began a long block of code, of which parts are gone

    @property
    def tail(self) -> Block | None:
        """Return the block that is not complete yet, or None."""
        if not self._text.strip() and not self._fence:
            return None
        return Block(self._fence + self._text, first=not self._fence)

    def add(self, text: str) -> list[Block]:
        """Return the blocks that this text completes."""
        self._text += text
        return self._complete() if "\n" in text else []

    def end(self) -> list[Block]:
        """Return what is left, for no more text comes."""
        self._text += "\n"
        found = [*self._complete(), self.tail]
        self._text = self._fence = ""
        return [block for block in found if block is not None]

    def _complete(self) -> list[Block]:
        found: list[Block] = []
        while (block := self._next()) is not None:
            found.append(block)
        return found

    def _next(self) -> Block | None:
        lines = self._text[: self._text.rfind("\n") + 1].splitlines(keepends=True)
        if not lines:
            return None
        tops = [
            token.map[0] - bool(self._fence)
            for token in parser().parse(self._fence + "".join(lines))
            if token.level == 0 and token.map is not None and token.nesting >= 0
        ]
        if len(tops) > 1:
            return self._cut(lines, tops[1], last=True)
        mark = FENCE.match(self._fence or lines[0]) if tops else None
        if mark is not None and len(lines) > LONGEST and not is_closing(lines[-1], mark[1]):
            opening = self._fence or lines[0]
            block = self._cut(lines, LONGEST, last=False)
            self._fence = opening
            return block
        return None

    def _cut(self, lines: list[str], n: int, last: bool) -> Block:
        """Take `n` lines as a block, or a part of one."""
        text = "".join(lines[:n])
        self._text = self._text[len(text) :]
        block = Block(self._fence + text, first=not self._fence, last=last)
        self._fence = ""
        return block


def is_closing(line: str, mark: str) -> bool:
    """Whether a line ends a block of code that `mark` began."""
    bare = line.strip()
    return len(bare) >= len(mark) and set(bare) == {mark[0]}
