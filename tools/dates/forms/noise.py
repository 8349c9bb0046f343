"""What happens to any text without changing its meaning: spacing, capitals, slips."""

from __future__ import annotations

import re
import unicodedata

from forms.core import Choices

WORD = re.compile(r"[A-Za-zÀ-ÿ]{5,}")
SPACES = re.compile(r" {3,}")
NEIGHBOURS = dict(
    pair
    for pair in ["as", "er", "io", "op", "uy", "rt", "ty", "nm", "mn", "bv", "sa", "lk", "cx", "yt"]
)


def normalise(text: str, most: int = 200) -> str:
    """The text as the model reads it: NFC, single lines, at most two spaces in a row."""
    text = (
        unicodedata.normalize("NFC", text).replace("\r", " ").replace("\n", " ").replace("\t", " ")
    )
    return SPACES.sub("  ", text).strip()[:most]


def slip(r: Choices, word: str) -> str:
    """The word with one slip: two letters swapped, one dropped, doubled, or its neighbour."""
    i = r.number(1, len(word) - 2)
    kind = r.number(0, 3)
    if kind == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if kind == 1:
        return word[:i] + word[i + 1 :]
    if kind == 2:
        return word[:i] + word[i] + word[i:]
    return word[:i] + NEIGHBOURS.get(word[i], word[i]) + word[i + 1 :]


def slips(r: Choices, text: str) -> str:
    if "{{" in text or "<" in text:
        return text
    words = [m for m in WORD.finditer(text) if not m[0].isupper()]
    if not words:
        return text
    chosen = r.pick(words)
    return text[: chosen.start()] + slip(r, chosen[0]) + text[chosen.end() :]


def spacing(r: Choices, text: str) -> str:
    kind = r.random()
    spots = [i for i, c in enumerate(text) if c == " "]
    if kind < 0.35 and spots:
        i = r.pick(spots)
        return text[:i] + "  " + text[i + 1 :]
    if kind < 0.55:
        return text.replace(", ", ",", 1)
    if kind < 0.7:
        return text.replace(", ", " , ", 1)
    if kind < 0.85:
        return text.replace(" ", "\u00a0")
    return text.replace(". ", ".", 1)


def noisy(r: Choices, text: str, share: float = 0.16) -> str:
    """The text, a share of the time with one of these."""
    if not r.chance(share):
        return text
    kind = r.random()
    if kind < 0.35:
        return slips(r, text)
    if kind < 0.65:
        return spacing(r, text)
    if kind < 0.8:
        return text.lower()
    if kind < 0.9:
        return text.upper() if "&" not in text and "{{" not in text and "<" not in text else text
    return text[:1].upper() + text[1:]
