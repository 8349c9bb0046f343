"""Policies for a full context, for sessions and chats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

__all__ = ["ContextWarning", "Overflow", "checked_overflow", "n_shifted", "shortened"]


class Overflow(StrEnum):
    """The policy for a full context; each name may be given as a string.

    ERROR: raise ContextFull, or end the answer with the reason "context". DROP_OLDEST: drop the
    oldest turns of a chat. SHIFT: drop the oldest half of a session's tokens after the first ones
    that are kept; the keys of the others are rotated to their new positions, or computed again
    where a model or a backend does not allow that.
    """

    ERROR = "error"
    DROP_OLDEST = "drop_oldest"
    SHIFT = "shift"


class ContextWarning(UserWarning):
    """A warning that the context was full and tokens were dropped from it."""


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
    n_first: int,
) -> list[int] | None:
    """The tokens that stay in a full session, to make room for `needed` in all.

    SHIFT keeps the first `n_first` and the newer half of the rest. None where the choice is an
    error, or too few would be left out.
    """
    if overflow is Overflow.ERROR:
        return None
    if callable(overflow):
        kept = [int(token) for token in overflow(list(tokens), needed, n_ctx)]
    else:
        kept = list(tokens[:n_first])
        kept += tokens[n_first + (len(tokens) - n_first + 1) // 2 :]
    return kept if len(kept) + needed - len(tokens) <= n_ctx else None


def n_shifted(n: int, least: int, multiple: int) -> int:
    """Return how many of `n` tokens to leave out: half and at least `least`, in multiples."""
    return -(-max((n + 1) // 2, least, 1) // multiple) * multiple
