"""The answers of a chat, of which one at a time is generated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

from llmpy.chat.answer import Answer
from llmpy.session import Piece

__all__ = ["Turns"]


class Turns:
    """Gives the pieces of answers; `keep` takes each answer, whole or left early."""

    def __init__(self, keep: Callable[[Answer], None]) -> None:
        self._keep = keep
        self._beginning = threading.Lock()
        self._open: tuple[Answer, Generator[Piece]] | None = None  # what is generated

    def pieces(self, make: Callable[[], Answer]) -> Generator[Piece]:
        """Pieces of the answer that `make` returns when the first of them is asked for.

        An answer whose loop waits is ended and kept, as if its loop had been left; that loop then
        raises RuntimeError. So does this one where a piece of another answer is being computed.
        """
        with self._beginning:
            self._end()
            answer = make()
            pieces = answer.pieces()
            self._open = turn = (answer, pieces)
        failed = ended = complete = False
        try:
            for piece in pieces:
                ended = piece.kind == "end"
                complete = ended and piece.finish_reason != "cancelled"
                yield piece
            if not ended:
                raise RuntimeError(
                    "this chat began another answer before this one had ended. A chat gives one "
                    "answer at a time; make one for each: chat.fork(), model.chat()"
                )
        except Exception:  # but not when a loop is left, or the user interrupts
            failed = True
            raise
        finally:
            pieces.close()
            if self._open is turn:
                self._open = None
                if not failed and (complete or not answer.is_empty):
                    self._keep(answer)

    def end(self) -> None:
        """End the answer whose loop waits, and keep it; RuntimeError where it is being computed."""
        with self._beginning:
            self._end()

    def _end(self) -> None:
        """End the open answer, and keep what there is of it."""
        if self._open is None:
            return
        answer, pieces = self._open
        try:
            pieces.close()
        except ValueError:  # a generator that runs cannot be closed
            raise RuntimeError(
                "this chat is being answered in another thread or task. A chat gives one answer "
                "at a time; make one for each: chat.fork(), model.chat()"
            ) from None
        self._open = None
        if not answer.is_empty:
            self._keep(answer)
