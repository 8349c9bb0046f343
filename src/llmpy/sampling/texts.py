"""Texts that may not be generated: what a step can only say, and a session does.

No single token is a banned text, so the tokens that make one are taken back: the session rewinds to
where the text began, forbids the token that began it, and goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmpy.sampling.step import BuiltIn, Vocabulary, texts
from llmpy.sampling.weights import Logits

__all__ = ["BannedStrings", "banned_strings"]


@dataclass(frozen=True, init=False)
class BannedStrings(BuiltIn):
    """Never generate one of these texts; if one was generated, rewind and sample other tokens.

    Sessions hold back text that may become one of them. `next_token`, which cannot take back a
    token that it returned, forbids only the token that would complete one. Source: p-e-w and Sam
    Paech 2024, backtracking of phrases ("antislop").
    """

    name = "banned-strings"
    strings: tuple[str, ...]

    def __init__(self, *strings: str) -> None:
        object.__setattr__(self, "strings", texts("banned_strings", strings))

    def bound(self, vocabulary: Vocabulary) -> None:
        """Return nothing: logits stay as they are."""

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """Return the logits as they are."""
        return logits


# A chain is written with the words of the field: chain(top_k(8), temperature(0.7)).
banned_strings = BannedStrings
