"""Typed answers: a constrained stream of pieces, and what they say so far and in the end."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from llmpy.errors import AnswerError

if TYPE_CHECKING:
    from llmpy.constraints import AnswerType, ConstraintState
    from llmpy.session.events import Piece, Stats
    from llmpy.session.transcript import Transcript

__all__ = ["Parsed", "parsing"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A typed answer, complete or partial.

    `value` is of the requested type once it is `complete`; before, it is the part of the JSON
    `text` generated so far, as dicts, lists and strings, or None. `probabilities` has the
    probability of each field by its JSON pointer ("/address/city"; "" for an answer without
    fields), and `probability` is that of the whole: under the model itself, before any sampler,
    among the tokens that the type allows. The answer has `n_tokens` tokens; for `n_forced` of them
    the type allowed no other. `stats` has the counts and times, None before the end.
    """

    value: T
    text: str
    complete: bool
    probabilities: dict[str, float]
    probability: float
    n_tokens: int
    n_forced: int
    stats: Stats | None = None


def parsing(
    transcript: Transcript,
    answer: AnswerType,
    state: ConstraintState,
    events: Generator[Piece],
    stats: Callable[[], Stats],
    *,
    partial: bool,
) -> Generator[Parsed[Any], None, Parsed[Any]]:
    """Give the answer as it grows where it may be `partial`, then whole; return it whole.

    `events` are the pieces of the stream that `state` constrains; `stats` returns the counts and
    times once they have ended. Raises AnswerError for an answer that did not become
    whole, and one that its type refuses.
    """
    from llmpy.constraints import partial_value

    reason, seen = "callback", ""
    tokens = transcript.sequence.tokens
    with closing(events):
        for piece in events:
            if piece.finish_reason is not None:
                reason = piece.finish_reason
            elif partial and piece.kind == "generated" and transcript.sequence.constraint is state:
                text = state.text(tokens).decode(errors="ignore")
                if text != seen:
                    seen = text
                    yield _parsed(transcript, state, text, partial_value(text), None)
    text = state.text(tokens).decode(errors="replace") if state.active else ""
    if reason != "end" or not state.active:
        raise AnswerError(_unfinished(reason, state.n_taken), text, reason)
    try:
        value = answer.value(text)
    except ValueError as error:
        raise AnswerError(f"the type refuses the answer: {error}", text, reason) from error
    whole = _parsed(transcript, state, text, value, stats())
    if partial:
        yield whole
    return whole


def _unfinished(reason: str, n: int) -> str:
    causes = {
        "length": "max_tokens was reached; allow more, or a shorter answer (maxLength, maxItems)",
        "context": "the context is full; load the model with a larger n_ctx, or ask for less",
        "cancelled": "it was cancelled",
        "stop": "a stop string came",
    }
    return f"the answer is not whole after {n} tokens: {causes.get(reason, reason)}"


def _parsed(
    transcript: Transcript, state: ConstraintState, text: str, value: Any, stats: Stats | None
) -> Parsed[Any]:
    logprobs = state.logprobs or []
    total = math.exp(math.fsum(logprobs))
    complete = stats is not None
    fields = _fields(transcript, state, text, logprobs)
    return Parsed(value, text, complete, fields, total, len(logprobs), state.n_forced, stats)


def _fields(
    transcript: Transcript, state: ConstraintState, text: str, logprobs: list[float]
) -> dict[str, float]:
    """The probability of each value without parts: of all tokens that it takes up first."""
    from llmpy.constraints import leaves

    places = leaves(text)
    ends = [leaf.end for leaf in places]
    sums = [0.0] * len(places)
    piece, end_ids = transcript.tokenizer.piece, transcript.tokenizer.end_ids
    at = 0
    tokens = transcript.sequence.tokens
    for token, logprob in zip(
        tokens.part(state.start, len(tokens)).tolist(), logprobs, strict=False
    ):
        raw = b"" if token in end_ids else piece(token)
        # Characters that begin in the token: a byte 10xxxxxx goes on with one.
        n = int(((np.frombuffer(raw, np.uint8) & 0xC0) != 0x80).sum())
        i = bisect_right(ends, at)
        if i < len(places) and places[i].start < at + max(n, 1):
            sums[i] += logprob
        at += n
    return {leaf.pointer: math.exp(x) for leaf, x in zip(places, sums, strict=True)}
