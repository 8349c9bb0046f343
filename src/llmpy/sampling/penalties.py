"""Steps that lower the logits of tokens that came already, and biases of single tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmpy.errors import SamplerError
from llmpy.sampling.step import FINITE, TINY, BuiltIn, Vocabulary, integer, number, recent
from llmpy.sampling.weights import MAX_VOCAB, Logits

__all__ = [
    "Frequency",
    "IgnoreEos",
    "LogitBias",
    "Presence",
    "Repetition",
    "frequency",
    "ignore_eos",
    "logit_bias",
    "presence",
    "repetition",
]


@dataclass(frozen=True)
class _Penalty(BuiltIn):
    """A penalty on the last `last_n` ids of `session.tokens` (0: none of them, -1: all)."""

    penalty: float
    last_n: int = 64

    def __post_init__(self) -> None:
        name = type(self).__name__.lower()
        positive = isinstance(self, Repetition)
        expected = "a number > 0 (1 is off)" if positive else "a finite number (0 is off)"
        low = TINY if positive else -FINITE
        object.__setattr__(
            self, "penalty", number(f"{name} penalty", self.penalty, expected, low, FINITE)
        )
        window = integer(f"{name} last_n", self.last_n, "an integer >= -1 (-1 is all)", -1)
        object.__setattr__(self, "last_n", window)

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Return the logits with those of recent tokens lowered."""
        ids, counts = np.unique(
            recent(session, self.last_n, logits.size) if self.last_n else [], return_counts=True
        )
        out = logits.copy()
        ids = ids.astype(np.intp)
        with np.errstate(over="ignore"):
            out[ids] = self._lowered(out[ids], counts.astype(np.float32))
        return out

    def _lowered(self, logits: Logits, counts: npt.NDArray[np.float32]) -> Logits:
        raise NotImplementedError


@dataclass(frozen=True)
class Repetition(_Penalty):
    """Divide the positive and multiply the negative logits of recent tokens by `penalty`.

    It applies once to each token, however often it occurred. Source: CTRL (Keskar et al. 2019),
    with negative logits as in transformers and llama.cpp.
    """

    name = "repetition"

    def _lowered(self, logits: Logits, counts: npt.NDArray[np.float32]) -> Logits:  # noqa: ARG002
        penalty = np.float32(self.penalty)
        return np.where(logits > 0, logits / penalty, logits * penalty)


@dataclass(frozen=True)
class Frequency(_Penalty):
    """Subtract `penalty` from a recent token's logit for each occurrence, as OpenAI does."""

    name = "frequency"

    def _lowered(self, logits: Logits, counts: npt.NDArray[np.float32]) -> Logits:
        return logits - counts * np.float32(self.penalty)


@dataclass(frozen=True)
class Presence(_Penalty):
    """Subtract `penalty` once from each recent token's logit, as OpenAI does."""

    name = "presence"

    def _lowered(self, logits: Logits, counts: npt.NDArray[np.float32]) -> Logits:  # noqa: ARG002
        return logits - np.float32(self.penalty)


@dataclass(frozen=True, init=False)
class LogitBias(BuiltIn):
    """Add to the logits of given tokens: `{id: bias}` or `{text: bias}`; -inf forbids a token.

    A text stands for the one token that it is, with the space before it if there is one: `" yes"`.
    """

    name = "logit-bias"
    entries: tuple[tuple[int | str, float], ...]

    def __init__(self, bias: Mapping[int | str, float] | Mapping[int, float]) -> None:
        if not isinstance(bias, Mapping):
            raise SamplerError(f"logit_bias: expected a mapping of ids to numbers, found {bias!r}")
        entries: list[tuple[int | str, float]] = []
        for key, value in bias.items():
            token: int | str = key if isinstance(key, str) and key else _token(key)
            expected = "a finite number or -inf"
            if value != -math.inf:
                number(f"logit_bias of token {token!r}", value, expected, -FINITE, FINITE)
            entries.append((token, float(value)))
        ordered = sorted(entries, key=lambda entry: (isinstance(entry[0], str), entry[0]))
        object.__setattr__(self, "entries", tuple(ordered))

    def bound(self, vocabulary: Vocabulary) -> LogitBias:
        """Return the step with the ids of its texts; SamplerError for a text of several tokens."""
        if not any(isinstance(token, str) for token, _ in self.entries):
            return self
        bias: dict[int, float] = {}
        for token, value in self.entries:
            if isinstance(token, str):
                ids = vocabulary.encode(token, bos=False, start=False)
                if len(ids) != 1:
                    parts = [vocabulary.piece(i).decode("utf-8", "replace") for i in ids]
                    raise SamplerError(
                        f"logit_bias of {token!r}: expected a text of one token, found {len(ids)}: "
                        f"{parts}; give the ids, or forbid a longer text with banned_strings"
                    )
                token = ids[0]
            bias[token] = bias.get(token, 0.0) + value
        return LogitBias(bias)

    def arrays(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the ids, ascending, and their biases; SamplerError where there are texts."""
        numbers = [(token, bias) for token, bias in self.entries if not isinstance(token, str)]
        if len(numbers) < len(self.entries):
            raise SamplerError(
                f"logit_bias of {self.entries[-1][0]!r}: expected token ids, found a text, whose "
                "tokens only a session knows: give the chain to model.session(sampler=...)"
            )
        ids = np.array([token for token, _ in numbers], np.int32)
        return ids, np.array([bias for _, bias in numbers], np.float32)

    def __call__(self, logits: Logits, session: Any) -> Logits:  # noqa: ARG002
        """Return the logits with the biases added. SamplerError for an id beyond the vocabulary."""
        ids, biases = self.arrays()
        for token in ids[-1:]:
            if token >= logits.size:
                raise SamplerError(
                    f"logit_bias: expected ids below n_vocab = {logits.size}, found {token}"
                )
        out = logits.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            out[ids] += biases
        return out


def _token(key: Any) -> int:
    token = integer("logit_bias", key, "token ids >= 0 or texts", 0)
    if token >= MAX_VOCAB:
        raise SamplerError(f"logit_bias: expected ids below {MAX_VOCAB}, found {token}")
    return token


@dataclass(frozen=True)
class IgnoreEos(BuiltIn):
    """Forbid all end-of-text tokens, so that generation continues."""

    name = "ignore-eos"

    def bound(self, vocabulary: Vocabulary) -> LogitBias | None:
        """Return the bias that forbids the end tokens of a vocabulary."""
        ends = dict.fromkeys(vocabulary.end_ids, -math.inf)
        return LogitBias(ends) if ends else None

    def __call__(self, logits: Logits, session: Any) -> Logits:
        """Raise SamplerError: only a session knows the tokens."""
        del logits, session
        raise SamplerError(
            "ignore_eos: expected a vocabulary, found none: give the chain to "
            "model.session(sampler=...)"
        )


# A chain is written with the words of the field: chain(top_k(8), temperature(0.7)).
frequency = Frequency
ignore_eos = IgnoreEos
logit_bias = LogitBias
presence = Presence
repetition = Repetition
