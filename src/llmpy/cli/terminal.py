"""Text from outside, made safe to show: a terminal obeys control characters that are in it.

Models, files and templates are untrusted. What they say goes through `cleaned` before a terminal
gets it; a file or a pipe gets it as it is.
"""

from __future__ import annotations

import re
from typing import IO

__all__ = ["cleaned", "for_terminal"]

# C0 but tab and newline, DEL, C1; overrides of the writing direction; halves of characters.
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def cleaned(text: str) -> str:
    """Return the text with what a terminal would obey shown as a picture of it, or as U+FFFD."""
    return UNSAFE.sub(_picture, text.replace("\r\n", "\n"))


def for_terminal(text: str, stream: IO[str]) -> str:
    """Return the text cleaned if the stream is a terminal, and as it is otherwise."""
    return cleaned(text) if stream.isatty() else text


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
