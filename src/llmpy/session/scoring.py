"""The probability of a given text under a model, token by token."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmpy.sampling import chain
from llmpy.session.events import Logprobs

__all__ = ["Score", "scored"]


@dataclass(frozen=True, slots=True)
class Score:
    """The `tokens` of a text, and the log-probability of each token given those before it.

    `logprobs` has an entry for each token; it is None for the first token of a text without a
    begin-of-text token.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[Logprobs | None, ...]

    @property
    def total(self) -> float:
        """Log-probability of the text: the sum over its tokens."""
        return math.fsum(one.chosen for one in self.logprobs if one is not None)

    @property
    def mean(self) -> float:
        """Mean log-probability of a token; 0 if there is none."""
        n = sum(one is not None for one in self.logprobs)
        return self.total / n if n else 0.0

    @property
    def perplexity(self) -> float:
        """Perplexity, exp(-mean)."""
        return math.exp(-self.mean)


def scored(
    rows: Iterable[NDArray[np.float32]], tokens: list[int], n_before: int, top: int
) -> Score:
    """Return the score of `tokens`, from `rows` of logits; the last ones are for them.

    `n_before`: how many tokens of the rows' text come before them.
    """
    read, found = chain(), list[Logprobs | None]()
    if not n_before:
        found.append(None)
    for part in rows:
        for row in part:
            token = tokens[len(found)]
            best, total = read.top(row, top)
            found.append(Logprobs(float(row[token]) - total, tuple(best)))
    return Score(tuple(tokens), tuple(found))
