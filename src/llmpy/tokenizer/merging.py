"""Byte-pair merging of the first texts of a large vocabulary, in Python.

Handing 300,000 merges to the engine in Rust takes longer than reading a prompt. So it is made when
more text has come than can be merged here in less time; both give the same ids.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from llmpy.strings import Strings
from llmpy.tokenizer.kinds import Kind

__all__ = ["BytePairs", "FirstTexts", "LazyEngine", "Rank", "merged"]

MOST_CHARACTERS = 400  # in all; one takes about 0.2 ms


Rank = tuple[float, ...]


class _Engine(Protocol):
    def encode(self, text: str, drop: bool = False) -> list[int]: ...


class LazyEngine:
    """An engine that is made once `first` gives up, which raises what is wrong with its merges."""

    def __init__(
        self, first: Callable[[str], list[int] | None], make: Callable[[], _Engine]
    ) -> None:
        self._first: Callable[[str], list[int] | None] | None = first
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
    """Ids of the first texts, or None where the engine has to say.

    `cut` gives a text's words, `ids_of` the ids of each (or None); `most`: characters of words that
    are merged here, in all.
    """

    def __init__(
        self,
        cut: Callable[[str], list[str]],
        ids_of: Callable[[str], list[int] | None],
        most: int,
    ) -> None:
        self._cut = cut
        self._ids_of = ids_of
        self._left = most
        self._words: dict[str, list[int] | None] = {}

    def __call__(self, text: str) -> list[int] | None:
        """The ids of a text, if it is still one of the first."""
        ids: list[int] = []
        for word in self._cut(text):
            if word not in self._words:
                if len(word) > self._left:
                    return None
                self._left -= len(word)
                self._words[word] = self._ids_of(word)
            found = self._words[word]
            if found is None:
                return None
            ids += found
        return ids


def merged(
    word: str,
    rank: Callable[[str, str], Rank | None],
    check: Callable[[str], object] | None = None,
) -> list[str]:
    """The parts of a word after all merges: the pair of least rank first, of equal ones the left.

    `rank` of two neighbours is None where they do not merge; `check` gets what merges make.
    """
    parts: list[str | None] = list(word)
    n = len(parts)
    after, before = list(range(1, n + 1)), list(range(-1, n))
    pairs: list[tuple[Rank, int, str, str]] = []

    def consider(i: int) -> None:
        left, right = parts[i], parts[after[i]]
        assert left is not None
        assert right is not None
        if (found := rank(left, right)) is not None:
            heappush(pairs, (found, i, left, right))

    for i in range(n - 1):
        consider(i)
    while pairs:
        _, i, left, right = heappop(pairs)
        j = after[i]
        if parts[i] != left or j == n or parts[j] != right:
            continue  # one of them was merged with its other neighbour
        parts[i], parts[j] = left + right, None
        if check is not None:
            check(left + right)
        after[i] = after[j]
        before[after[j]] = i
        if before[i] >= 0:
            consider(before[i])
        if after[i] < n:
            consider(i)
    return [part for part in parts if part is not None]


class BytePairs:
    """Ids of a word by the merges of a file, without a str of each; None where it cannot say."""

    def __init__(self, kinds: bytes, tokens: Strings, merges: Strings, whole_words: bool) -> None:
        self._kinds, self._tokens, self._merges = kinds, tokens, merges
        self._whole_words = whole_words

    def __call__(self, word: str) -> list[int] | None:
        """None where the word, or a merge on the way, needs what is no plain token."""
        if self._whole_words and (whole := self._id(word)) is not None:
            return [whole]
        try:
            parts = merged(word, self._rank, self._check)
        except LookupError:
            return None
        ids = [self._id(part) for part in parts]
        return None if None in ids else ids  # type: ignore[return-value]

    def _id(self, token: str) -> int | None:
        """Return the first of equal tokens that text can become."""
        wanted = (Kind.NORMAL, Kind.UNDEFINED)
        return next((i for i in self._tokens.places(token) if self._kinds[i] in wanted), None)

    def _rank(self, left: str, right: str) -> Rank | None:
        """The place of a merge; of equal ones the last counts, as in the engine."""
        places = self._merges.places(f"{left} {right}")
        return (places[-1],) if places else None

    def _check(self, part: str) -> None:
        if self._id(part) is None:
            raise LookupError(part)
