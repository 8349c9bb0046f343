"""Stop strings in a stream of text, wherever the borders between tokens fall."""

from __future__ import annotations

from collections.abc import Iterable

from llmpy import checks

__all__ = ["StopStrings"]


class StopStrings:
    """Passes text on as soon as it cannot be the beginning of a stop string any more."""

    def __init__(self, strings: Iterable[str]) -> None:
        if isinstance(strings, bytes | bytearray) or not isinstance(strings, Iterable):
            raise checks.wrong_type("stop", "a string or strings", strings)
        self.strings = (strings,) if isinstance(strings, str) else tuple(strings)
        for s in self.strings:
            if not isinstance(s, str) or not s:
                raise ValueError(f"stop: expected non-empty strings, found {s!r}")
        self._longest = max(map(len, self.strings), default=0)
        self._held = ""
        self.found: str | None = None  # the stop string that came

    def add(self, text: str) -> str:
        """Add `text`; return what may be shown now. A stop string ends it and sets `found`."""
        if not self.strings:
            return text
        self._held += text
        at = min((i for i in map(self._held.find, self.strings) if i >= 0), default=-1)
        if at >= 0:
            self.found = next(s for s in self.strings if self._held.startswith(s, at))
            shown, self._held = self._held[:at], ""
            return shown
        keep = self._possible_start()
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def rest(self) -> str:
        """Return the text that was held back and never became a stop string."""
        held, self._held = self._held, ""
        return held

    def _possible_start(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        for n in range(min(self._longest - 1, len(self._held)), 0, -1):
            end = self._held[-n:]
            if any(s.startswith(end) for s in self.strings):
                return n
        return 0
