"""Finding the beginning of a text that keeps its ids whatever comes after it.

A space before an ASCII letter begins a word in all that cuts texts here, and the character before
it ends one, unless a token of the vocabulary goes on from that character across the space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmpy.tokenizer.alphabet import to_characters
from llmpy.tokenizer.kinds import Kind
from llmpy.tokenizer.merger import SPACE, pieces_of
from llmpy.tokenizer.pretokenizers import FAMILIES
from llmpy.tokenizer.vocabulary import Vocabulary
from llmpy.tokenizer.world import unescaped

__all__ = ["StableText"]

_BORDER = re.compile(r"(?<=\S) (?=[A-Za-z])")
_CROSSED = re.compile(r"([^ ]) ")
_WHOLE_TEXT = ("t5", "bert")  # models whose texts are normalised, or searched as a whole


class StableText:
    """Finds that beginning in texts of one vocabulary; `special`: where control tokens count."""

    def __init__(self, vocabulary: Vocabulary, special: bool) -> None:
        self._crossed = _crossed(vocabulary, special)

    def __call__(self, text: str) -> int:
        """Return the number of characters of the stable beginning: 0 where none are certain."""
        if self._crossed is not None:
            for border in reversed(list(_BORDER.finditer(text))):
                if text[border.start() - 1] not in self._crossed:
                    return border.start()
        return 0


def _crossed(vocabulary: Vocabulary, special: bool) -> frozenset[str] | None:
    """The characters from which a token may go on across a space; None for any."""
    whole = [Kind.USER_DEFINED, *((Kind.CONTROL, Kind.UNKNOWN) if special else ())]
    texts = [vocabulary.tokens[i] for kind in whole for i in vocabulary.of_kind(kind)]
    matching = vocabulary.matching
    if any(vocabulary.tokens[i][:1].isalpha() for i in matching.lstrip):
        return None
    texts += [vocabulary.tokens[i] + " " for i in matching.rstrip]
    if vocabulary.model in _WHOLE_TEXT:
        return None
    if vocabulary.model == "gpt2":
        if FAMILIES[vocabulary.pre].crosses_spaces or to_characters(b" ") not in vocabulary.tokens:
            return None
    elif vocabulary.model == "rwkv":
        normal = (unescaped(vocabulary.tokens[i]) for i in vocabulary.of_kind(Kind.NORMAL))
        texts += [raw.decode(errors="replace") for raw in normal]
    else:
        if SPACE not in vocabulary.tokens:
            return None
        pieces = pieces_of(vocabulary, Kind.NORMAL, Kind.UNDEFINED)
        texts += [piece.replace(SPACE, " ") for piece in pieces]
    return _before_spaces(texts)


def _before_spaces(texts: Iterable[str]) -> frozenset[str] | None:
    """The characters before spaces in these; None where one of them is no whole character."""
    found = {match[1] for text in texts for match in _CROSSED.finditer(text)}
    return None if "\N{REPLACEMENT CHARACTER}" in found else frozenset(found)
