"""The sums of one inference."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

from llmpy.session.events import FinishReason, Piece, Stats

if TYPE_CHECKING:
    from llmpy.session.transcript import Transcript

__all__ = ["Tally"]


class Tally:
    """Counts and times of one inference, from its pieces."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._before = dict(transcript.clock)
        self._start, self._n_found = transcript.n_appended, transcript.n_found
        self._n_prompt = 0
        self._reason: FinishReason = "callback"

    def add(self, piece: Piece) -> None:
        """Count a piece."""
        self._n_prompt += piece.kind == "prompt"
        if piece.finish_reason is not None:
            self._reason = piece.finish_reason

    def counted(self, events: Generator[Piece]) -> Generator[Piece]:
        """The pieces, each counted."""
        with closing(events):
            for piece in events:
                self.add(piece)
                yield piece

    def stats(self) -> Stats:
        """The sums so far."""
        transcript = self._transcript
        times = {name: transcript.clock[name] - t for name, t in self._before.items()}
        n = transcript.n_appended - self._start - self._n_prompt
        return Stats(
            self._n_prompt,
            times["prompt"],
            n,
            times["generate"],
            self._reason,
            n_cached=transcript.n_found - self._n_found,
        )
