"""The state of a chain: what steps remember of drawn tokens, by their position in the text."""

from __future__ import annotations

__all__ = ["ChainState"]


class ChainState:
    """The `values` of a chain's last step, and those it had after each token that was drawn.

    It belongs to a sequence: `commit` when a token was added, `cut` when tokens are taken back,
    `copy` for a fork. Chains without a step that remembers have no values, and cost nothing.
    """

    __slots__ = ("_initial", "_kept", "values")

    def __init__(self, initial: tuple[float, ...] = ()) -> None:
        self.values = self._initial = initial
        self._kept: list[tuple[int, tuple[float, ...]]] = []

    def commit(self, n: int) -> None:
        """Keep the values as those of a text of `n` tokens."""
        if self.values:
            self._kept.append((n, self.values))

    def cut(self, n: int) -> None:
        """Go back to the values of a text of `n` tokens."""
        kept = self._kept
        while kept and kept[-1][0] > n:
            kept.pop()
        self.values = kept[-1][1] if kept else self._initial

    def moved(self, by: int) -> None:
        """The tokens so far stand `by` places further on, before 0 where they were left out."""
        self._kept = [(n + by, values) for n, values in self._kept if n + by > 0]

    def copy(self) -> ChainState:
        """Return the same past, to go on separately."""
        other = ChainState(self._initial)
        other.values, other._kept = self.values, self._kept.copy()
        return other
