"""Markdown from a model on a terminal: plain shapes, calm colours, no escapes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, ClassVar

from markdown_it.token import Token
from pygments.token import (  # type: ignore[import-untyped]
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    String,
)
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import (
    CodeBlock,
    Heading,
    HorizontalRule,
    ListItem,
    Markdown,
    MarkdownElement,
)
from rich.rule import Rule
from rich.segment import Segment
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text
from rich.theme import Theme

from llmpy.cli.chatting.blocks import Block, is_closing, parser
from llmpy.cli.terminal import cleaned

__all__ = ["ACCENT", "ERROR", "FAINT", "THEME", "block_lines"]

# Colours of the 256 that have the same contrast, more than 3 to 1, to black and to white.
ACCENT, FAINT, ERROR = "color(67)", "color(102)", "color(167)"
GREEN, BROWN = "color(65)", "color(137)"
DEEPEST = 16  # lists in lists, of which the parser leaves out those from level 20 on
LARGEST = 1 << 16  # characters of code that are coloured

THEME = Theme(
    {
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.h4": "italic",
        "markdown.h5": "italic",
        "markdown.h6": "italic",
        "markdown.code": ACCENT,
        "markdown.item.bullet": FAINT,
        "markdown.item.number": FAINT,
        "markdown.block_quote": FAINT,
        "markdown.hr": FAINT,
        "markdown.link": "underline",
        "markdown.link_url": FAINT,
        "markdown.table.border": FAINT,
        "markdown.table.header": "bold",
    }
)
CODE = ANSISyntaxTheme(
    {
        Comment: Style.parse(f"italic {FAINT}"),
        Keyword: Style.parse(ACCENT),
        Operator.Word: Style.parse(ACCENT),
        Name.Function: Style.parse("bold"),
        Name.Class: Style.parse("bold"),
        String: Style.parse(GREEN),
        Number: Style.parse(BROWN),
    }
)


def block_lines(console: Console, block: Block, width: int) -> list[list[Segment]]:
    """Return the lines of a block, at most `width` cells wide; as plain text where it resists."""
    options = console.options.update(width=width, height=None)
    try:
        answer = _Answer(block)
        lines = console.render_lines(answer, options, pad=False)
        whole = _n_letters(s.text for line in lines for s in line) >= answer.n_letters
    except Exception:  # a model can write what rich cannot render
        whole = False
    if not whole:
        lines = console.render_lines(Text(cleaned(block.text)), options, pad=False)
    lines = [_stripped(line) for line in lines]
    full = [i for i, line in enumerate(lines) if line]
    return lines[full[0] : full[-1] + 1] if full else []


def _stripped(line: list[Segment]) -> list[Segment]:
    """The line without the spaces that fill it up."""
    line = list(line)
    while line and not line[-1].text.strip():
        line.pop()
    if line:
        line[-1] = Segment(line[-1].text.rstrip(), line[-1].style)
    return line


class _Title(Heading):
    """A heading, to the left."""

    LEVEL_ALIGN: ClassVar[dict[str, Any]] = {}


class _Code(CodeBlock):
    """Code between two thin lines, so that it can be copied as it is."""

    first = last = True

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Code:
        words = token.info.split()
        found = cls(words[0] if words else "", markdown.code_theme)
        if isinstance(markdown, _Answer) and token.level == 0:
            block = markdown.block
            end = block.text.splitlines()[token.map[1] - 1] if token.map else ""
            closed = bool(token.markup) and is_closing(end, token.markup)
            found.first, found.last = block.first, block.last or closed
        return found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        name = Text(self.lexer_name[:30], style=FAINT) if self.lexer_name else ""
        code = str(self.text).removesuffix("\n")
        lexer = self.lexer_name if len(code) <= LARGEST else "text"
        if self.first:
            yield Rule(name, style=FAINT, align="left")
        if code:
            yield Syntax(code, lexer or "text", theme=CODE, word_wrap=True)
        if self.last:
            yield Rule(style=FAINT)


class _Item(ListItem):
    """An item of a list; the number has its full stop."""

    def render_number(
        self, console: Console, options: ConsoleOptions, number: int, last_number: int
    ) -> RenderResult:
        width = len(str(last_number)) + 3
        lines = console.render_lines(self.elements, options.update(width=options.max_width - width))
        style = console.get_style("markdown.item.number")
        for i, line in enumerate(lines):
            yield Segment(" " * width if i else f"{number}. ".rjust(width), style)
            yield from line
            yield Segment.line()


class _Line(HorizontalRule):
    """A thin line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Rule(style=FAINT)


class _Answer(Markdown):
    """Markdown without links to click, pictures or HTML, which are shown as text."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Title,
        "fence": _Code,
        "code_block": _Code,
        "hr": _Line,
        "list_item_open": _Item,
    }

    def __init__(self, block: Block) -> None:
        super().__init__("", hyperlinks=False)
        self.block = block
        self.parsed = list(_safe(parser().parse(cleaned(block.text))))
        if any(token.level > DEEPEST for token in self.parsed):
            raise ValueError("nested too deeply")

    @property
    def n_letters(self) -> int:
        """Letters and digits that a drawing of it has, at least."""
        leaves = (token.content for token in self._flatten_tokens(self.parsed))
        return _n_letters(leaves)


def _n_letters(texts: Iterable[str]) -> int:
    return sum(map(str.isalnum, chain.from_iterable(texts)))


def _safe(tokens: Iterable[Token]) -> Iterable[Token]:
    """Tokens whose text is clean even where it was written as an entity; line breaks stay."""
    for token in tokens:
        if token.type == "softbreak":
            token.type = "hardbreak"
        if token.type == "image":
            content = f"![{token.content}]({token.attrs.get('src', '')})"
            token = Token("text", "", 0, content=content, level=token.level)
        token.content = cleaned(token.content)
        token.info = cleaned(token.info)
        token.attrs = {k: cleaned(v) if isinstance(v, str) else v for k, v in token.attrs.items()}
        if token.children:
            token.children = list(_safe(token.children))
        yield token
