"""The pieces of a stream: those of the prompt, the generated ones, and the end."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from llmpy import checks
from llmpy.session.events import FinishReason, Piece
from llmpy.session.stop import StopStrings

if TYPE_CHECKING:
    from llmpy.session.session import Session

__all__ = ["pieces"]


def pieces(
    session: Session,
    prompt: str | Sequence[int],
    observed: bool,
    *,
    max_tokens: int | None,
    stop: str | Iterable[str],
    logprobs: int | None,
    special: bool,
    bos: bool | None,
) -> Generator[Piece]:
    """See `Session.stream`; not `observed`: without the generated pieces.

    Those are said several in one go where that is possible.
    """
    if max_tokens is not None:
        max_tokens = checks.whole("max_tokens", max_tokens, 0, sys.maxsize)
    if logprobs is not None:
        logprobs = checks.whole("logprobs", logprobs, 0)
    stops = StopStrings(stop)
    ids = session._encode(prompt, special, bos)
    session._check_room(len(ids))
    return _stream(session, ids, max_tokens, stops, logprobs, observed)


def _stream(
    session: Session,
    ids: list[int],
    max_tokens: int | None,
    stops: StopStrings,
    logprobs: int | None,
    observed: bool,
) -> Generator[Piece]:
    yield from _stream_prompt(session, ids, go_on=max_tokens != 0)
    end_ids, n, end = session._model.tokenizer.end_ids, 0, None
    history, n_ctx = session._history, session.n_ctx
    in_one_go = not observed and not stops.strings
    reason: FinishReason | None = None
    while reason is None:
        before, n_before = len(history), session.n_said
        left = max(1, n_ctx - before) if max_tokens is None else max_tokens - n
        if max_tokens is not None and left <= 0:
            reason = "length"
        elif before >= n_ctx and not session.makes_room:
            reason = "context"
        else:
            token, found, text = session._next(logprobs, left if in_one_go else 1)
            n += session.n_said - n_before
            if token in end_ids:
                reason, end = "end", token
            else:
                shown = stops.add(text)
                if observed:
                    yield Piece(shown, token, "generated", found)
                if stops.found:
                    reason = "stop"
    rest = stops.rest()
    if reason != "stop":
        rest += session._decoder.flush()
    yield Piece(rest, end, "end", finish_reason=reason)


def _stream_prompt(session: Session, ids: list[int], go_on: bool) -> Iterator[Piece]:
    """`go_on`: a token comes next, so the end of the prompt is read when its logits are due."""
    start, said = len(session), 0
    try:
        for chunk in session._chunks(ids):
            session._say(chunk, read=not go_on or said + len(chunk) < len(ids))
            for token in chunk:
                said += 1
                yield Piece(session._decoder(token), token, "prompt")
    finally:
        if session._state is not None and start + said < len(session):
            session.rewind(start + said)
