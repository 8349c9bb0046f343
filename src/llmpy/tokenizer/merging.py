"""Byte-pair merging of the first short texts of a large byte-level vocabulary, in Python.

Handing 300,000 merges to the engine in Rust takes longer than reading a prompt. So it is made when
more text has come than can be merged here in less time; both give the same ids.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from llmpy.strings import Strings
from llmpy.tokenizer.kinds import Kind

__all__ = ["FirstTexts", "LazyEngine"]

MOST_CHARACTERS = 400  # in all; one takes about 0.2 ms


class _Engine(Protocol):
    def encode(self, text: str, drop: bool = False) -> list[int]: ...


class LazyEngine:
    """An engine that is made once `first` gives up, which raises what is wrong with its merges."""

    def __init__(self, first: FirstTexts, make: Callable[[], _Engine]) -> None:
        self._first: FirstTexts | None = first
        self._make = make
        self._engine: _Engine | None = None
        self._making = threading.Lock()

    def encode(self, text: str, drop: bool = False) -> list[int]:
        """As the engine."""
        first = self._first
        if first is not None and (ids := first(text)) is not None:
            return ids
        with self._making:
            if self._engine is None:
                self._engine = self._make()
                self._first = None
        return self._engine.encode(text, drop)


class FirstTexts:
    """Ids of short texts, or None where the engine has to say."""

    def __init__(
        self,
        kinds: bytes,
        tokens: Strings,
        merges: Strings,
        cut: Callable[[str], list[tuple[str, tuple[int, int]]]],
        whole_words: bool,
    ) -> None:
        self._kinds, self._tokens, self._merges = kinds, tokens, merges
        self._cut = cut
        self._whole_words = whole_words
        self._left = MOST_CHARACTERS
        self._words: dict[str, list[int] | None] = {}

    def __call__(self, text: str) -> list[int] | None:
        """The ids of a text, if it is still one of the first."""
        if len(text) > self._left:
            return None
        ids: list[int] = []
        for word, _ in self._cut(text):
            if word not in self._words:
                self._left -= len(word)
                self._words[word] = self._word(word)
            found = self._words[word]
            if found is None:
                return None
            ids += found
        return ids

    def _id(self, token: str) -> int | None:
        """Of equal tokens that text can become, the first."""
        wanted = (Kind.NORMAL, Kind.UNDEFINED)
        return next((i for i in self._tokens.places(token) if self._kinds[i] in wanted), None)

    def _word(self, word: str) -> list[int] | None:
        """The pair that merges first, again and again; of equal ones the leftmost.

        None where the word, or a merge on the way, needs what is no plain token.
        """
        if self._whole_words and (whole := self._id(word)) is not None:
            return [whole]
        parts = list(word)
        ranks = [self._rank(a, b) for a, b in pairwise(parts)]
        while best := min((rank for rank in ranks if rank is not None), default=None):
            i = ranks.index(best)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
            if self._id(parts[i]) is None:
                return None
            del ranks[i]
            for j in (i - 1, i):
                if 0 <= j < len(ranks):
                    ranks[j] = self._rank(parts[j], parts[j + 1])
        ids = [self._id(part) for part in parts]
        return None if None in ids else ids  # type: ignore[return-value]

    def _rank(self, left: str, right: str) -> int | None:
        """The number of a merge, from 1; of equal ones the last counts, as in the engine."""
        places = self._merges.places(f"{left} {right}")
        return places[-1] + 1 if places else None
