"""The pieces of a stream: those of the prompt, the generated ones, and the end."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llmpy import checks
from llmpy.errors import Cancelled, ContextFull
from llmpy.session.asynchronous import user
from llmpy.session.events import FinishReason, Piece
from llmpy.session.overflow import Overflow
from llmpy.session.stop import StopStrings
from llmpy.session.token_options import Generated, TokenOptions
from llmpy.session.transcript import OpenStream, Transcript, n_same

if TYPE_CHECKING:
    from llmpy.constraints import ConstraintState

__all__ = ["editing", "feeding", "pieces"]

EXPLAINED = 5  # candidates around each step, where no other number is given


def pieces(
    transcript: Transcript,
    viewer: Any,
    prompt: str | Sequence[int],
    observed: bool,
    *,
    max_tokens: int | None,
    stop: str | Iterable[str],
    logprobs: int | None,
    explain: bool | int,
    special: bool,
    bos: bool | None,
    constrain: Any = None,
) -> Generator[Piece]:
    """See `Session.stream`; not `observed`: without the generated pieces.

    These are generated several in one call where that is possible. Samplers in Python see `viewer`.
    """
    if max_tokens is not None:
        max_tokens = checks.whole("max_tokens", max_tokens, 0, sys.maxsize)
    if logprobs is not None:
        logprobs = checks.whole("logprobs", logprobs, 0)
    if isinstance(explain, bool):
        explain = EXPLAINED if explain else 0
    options = TokenOptions(logprobs, checks.whole("explain", explain, 0))
    stops = StopStrings(stop)
    state = None if constrain is None else _state(transcript, constrain)
    transcript.begin()
    try:
        ids = transcript.prepare(prompt, special, bos)
    finally:
        transcript.end()
    return _stream(transcript, viewer, ids, max_tokens, stops, options, observed, state)


def _state(transcript: Transcript, constrain: Any) -> ConstraintState:
    from llmpy.constraints import constraint_state  # which takes a while to import

    return constraint_state(constrain, transcript.tokenizer)


class _Generation:
    """The tokens after the prompt, one step at a time, until there is a `reason` to end."""

    def __init__(
        self,
        transcript: Transcript,
        viewer: Any,
        options: TokenOptions,
        max_tokens: int | None,
        in_one_go: bool,
    ) -> None:
        self.reason: FinishReason | None = None
        self.end: int | None = None
        self._transcript = transcript
        self._viewer = viewer
        self._options = options
        self._max_tokens = max_tokens
        self._banned = transcript.banned.new()
        self._in_one_go = in_one_go and not self._banned
        self._n = 0

    @property
    def n_held(self) -> int:
        """The number of appended tokens that may still be taken back."""
        return len(self._banned.held)

    def step(self, stream: OpenStream) -> list[Generated]:
        """Return the tokens that came: one, or none yet, or those that were held back."""
        transcript = self._transcript
        if transcript.is_complete:
            self.reason = "end"
            return self._banned.rest()
        left, self.reason = _left(transcript, self._max_tokens, self._n)
        if self.reason is not None:
            return self._banned.rest()
        n_before = transcript.n_appended
        transcript.begin(stream)
        try:
            came = self._next(left if self._in_one_go else 1)
        finally:
            transcript.end()
        self._n += transcript.n_appended - n_before
        if came and came[-1].token in transcript.tokenizer.end_ids:
            self.reason, self.end = "end", came[-1].token
            came.pop()
        return came

    def _next(self, most: int) -> list[Generated]:
        transcript, banned = self._transcript, self._banned
        if not banned:
            return [transcript.next(self._viewer, self._options, most)]
        n = transcript.n_appended  # which does not change where the context is full
        options = self._options.without(banned.forbidden(n))
        one = transcript.next(self._viewer, options)
        if one.token in transcript.tokenizer.end_ids:
            return [*banned.rest(), one]
        back = banned.add(n, one)
        if back is None:
            return banned.shown()
        transcript.rewind(max(0, back - transcript.n_left_out))
        return []


def _stream(
    transcript: Transcript,
    viewer: Any,
    ids: list[int],
    max_tokens: int | None,
    stops: StopStrings,
    options: TokenOptions,
    observed: bool,
    state: ConstraintState | None,
) -> Generator[Piece]:
    in_one_go = not observed and not stops.strings
    generation = _Generation(transcript, viewer, options, max_tokens, in_one_go)
    stream = _opened(transcript, len(ids), state)
    n_start, n_out = len(transcript.sequence), transcript.n_left_out
    try:
        try:
            yield from _stream_prompt(transcript, stream, ids, go_on=max_tokens != 0)
            while generation.reason is None:
                came = generation.step(stream)
                for i, one in enumerate(came, 1):
                    shown = stops.add(one.text)
                    if observed:
                        stream.thread = user()
                        n_held = generation.n_held + len(came) - i
                        stream.n_shown = len(transcript.sequence) - n_held if n_held else None
                        yield Piece(shown, one.token, "generated", one.logprobs, None, one.stages)
                        if transcript.stream is not stream:
                            transcript.check_stream(stream)
                    if stops.found:
                        generation.reason = "stop"
                        break
        except Cancelled:
            generation.reason = "cancelled"  # and what was not shown is removed
        else:
            stream.n_shown = None
        rest = stops.rest()
        if generation.reason != "stop":
            rest += transcript.decoder.flush()
    except Exception:
        if transcript.n_left_out == n_out:
            stream.n_shown = n_start  # the session as it was
        raise
    finally:
        transcript.close_stream(stream)
    yield Piece(rest, generation.end, "end", finish_reason=generation.reason)


def _opened(transcript: Transcript, n: int, state: ConstraintState | None) -> OpenStream:
    """The stream of a prompt of `n` tokens, which fit, with a constraint of its own if any."""
    transcript.begin()
    try:
        transcript.make_room(n)
        stream = transcript.open_stream(len(transcript.sequence))
        if state is not None:
            transcript.constrain(stream, state)
        return stream
    finally:
        transcript.end()


def _left(
    transcript: Transcript, max_tokens: int | None, n: int
) -> tuple[int, FinishReason | None]:
    """Return how many tokens may be generated after `n`, or the reason why none."""
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
    n_appended = 0
    for chunk in transcript.chunks(ids):
        transcript.begin(stream)
        try:
            more = n_appended + len(chunk) < len(ids)
            transcript.append(chunk, prefill=more or not go_on, more=more)
        finally:
            transcript.end()
        for token in chunk:
            n_appended += 1
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
    """Append the prompt, a batch at a time, and return its number of tokens.

    Closed in between, or cancelled, all of it is removed again.
    """
    transcript.begin()
    try:
        ids = transcript.prepare(prompt, special, bos)
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
    """Return how many tokens an edit leaves as they are, and those that come after them."""
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
    """Append `ids`, a batch at a time; the end of `stream` removes what was cut short."""
    n_appended = 0
    try:
        for chunk in transcript.chunks(ids):
            n_appended += len(chunk)
            transcript.begin(stream)
            try:
                transcript.append(chunk, more=n_appended < len(ids))
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
