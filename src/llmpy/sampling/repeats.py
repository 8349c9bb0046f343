"""Steps that keep a text from repeating sequences of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from llmpy.errors import SamplerError
from llmpy.sampling.step import FINITE, BuiltIn, Vocabulary, integer, number, recent
from llmpy.sampling.weights import Logits

__all__ = ["Dry", "SequenceRepetition", "dry", "sequence_repetition"]

BREAKERS = ("\n", ":", '"', "*")
_BREAKER_IDS: WeakKeyDictionary[Any, dict[tuple[str, ...], tuple[int, ...]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class SequenceRepetition(BuiltIn):
    """Lower the logit of a token that would continue an earlier sequence.

    The end of the last `last_n` tokens, at least `min_length` of them, is looked for further up.
    What followed there loses `flat_penalty + length * stacking_penalty`, with the length of that
    place and its continuation. Up to `tolerance` tokens may differ, each in place of up to
    `max_merge` others. As in llm.rs (KerfuffleV2, llm-samplers 2023).
    """

    name = "sequence-repetition"
    flat_penalty: float = 0.0
    stacking_penalty: float = 0.0
    min_length: int = 4
    tolerance: int = 0
    max_merge: int = 1
    last_n: int = 64

    def __post_init__(self) -> None:
        for field in ("flat_penalty", "stacking_penalty"):
            value, expected = getattr(self, field), "a finite number (0 is off)"
            value = number(f"sequence_repetition {field}", value, expected, -FINITE, FINITE)
            object.__setattr__(self, field, value)
        for field, low in (("min_length", 2), ("tolerance", 0), ("max_merge", 0), ("last_n", 0)):
            value, expected = getattr(self, field), f"an integer from {low} to 512"
            value = integer(f"sequence_repetition {field}", value, expected, low, 512)
            object.__setattr__(self, field, value)

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the logits with those of tokens that would repeat a sequence lowered."""
        if (self.flat_penalty == 0.0 and self.stacking_penalty == 0.0) or self.last_n == 0:
            return logits
        out = logits.copy()
        flat, stacking = np.float32(self.flat_penalty), np.float32(self.stacking_penalty)
        for token, length in self.found(recent(session, self.last_n, logits.size).tolist()).items():
            with np.errstate(over="ignore", invalid="ignore"):
                out[token] -= np.float32(length) * stacking + flat
        return out

    def found(self, tokens: Sequence[int]) -> dict[int, int]:
        """Return each token that followed the end of `tokens` before, and the longest length."""
        n, least = len(tokens), self.min_length
        lengths: dict[int, int] = {}
        if n < 2 * least:
            return lengths
        for start in range(n - least):
            for needle in range(least, min(n - least, n - start - 1) + 1):
                end = self._matched(tokens, start, n - needle)
                if end is not None and end < n:
                    token = tokens[end]
                    lengths[token] = max(lengths.get(token, 0), end - start + 1)
        return lengths

    def _matched(self, tokens: Sequence[int], start: int, needle: int) -> int | None:
        """Return the end of the match of tokens[needle:] that begins at `start`, or None."""
        if tokens[start] != tokens[needle]:
            return None
        n, at, tolerance, window = len(tokens), start, self.tolerance, 1
        for i in range(needle, n):
            while window > 0:
                window -= 1
                if at == n:
                    return None
                at += 1
                if tokens[at - 1] == tokens[i]:
                    if i == n - 1:
                        return at
                    window = 1
                    break
            else:
                if tolerance == 0:
                    return None
                tolerance -= 1
                window = self.max_merge + 1
        return None


