"""Texts for all-MiniLM-L6-v2: short ones, and some longer than it reads."""

from __future__ import annotations

from pathlib import Path

__all__ = ["GOLDEN", "TEXTS"]

GOLDEN = Path(__file__).with_name("minilm.npz")  # made by tools/make_sentence_goldens.py
WORDS = [
    "the",
    "crabs",
    "walk",
    "along",
    "a",
    "quiet",
    "beach",
    "while",
    "the",
    "tide",
    "slowly",
    "rises",
    "and",
    "falls",
    "again",
]


def words(n: int) -> str:
    """`n` words, each of which is one token."""
    return " ".join(WORDS[i * i % len(WORDS)] for i in range(n))


TEXTS = [
    "A crab.",
    "How do crabs walk? Sideways, mostly.",
    words(100),
    words(253),
    words(254),  # with the tokens around it as long as the model reads
    words(255),
    words(284),
    words(600),
]
