"""An answer as plain text: for pipes and files, and for terminals that can do no more."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from llmpy.cli.terminal import for_terminal

if TYPE_CHECKING:
    import llmpy

__all__ = ["PlainDisplay"]


class PlainDisplay:
    """Writes the answer to `out` as it comes, and thinking to `err`; None: it is not written."""

    def __init__(self, out: IO[str] | None, err: IO[str] | None) -> None:
        self._out = out
        self._err = err
        self._last: IO[str] | None = None

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *exception: object) -> None:
        self._line_end(None)

    def progress(self, n_read: int, total: int) -> None:
        """Nothing is shown while a prompt is read."""

    def show(self, piece: llmpy.Piece) -> None:
        """Write one piece."""
        stream = {"thinking": self._err, "generated": self._out}.get(piece.kind)
        if stream is not None and piece.text:
            self._line_end(stream)
            self._write(stream, for_terminal(piece.text, stream))

    def _line_end(self, stream: IO[str] | None) -> None:
        """End the line where another stream goes on, or none."""
        if self._last is not None and stream is not self._last:
            self._write(self._last, "\n")
        self._last = stream

    def _write(self, stream: IO[str], text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            if stream is self._out:
                raise
            self._err = None  # nobody reads the thinking, and the answer goes on
