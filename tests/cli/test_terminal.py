"""Text from outside on its way to a terminal."""

from __future__ import annotations

import io

import pytest

from llmpy.cli.terminal import cleaned, for_terminal


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "code", [*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0xD800]
)
def test_what_a_terminal_would_obey_is_replaced(code: int) -> None:
    found = cleaned(f"a{chr(code)}[2Jb")
    assert chr(code) not in found
    assert (found[0], found[2:]) == ("a", "[2Jb")


@pytest.mark.parametrize(
    "text",
    ["a\tb\nc", "h\u00e9", "\u99ac", "a\u00a0b", "\U0001f468\u200d\U0001f469", "\u05d0\u200f"],
)
def test_text_of_all_languages_stays_as_it_is(text: str) -> None:
    assert cleaned(text) == text


def test_line_ends_of_windows_are_line_ends() -> None:
    assert cleaned("a\r\nb\rc") == "a\nb\u240dc"


def test_only_a_terminal_gets_the_text_changed() -> None:
    assert for_terminal("\x1b[2J", io.StringIO()) == "\x1b[2J"
    assert for_terminal("\x1b[2J", Terminal()) == "\u241b[2J"
