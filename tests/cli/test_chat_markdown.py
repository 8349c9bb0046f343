"""Markdown as it comes: cut into blocks, drawn on a terminal, harmless whatever it holds."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from llmpy.cli.chatting.blocks import LONGEST, Block, Blocks
from llmpy.cli.chatting.markdown import THEME, block_lines
from llmpy.cli.terminal import UNSAFE

TEXT = """# Title

A paragraph
of two lines.

- one
- two

  more of two

1. a

2. b

```python
x = 1

y = 2
```

| a | b |
|---|---|
| 1 | 2 |

The end"""


def blocks_of(text: str, size: int = 1) -> list[Block]:
    blocks, found = Blocks(), []
    for i in range(0, len(text), size):
        found += blocks.add(text[i : i + size])
    return found + blocks.end()


def drawn(text: str, width: int = 60) -> list[str]:
    console = Console(file=io.StringIO(), theme=THEME, width=width, force_terminal=True)
    lines = []
    for block in blocks_of(text, 1000):
        lines += ["".join(s.text for s in line) for line in block_lines(console, block, width)]
    return lines


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_the_blocks_are_the_same_in_whatever_pieces_the_text_comes(size: int) -> None:
    begins = [block.text.split("\n")[0] for block in blocks_of(TEXT, size)]
    expected = ["# Title", "A paragraph", "- one", "1. a", "```python", "| a | b |", "The end"]
    assert begins == expected


@settings(max_examples=200)
@given(st.text(st.sampled_from("a -*`#>|1.\n\t_[]()~"), max_size=200), st.integers(1, 9))
def test_nothing_is_lost_or_told_twice(text: str, size: int) -> None:
    found = "".join(block.text for block in blocks_of(text, size) if block.first)
    if all(block.first for block in blocks_of(text, size)):
        assert found.split() == text.split()


def test_a_list_of_numbers_that_goes_on_is_one_block() -> None:
    blocks = Blocks()
    assert blocks.add("1. a\n\n2") == []
    assert blocks.add(". b\n\nend\n\n") == [Block("1. a\n\n2. b\n\n")]


def test_long_code_comes_in_parts_that_join() -> None:
    code = "".join(f"line {i}\n" for i in range(3 * LONGEST))
    found = blocks_of(f"```python\n{code}```\nend\n")
    parts = found[:-1]
    assert len(parts) > 2
    assert [p.first for p in parts] == [True] + [False] * (len(parts) - 1)
    assert [p.last for p in parts] == [False] * (len(parts) - 1) + [True]
    assert all(p.text.startswith("```python\n") for p in parts)
    inside = [p.text.removeprefix("```python\n").removesuffix("```\n") for p in parts]
    assert "".join(inside) == code


def test_long_code_is_drawn_as_one_block() -> None:
    code = "".join(f"line {i}\n" for i in range(3 * LONGEST))
    lines = drawn(f"```python\n{code}```\nend\n")
    assert lines[0].startswith("python ─")
    assert lines[1 : 1 + 3 * LONGEST] == code.splitlines()
    assert set(lines[-2]) == {"─"}


def test_the_tail_is_what_is_not_complete() -> None:
    blocks = Blocks()
    assert blocks.tail is None
    blocks.add("one\n\ntwo")
    assert blocks.tail == Block("one\n\ntwo")
    blocks.add("\n")
    assert blocks.tail == Block("two\n")


def test_how_each_kind_of_block_is_drawn() -> None:
    lines = drawn(TEXT, 20)
    assert lines[:3] == ["Title", "A paragraph", "of two lines."]
    assert " • one" in lines
    assert " 1. a" in lines
    assert "python ─────────────" in lines
    assert "y = 2" in lines
    assert lines[-1] == "The end"


@pytest.mark.parametrize(
    "text",
    [
        "a <b>bold</b> List<String> <!-- x -->",
        "<div>\nblock\n</div>",
        "[1]: https://example.org",
        "![picture](https://example.org/a.png)",
    ],
)
def test_nothing_that_a_model_writes_is_left_out(text: str) -> None:
    found = " ".join(drawn(text))
    for word in re.findall(r"[\w./:]+", text):
        assert word in found


def test_a_link_shows_where_it_leads() -> None:
    assert drawn("[bank](https://evil.example)") == ["bank (https://evil.example)"]


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J\x1b]0;title\x07",
        "&#27;[2J &#x9b;1m &#13;over &#8238;abc",
        "`\x1b[2J`",
        "```\x1b[31m\n\x1b[2J\n```",
        "```a\x9b1m b\n&#27;\n```",
        "[\x1b[1m](http://x/\x1b[1m&#27;&#13;)",
        "| \x1b[1m |\n|---|\n| &#13;\x9b |",
        "> - \x1b[1m\n",
        "# \x1b[1m&#13;",
        "![\x1b[1m](\x07 '\x1b')",
    ],
)
def test_no_control_character_comes_through(text: str) -> None:
    assert UNSAFE.search("\n".join(drawn(text))) is None


@settings(max_examples=150)
@given(st.text(st.sampled_from("ab -*`#>|1.\n\t_[]()!~<&;:\x1b\x9b\r\\"), max_size=120))
def test_whatever_a_model_writes_is_drawn_without_control_characters(text: str) -> None:
    assert UNSAFE.search("\n".join(drawn(text))) is None


@pytest.mark.parametrize("text", [">" * 2000 + "a", "- " * 500 + "a", "[" * 5000, "*" * 3000 + "a"])
def test_deep_nesting_is_drawn(text: str) -> None:
    assert text.strip() in "".join(drawn(text, 20_000))
    assert ("".join(drawn(text, 10)).count("a"), len(drawn(text))) >= (text.count("a"), 1)


@pytest.mark.parametrize("width", [10, 11, 40])
def test_no_line_is_wider_than_asked_for(width: int) -> None:
    lines = drawn(TEXT + "\n\n" + "word " * 40 + "\n\n```\n" + "x" * 100 + "\n```\n", width)
    assert max(map(len, lines)) <= width
