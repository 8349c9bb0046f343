"""Cutting a text at tokens that are matched as they stand, before any merging.

User-defined tokens are always matched, control and unknown tokens only when the caller asks. The
leftmost match wins, and of those the longest; finding them takes time linear in the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenizers import AddedToken, Tokenizer, models

from llmpy.tokenizer.kinds import Matching
from llmpy.tokenizer.vocabulary import is_text

__all__ = ["Splitter"]


class Splitter:
    """Finds tokens in texts: `tokens` are (text, id) pairs.

    The search is the added-token automaton of `tokenizers` over an empty model. Of equal texts the
    first counts; tokens that are empty or hold bytes that no text can hold never match.
    """

    def __init__(self, tokens: Sequence[tuple[str, int]], matching: Matching) -> None:
        ids: dict[str, int] = {}
        for text, token in tokens:
            if text and is_text(text):
                ids.setdefault(text, token)
        between = "-"
        while between in ids:
            between += "-"
        self._ids = [-1, *ids.values()]
        self._finder = Tokenizer(models.WordLevel({between: 0}, unk_token=between))
        self._finder.add_tokens(
            [
                AddedToken(
                    text,
                    single_word=token in matching.single_word,
                    lstrip=token in matching.lstrip,
                    rstrip=token in matching.rstrip,
                    normalized=False,
                    special=False,
                )
                for text, token in ids.items()
            ]
        )

    def __bool__(self) -> bool:
        return len(self._ids) > 1

    def split(self, text: str) -> Iterator[tuple[int | None, str]]:
        """The text in order: each match with its token's id, and the text between with None."""
        found = self._finder.encode(text, add_special_tokens=False)
        for place, (start, end) in zip(found.ids, found.offsets, strict=True):
            yield (self._ids[place] if place else None), text[start:end]
