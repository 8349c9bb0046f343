"""Texts and regular expressions as Lark's syntax writes them."""

from __future__ import annotations

from functools import lru_cache

from llmpy.errors import ConstraintError

__all__ = ["literal", "slashed"]


@lru_cache(maxsize=4096)
def literal(text: str) -> str:
    """Return a text as a string of Lark's syntax."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConstraintError(f"expected text, found a lone surrogate in {text!r}") from None
    written = []
    for c in text:
        if c in '"\\':
            written.append("\\" + c)
        elif c == "\n":
            written.append("\\n")
        elif ord(c) < 0x20 or ord(c) == 0x7F:
            written.append(f"\\u{ord(c):04x}")
        else:
            written.append(c)
    return '"' + "".join(written) + '"'


def slashed(pattern: str) -> str:
    """Return a regular expression in which what would end it in Lark's syntax is escaped."""
    written, escaped = [], False
    for c in pattern:
        if c == "/" and not escaped:
            written.append("\\/")
        elif c == "\n":
            written.append("n" if escaped else "\\n")
        else:
            written.append(c)
        escaped = c == "\\" and not escaped
    return "".join(written)
