"""What happens when a context is full: one choice, for sessions and chats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

__all__ = ["ContextWarning", "Overflow", "checked_overflow", "shortened"]


class Overflow(StrEnum):
    """What to do when the context is full; each name may be given as a string.

    ERROR: raise ContextFull, or end the answer with the reason "context". DROP_OLDEST: leave out
    the oldest turns of a chat. SHIFT: leave out the oldest half of a session's tokens, which are
    then computed again.
    """

    ERROR = "error"
    DROP_OLDEST = "drop_oldest"
    SHIFT = "shift"


class ContextWarning(UserWarning):
    """The context was full, and something was left out of it."""


def checked_overflow(
    overflow: Overflow | str | Callable[..., Any], *allowed: Overflow, where: str
) -> Overflow | Callable[..., Any]:
    """The choice itself; ValueError for one that `where` does not have."""
    if callable(overflow) and not isinstance(overflow, str):
        return overflow
    if overflow in allowed:
        return Overflow(overflow)
    known = ", ".join(repr(str(choice)) for choice in allowed)
    raise ValueError(f"overflow: expected {known} or a callable for {where}, found {overflow!r}")


def shortened(
    tokens: Sequence[int],
    needed: int,
    n_ctx: int,
    overflow: Overflow | Callable[..., Any],
    bos: int | None,
) -> list[int] | None:
    """The tokens that stay in a full session, to make room for `needed` in all.

    SHIFT keeps a begin-of-text token and the newer half of the rest. None where the choice is an
    error, or too few would be left out.
    """
    if overflow is Overflow.ERROR:
        return None
    if callable(overflow):
        kept = [int(token) for token in overflow(list(tokens), needed, n_ctx)]
    else:
        first = list(tokens[:1]) if bos is not None and tokens and tokens[0] == bos else []
        kept = first + list(tokens[len(first) + (len(tokens) - len(first) + 1) // 2 :])
    return kept if len(kept) + needed - len(tokens) <= n_ctx else None
