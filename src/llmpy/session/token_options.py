"""Options for the next token, and the generated token with their results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from llmpy.session.events import Logprobs

if TYPE_CHECKING:
    from llmpy.sampling import Stage

__all__ = ["PLAIN", "Generated", "TokenOptions"]


class TokenOptions(NamedTuple):
    """`logprobs`: how many of the likeliest tokens to report, None for no log-probabilities.

    `explain`: how many candidates to report around each step of the chain (0: no explanation).
    `forbidden`: ids that must not be drawn.
    """

    logprobs: int | None = None
    explain: int = 0
    forbidden: frozenset[int] = frozenset()

    def without(self, ids: Iterable[int]) -> TokenOptions:
        """Return the same with other forbidden ids."""
        return TokenOptions(self.logprobs, self.explain, frozenset(ids))


PLAIN = TokenOptions()


class Generated(NamedTuple):
    """A generated token, the text that it completes, and what `TokenOptions` asked for."""

    token: int
    text: str
    logprobs: Logprobs | None = None
    stages: tuple[Stage, ...] = ()
