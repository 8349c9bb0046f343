"""The open loop: the logits of each next token, and whoever wants to chooses from them."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import checks
from llmpy.session.asynchronous import user
from llmpy.session.banned import next_allowed
from llmpy.session.overflow import Overflow
from llmpy.session.token_options import TokenOptions
from llmpy.session.transcript import OpenStream, Transcript

__all__ = ["Step", "steps"]

LOGITS = TokenOptions(logprobs=0)  # of the engine: a row of logits, and no token drawn from it


class Step:
    """The choice of the next token of a session: `logits`, float32 [n_vocab].

    `logits` is valid until a token is chosen; it is the row itself, not a copy, and may be changed.
    `choose(token)` appends a token, and `sample()` appends one drawn by the session's sampler; then
    `token` is its id, and `text` the text that it completes.
    """

    __slots__ = ("_stream", "_transcript", "_viewer", "logits", "text", "token")

    def __init__(
        self, transcript: Transcript, viewer: Any, stream: OpenStream, logits: NDArray[np.float32]
    ) -> None:
        self.logits = logits
        self.token: int | None = None
        self.text = ""
        self._transcript = transcript
        self._viewer = viewer
        self._stream = stream

    def choose(self, token: int) -> str:
        """Append this token, whatever its logit is, and return the text that it completes."""
        n_vocab = len(self.logits)
        (checked,) = checks.token_ids("token", (token,), n_vocab)
        self._begin()
        try:
            self.text, self.token = self._transcript.add(checked), checked
        finally:
            self._transcript.end()
        return self.text

    def sample(self) -> int:
        """Sample a token from `logits` with the session's sampler, append it, and return its id.

        Raises SamplerError if the logits cannot be used; nothing is appended then.
        """
        self._begin()
        transcript = self._transcript
        try:
            drawn = transcript.sample(self.logits, self._viewer, in_place=False)
            drawn = next_allowed(transcript, self._viewer, drawn)
            self.text, self.token = drawn.text, drawn.token
        finally:
            transcript.end()
        return self.token

    def top(self, n: int) -> list[tuple[int, float]]:
        """Return the `n` most likely tokens of `logits` and their log-probabilities, best first."""
        checks.whole("n", n, 0)
        return self._transcript.chain.top(self.logits, n)[0]

    def _begin(self) -> None:
        if self.token is not None:
            raise ValueError(f"this step has its token, {self.token}: ask for the next step")
        self._transcript.begin(self._stream)

    def __repr__(self) -> str:
        return f"<llmpy.Step: {len(self.logits)} logits, token {self.token}>"


def steps(
    transcript: Transcript,
    viewer: Any,
    prompt: str | Sequence[int],
    *,
    max_tokens: int | None,
    special: bool,
    bos: bool | None,
) -> Generator[Step]:
    """See `Session.steps`."""
    if max_tokens is not None:
        max_tokens = checks.whole("max_tokens", max_tokens, 0, sys.maxsize)
    transcript.begin()
    try:
        ids = transcript.prepare(prompt, special, bos)
    finally:
        transcript.end()
    return _steps(transcript, viewer, ids, max_tokens)


def _steps(
    transcript: Transcript, viewer: Any, ids: list[int], max_tokens: int | None
) -> Generator[Step]:
    transcript.begin()
    try:
        transcript.make_room(len(ids))
        stream = transcript.open_stream(len(transcript.sequence))  # where an error goes back to
        transcript.append(ids, prefill=False)
        for token in ids:
            transcript.decoder(token)
    finally:
        transcript.end()
    n, full = 0, transcript.engine.n_ctx
    try:
        while max_tokens is None or n < max_tokens:
            if len(transcript.sequence) >= full and transcript.overflow is Overflow.ERROR:
                break
            transcript.begin(stream)
            try:
                transcript.check_next()
                work = transcript.request(LOGITS)
                transcript.engine.run((work,))
                step = Step(transcript, viewer, stream, transcript.logits(work))
            finally:
                transcript.end()
            stream.n_shown, stream.thread = None, user()
            yield step
            transcript.check_stream(stream)
            if step.token is None:
                raise ValueError("steps: expected step.choose() or step.sample(), found neither")
            n += 1
            if step.token in transcript.tokenizer.end_ids:
                break
        stream.n_shown = None
    finally:
        transcript.close_stream(stream)
