"""Splitting long texts at paragraphs, sentences or words, into parts of so many tokens."""

from __future__ import annotations

import re
from collections.abc import Callable

import llmpy

__all__ = ["counter", "pack", "split_text"]

Count = Callable[[str], int]
LEVELS = [  # each text between two matches keeps the white space behind it
    re.compile(r".+?(?:\n\s*\n|\Z)\s*", re.S),  # paragraphs
    re.compile(r".+?(?:[.!?。!?][\"')\]]*\s+|\n+|\Z)", re.S),  # sentences
    re.compile(r"\s*\S+\s*|\s+", re.S),  # words
]


def counter(tokenizer: llmpy.Tokenizer) -> Count:
    """Return the function that counts the tokens of a text."""
    return lambda text: len(tokenizer.encode(text))


def split_text(
    text: str, tokens: int, tokenizer: llmpy.Tokenizer, *, overlap: int = 0
) -> list[str]:
    """Split a text into parts of at most `tokens` tokens each.

    Parts end at the end of a paragraph if possible, else of a sentence, else of a word. Without
    `overlap`, the parts joined are the text; with it, each part begins with the last sentences of
    the part before it, up to `overlap` tokens. A single character may have more tokens than that.
    """
    if not 0 <= overlap < tokens:
        raise ValueError(
            f"split: expected tokens > overlap >= 0, found tokens={tokens}, overlap={overlap}"
        )
    count = counter(tokenizer)
    units = _units(text, tokens, count, 0)
    parts: list[str] = []
    held: list[tuple[str, int]] = []
    fresh = 0  # units of `held` that no part has yet
    for unit in units:
        size = count(unit)
        while held and count("".join(u for u, _ in held) + unit) > tokens:
            if fresh:
                parts.append("".join(u for u, _ in held))
                held, fresh = _tail(held, overlap), 0
            else:
                held.pop(0)
        held.append((unit, size))
        fresh += 1
    return [*parts, "".join(u for u, _ in held)] if fresh else parts


def pack(texts: list[str], tokens: int, count: Count) -> list[list[str]]:
    """Group texts in their order: up to `tokens` tokens in a group, but two at least."""
    groups: list[list[str]] = []
    size = 0
    for text in texts:
        n = count(text)
        if not groups or (len(groups[-1]) > 1 and size + n > tokens):
            groups.append([])
            size = 0
        groups[-1].append(text)
        size += n
    return groups


def _units(text: str, tokens: int, count: Count, level: int) -> list[str]:
    """Split a text into units that fit, as large as the levels allow."""
    if not text or count(text) <= tokens:
        return [text] if text else []
    if level == len(LEVELS):
        if len(text) == 1:
            return [text]
        halves = text[: len(text) // 2], text[len(text) // 2 :]
        return [unit for half in halves for unit in _units(half, tokens, count, level)]
    found = LEVELS[level].findall(text)
    return [unit for part in found for unit in _units(part, tokens, count, level + 1)]


def _tail(held: list[tuple[str, int]], overlap: int) -> list[tuple[str, int]]:
    size, kept = 0, len(held)
    while kept and size + held[kept - 1][1] <= overlap:
        kept -= 1
        size += held[kept][1]
    return held[kept:]
