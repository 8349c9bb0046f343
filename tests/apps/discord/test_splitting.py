"""Answers are split into messages that Discord takes, without breaking words or code fences."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.apps.discord.splitting import FENCE, length, split

PARTS = [
    "word",
    " ",
    "\n",
    "\n\n",
    "```py\n",
    "`" * 70,
    "\n```\n",
    "~~~\n",
    "x" * 50,
    "🙂",
    "é ",
    "# title\n",
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=60).map("".join)


def plain(text: str) -> str:
    """A text without white space and the lines of fences."""
    return "".join(FENCE.sub("", text).split())


@given(TEXTS, st.integers(60, 300))
def test_messages_fit_and_have_the_whole_text(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert all(length(part) <= limit for part in parts)
    assert plain("\n".join(parts)) == plain(text)


@given(TEXTS, st.integers(60, 300))
def test_only_the_last_messages_change_when_a_text_grows(text: str, limit: int) -> None:
    before: list[str] = []
    for n in range(0, len(text) + 1, 7):
        parts = split(text[:n], limit)
        assert parts[: len(before) - 1] == before[:-1] or parts[: len(before) - 2] == before[:-2]
        assert len(parts) >= len(before) - 1
        before = parts


def test_marks_within_a_line_do_not_begin_a_message() -> None:
    assert split("x" * 50 + " ```py\nword", 60) == ["x" * 49, "x ```py\nword"]


@pytest.mark.parametrize("mark", ["`", "~"])
@pytest.mark.parametrize("n", [200, 205, 5000])
def test_a_line_of_marks_is_split_anywhere(mark: str, n: int) -> None:
    parts = split(mark * n, 60)
    assert max(map(length, parts)) <= 60
    assert "".join(parts) == mark * n


def test_a_long_word_behind_marks_is_no_reason_to_stop() -> None:
    parts = split("```" + "x" * 500 + "\n" + "code\n" * 50, 60)
    assert max(map(length, parts)) <= 60
    assert "".join(parts).count("code") == 50


def test_a_message_ends_at_a_line_or_a_word() -> None:
    assert split("one two three four five", 20) == ["one two", "three four five"]
    assert split("first line\nsecond line\n" * 2, 32) == ["first line\nsecond line"] * 2


def test_a_code_fence_is_closed_and_opened_again() -> None:
    code = "\n".join(f"line_{i} = {i}" for i in range(20))
    parts = split(f"Look:\n```python\n{code}\n```\nDone.", 120)
    assert len(parts) > 2
    assert parts[0].endswith("\n```")
    for part in parts[1:-1]:
        assert part.startswith("```python\n")
        assert part.endswith("\n```")
    assert parts[-1].endswith("```\nDone.")
    lines = re.findall(r"line_\d+ = \d+", "\n".join(parts))
    assert "\n".join(lines) == code


def test_characters_outside_the_basic_plane_count_twice() -> None:
    assert length("a🙂") == 3
    assert [length(part) for part in split("🙂" * 1500)] == [1992, 1008]


@pytest.mark.parametrize("text", ["", "\n", "short"])
def test_a_short_text_is_one_message(text: str) -> None:
    assert split(text) == [text.strip("\n")]
