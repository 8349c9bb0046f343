"""The pieces of a stream: those of the prompt, the generated ones, and the end."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

from llmpy import checks
from llmpy.errors import Cancelled, ContextFull
from llmpy.session.asynchronous import user
from llmpy.session.events import FinishReason, Piece
from llmpy.session.overflow import Overflow
from llmpy.session.stop import StopStrings
from llmpy.session.transcript import OpenStream, Transcript, n_same

__all__ = ["editing", "feeding", "pieces"]


def pieces(
    transcript: Transcript,
    viewer: Any,
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

    Those are said several in one go where that is possible. Samplers in Python see `viewer`.
    """
    if max_tokens is not None:
        max_tokens = checks.whole("max_tokens", max_tokens, 0, sys.maxsize)
    if logprobs is not None:
        logprobs = checks.whole("logprobs", logprobs, 0)
    stops = StopStrings(stop)
    transcript.begin()
    try:
        transcript.sequence.limits.cancelled = False
        ids = transcript.encode(prompt, special, bos)
        transcript.make_room(len(ids))
    finally:
        transcript.end()
    return _stream(transcript, viewer, ids, max_tokens, stops, logprobs, observed)


def _stream(
    transcript: Transcript,
    viewer: Any,
    ids: list[int],
    max_tokens: int | None,
    stops: StopStrings,
    logprobs: int | None,
    observed: bool,
) -> Generator[Piece]:
    stream = _opened(transcript, len(ids))
    reason: FinishReason | None = None
    end, end_ids = None, transcript.tokenizer.end_ids
    begin, take, finish = transcript.begin, transcript.next, transcript.end
    try:
        try:
            yield from _stream_prompt(transcript, stream, ids, go_on=max_tokens != 0)
            n = 0
            in_one_go = not observed and not stops.strings
            while reason is None:
                left, reason = _left(transcript, max_tokens, n)
                if reason is not None:
                    break
                n_before = transcript.n_said
                begin(stream)
                try:
                    token, found, text = take(viewer, logprobs, left if in_one_go else 1)
                finally:
                    finish()
                n += transcript.n_said - n_before if in_one_go else 1
                if token in end_ids:
                    reason, end = "end", token
                else:
                    shown = stops.add(text)
                    if observed:
                        stream.thread = user()
                        yield Piece(shown, token, "generated", found)
                        if transcript.stream is not stream:
                            transcript.check_stream(stream)
                    if stops.found:
                        reason = "stop"
        except Cancelled:
            reason = "cancelled"
        rest = stops.rest()
        if reason != "stop":
            rest += transcript.decoder.flush()
    finally:
        transcript.close_stream(stream)
    yield Piece(rest, end, "end", finish_reason=reason)


def _opened(transcript: Transcript, n: int) -> OpenStream:
    """The stream of a prompt of `n` tokens, which fit."""
    transcript.begin()
    try:
        transcript.make_room(n)
        return transcript.open_stream(len(transcript.sequence))
    finally:
        transcript.end()


def _left(
    transcript: Transcript, max_tokens: int | None, n: int
) -> tuple[int, FinishReason | None]:
    """How many tokens may be generated after `n`, or the reason why none."""
    before, n_ctx = transcript.sequence.tokens.length, transcript.engine.n_ctx
    left = max(1, n_ctx - before) if max_tokens is None else max_tokens - n
    if left <= 0:
        return left, "length"
    if before >= n_ctx and transcript.overflow is Overflow.ERROR:
        return left, "context"
    return left, None


def _stream_prompt(
    transcript: Transcript, stream: OpenStream, ids: list[int], go_on: bool
) -> Iterator[Piece]:
    """`go_on`: a token comes next, so the end of the prompt is read when its logits are due."""
    said = 0
    for chunk in transcript.chunks(ids):
        transcript.begin(stream)
        try:
            transcript.say(chunk, read=not go_on or said + len(chunk) < len(ids))
        finally:
            transcript.end()
        for token in chunk:
            said += 1
            assert stream.n_shown is not None
            stream.n_shown += 1
            stream.thread = user()
            yield Piece(transcript.decoder(token), token, "prompt")
            transcript.check_stream(stream)
    stream.n_shown = None  # nothing is held back from here on
    transcript.expect(None)


def feeding(
    transcript: Transcript, prompt: str | Sequence[int], special: bool, bos: bool | None
) -> Generator[None, None, int]:
    """Say the prompt, a batch at a time, and return how many tokens that were.

    Closed in between, or cancelled, all of it is taken back.
    """
    transcript.begin()
    try:
        transcript.sequence.limits.cancelled = False
        ids = transcript.encode(prompt, special, bos)
        transcript.make_room(len(ids))
        stream = transcript.open_stream(len(transcript.sequence))
    finally:
        transcript.end()
    yield from _read(transcript, stream, ids)
    return len(ids)


def editing(
    transcript: Transcript,
    at: int,
    prompt: str | Sequence[int],
    end: int | None,
    special: bool,
) -> Generator[None, None, int]:
    """See `Session.edit`. Closed in between, cancelled or failed, nothing has changed."""
    transcript.begin()
    try:
        transcript.sequence.limits.cancelled = False
        kept, ids = _edited(transcript, at, prompt, end, special)
        stream = transcript.open_stream(None, transcript.past())
        try:
            transcript.rewind(kept)
            transcript.make_room(len(ids))
        except BaseException:
            transcript.close_stream(stream)
            raise
    finally:
        transcript.end()
    yield from _read(transcript, stream, ids)
    return len(ids)


def _edited(
    transcript: Transcript, at: int, prompt: str | Sequence[int], end: int | None, special: bool
) -> tuple[int, list[int]]:
    """How many tokens an edit leaves as they are, and those that come after them."""
    tokens, n_ctx = transcript.sequence.tokens.tolist(), transcript.engine.n_ctx
    n = len(tokens)
    end = n if end is None else checks.whole("end", end, 0)
    if not checks.whole("at", at, 0) <= end <= n:
        raise ValueError(f"edit: expected 0 <= at <= end <= {n} tokens, found {at} and {end}")
    nothing = len(prompt) == 0 and (at > 0 or end < n)
    ids = [] if nothing else transcript.encode(prompt, special, at=at)
    ids += tokens[end:]
    if at + len(ids) > n_ctx and transcript.overflow is Overflow.ERROR:
        raise ContextFull(n_ctx, at + len(ids))
    same = n_same(tokens[at:], ids)
    return at + same, ids[same:]


def _read(transcript: Transcript, stream: OpenStream, ids: list[int]) -> Generator[None]:
    """Say `ids`, a batch at a time; the end of `stream` takes back what was cut short."""
    try:
        for chunk in transcript.chunks(ids):
            transcript.begin(stream)
            try:
                transcript.say(chunk)
            finally:
                transcript.end()
            for token in chunk:
                transcript.decoder(token)
            stream.thread = user()
            yield
        stream.n_shown = stream.before = None
    except (GeneratorExit, Cancelled):
        raise
    except BaseException:
        stream.n_shown = None
        raise
    finally:
        transcript.close_stream(stream)
        transcript.expect(None)
