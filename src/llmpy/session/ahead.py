"""Reading ahead: tokens that will probably come next are prefilled while somebody still types.

They are computed in a second sequence, which shares the session's KV cache. The session itself does
not change and may be used; once these tokens are appended, it takes over what was computed of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from llmpy import checks
from llmpy.backends.base import PAGE_TOKENS
from llmpy.engine import Work
from llmpy.errors import SessionClosed
from llmpy.process import ProcessBound

if TYPE_CHECKING:
    from llmpy.engine import Engine
    from llmpy.engine import Sequence as TokenSequence
    from llmpy.session.transcript import Transcript

__all__ = ["Continuation", "ReadAhead"]

# Of the tokens that were read ahead: how many stay, and which come after them.
Continuation = Callable[[list[int]], tuple[int, list[int]]]


class _Reader:
    """Computes in a thread what a sequence will hold; the thread lasts while there is work.

    What fails here is not told: it fails again where the session itself does it.
    """

    def __init__(self, engine: Engine, sequence: TokenSequence) -> None:
        self._engine = engine
        self.sequence = sequence
        self._lock = threading.Lock()
        self._next: Continuation | None = None
        self._stopped = False
        self._idle = threading.Event()
        self._idle.set()

    def submit(self, continuation: Continuation) -> None:
        """Compute this from now on, in place of what was submitted before."""
        with self._lock:
            self._next = continuation
            if self._idle.is_set():
                self._idle.clear()
                threading.Thread(target=self._run, name="llmpy-draft").start()

    def stop(self) -> None:
        """End after the step that runs; see `wait`."""
        self._stopped = True
        self.sequence.limits.cancelled = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is read, or it has stopped; False if that took longer."""
        return self._idle.wait(timeout)

    def _run(self) -> None:
        while True:
            with self._lock:
                continuation, self._next = self._next, None
                if continuation is None or not self._goes_on():
                    self._idle.set()
                    return
            with suppress(Exception):
                self._read(continuation)

    def _goes_on(self) -> bool:
        """Neither stopped, nor is the program about to end, which waits for its threads."""
        return not self._stopped and threading.main_thread().is_alive()

    def _read(self, continuation: Continuation) -> None:
        """Compute all but the last token, as `Session.feed` does."""
        engine, sequence = self._engine, self.sequence
        kept, ids = continuation(sequence.tokens.tolist())
        if kept < len(sequence):
            engine.truncate(sequence, kept)
        sequence.append(ids[: max(0, engine.n_ctx - kept)])
        last = len(sequence) - 1
        while sequence.n_cached < last and self._next is None and self._goes_on():
            end = min(last, sequence.n_cached + PAGE_TOKENS)  # then it looks for news
            work = Work(sequence, end, end, end)
            engine.run((work,))
            if work.error is not None:
                raise work.error


class ReadAhead(ProcessBound):
    """A text that is prefilled in the background while it is being typed.

    Subclasses define which tokens are final, and what is done with the text at the end.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._text = ""
        self._closed = False
        engine = transcript.engine
        with engine.lock:
            transcript.begin(transcript.stream)  # which may go on
            try:
                sequence = engine.fork(transcript.sequence, None, None, None)
            finally:
                transcript.end()
        sequence.limits.priority -= 1  # behind what somebody waits for
        self._reader = _Reader(engine, sequence)

    @property
    def text(self) -> str:
        """The text so far."""
        return self._text

    @property
    def n_read(self) -> int:
        """Number of computed tokens, including those before the text."""
        return self._reader.sequence.n_cached

    def update(self, text: str) -> None:
        """Set the text as it is now, and return at once.

        Tokens that cannot change any more, whatever is typed next, are computed in the background,
        at a lower priority than other calls. When the text changes, the tokens before the change
        are kept.
        """
        checks.text("text", text)
        if self._closed:
            raise SessionClosed("this draft was committed or closed; make another one")
        self._text = text
        self._reader.submit(self._continuation(text))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all final tokens of the text are computed; return False after the timeout."""
        return self._reader.wait(timeout)

    def close(self) -> None:
        """Discard the draft; the session does not change."""
        self._finished()
        self._reader.wait()
        self._transcript.engine.release(self._reader.sequence)

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._closed:
            self.close()

    def __repr__(self) -> str:
        return f"<llmpy.{type(self).__name__}: {len(self._text)} characters>"

    def _continuation(self, text: str) -> Continuation:
        """Return the tokens that are certain for this text; called in the reader's thread."""
        raise NotImplementedError

    def _finished(self, text: str | None = None) -> str:
        """The whole text, of which no more will be read ahead."""
        if self._closed:
            raise SessionClosed("this draft was committed or closed; make another one")
        if text is not None:
            self._text = checks.text("text", text)
        self._closed = True
        self._reader.stop()
        return self._text

    def _hand_over(self) -> None:
        """Let the session use what was read, once the reader has stopped."""
        self._reader.wait()
        self._transcript.expect(self._reader.sequence)

    def _how_to_copy(self) -> str:
        return "another process makes a draft of its own"