@dataclass(frozen=True)
class Dry(BuiltIn):
    """Lower the logits of tokens that would make a repeated sequence longer ("don't repeat").

    A token that would extend a repetition of n >= `allowed_length` tokens loses
    `multiplier * base ** (n - allowed_length)`. No repetition is looked for across a token with
    one of the texts `breakers`, and none of these tokens is lowered. `last_n`: -1 is all tokens, of
    which four times the vocabulary are looked at.
    Source: p-e-w 2024 (text-generation-webui, pull request 5677).
    """

    name = "dry"
    multiplier: float = 0.8
    base: float = 1.75
    allowed_length: int = 2
    last_n: int = -1
    breakers: tuple[str | int, ...] = BREAKERS

    def __post_init__(self) -> None:
        multiplier = number(
            "dry multiplier", self.multiplier, "a number >= 0 (0 is off)", 0, FINITE
        )
        base = number("dry base", self.base, "a number >= 1", 1.0, FINITE)
        length = integer("dry allowed_length", self.allowed_length, "an integer >= 1", 1)
        window = integer("dry last_n", self.last_n, "an integer >= -1 (-1 is all)", -1)
        values = self.breakers
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise SamplerError(f"dry breakers: expected texts or token ids, found {values!r}")
        found = tuple(values)
        for value in found:
            if not (isinstance(value, str) and value):
                integer("dry breakers", value, "texts or token ids >= 0", 0)
        object.__setattr__(self, "multiplier", multiplier)
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "allowed_length", length)
        object.__setattr__(self, "last_n", window)
        object.__setattr__(self, "breakers", found)

    def bound(self, vocabulary: Vocabulary) -> Dry:
        """Return the step with the ids of all tokens that contain one of the breakers."""
        texts = tuple(value for value in self.breakers if isinstance(value, str))
        if not texts:
            return self
        known = _BREAKER_IDS.setdefault(vocabulary, {})
        if texts not in known:
            parts = [text.encode() for text in texts]
            pieces = map(vocabulary.piece, range(vocabulary.n_embedded))
            known[texts] = tuple(
                i for i, piece in enumerate(pieces) if any(part in piece for part in parts)
            )
        ids = {value for value in self.breakers if not isinstance(value, str)}
        return replace(self, breakers=tuple(sorted(ids.union(known[texts]))))

    @property
    def breaker_ids(self) -> tuple[int, ...]:
        """The ids of the breakers; SamplerError where there are texts."""
        ids = tuple(value for value in self.breakers if not isinstance(value, str))
        if len(ids) < len(self.breakers):
            raise SamplerError(
                "dry: expected the token ids of its breakers, found texts, whose tokens only a "
                "session knows: give the chain to model.session(sampler=...)"
            )
        return ids

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the logits with those of tokens that would go on with a repetition lowered."""
        breakers = set(self.breaker_ids)
        if self.multiplier == 0.0 or self.last_n == 0:
            return logits
        tokens = recent(session, self.last_n, logits.size)[-4 * logits.size :].tolist()
        n = len(tokens)
        limit = next((i for i in range(n) if tokens[n - 1 - i] in breakers), n)
        lengths: dict[int, int] = {}
        for end in range(n - 1) if limit >= self.allowed_length else ():
            length = 0
            while (
                length <= end and length < limit and tokens[end - length] == tokens[n - 1 - length]
            ):
                length += 1
            if length >= self.allowed_length:
                token = tokens[end + 1]
                lengths[token] = max(lengths.get(token, 0), length)
        out = logits.copy()
        for token, length in lengths.items():
            if token not in breakers:
                with np.errstate(over="ignore", invalid="ignore"):
                    out[token] -= self.penalty(length)
        return out

    def penalty(self, length: int) -> np.float32:
        """Return what a token loses that would extend a repetition of `length` tokens."""
        power, factor, n = 1.0, self.base, length - self.allowed_length
        while n:
            if n & 1:
                power *= factor
            factor *= factor
            n >>= 1
        return np.float32(min(self.multiplier * power, FINITE))


# A chain is written with the words of the field: chain(top_k(8), temperature(0.7)).
dry = Dry
sequence_repetition = SequenceRepetition
