"""A state of a session to go back to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmpy.errors import SessionClosed
from llmpy.process import ProcessBound

if TYPE_CHECKING:
    from llmpy.engine import Engine
    from llmpy.session.transcript import Past

__all__ = ["Mark"]


class Mark(ProcessBound):
    """A saved state of a session, made by `Session.mark`: its tokens and its share of the KV cache.

    The cache pages stay allocated until the mark is closed.

    `len()` is the number of tokens.
    """

    def __init__(self, engine: Engine, past: Past) -> None:
        self._engine = engine
        self._past = past

    @property
    def tokens(self) -> list[int]:
        """The token ids that the session held (a copy)."""
        return self._past.sequence.tokens.tolist()

    def __len__(self) -> int:
        return len(self._past.sequence.tokens)

    def past_of(self, engine: Engine) -> Past:
        """Return the state that a session of `engine` rewinds to; for internal use."""
        if engine is not self._engine:
            raise ValueError("rewind_to: expected a mark of a session of the same model")
        if self._past.sequence.cache is None:
            raise SessionClosed("this mark is closed; make another with session.mark()")
        return self._past

    def close(self) -> None:
        """Release the memory that the mark holds."""
        self._engine.release(self._past.sequence)

    def __enter__(self) -> Mark:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<llmpy.Mark: {len(self)} tokens>"

    def _how_to_copy(self) -> str:
        return "another process feeds these `tokens` to a session of its own"
