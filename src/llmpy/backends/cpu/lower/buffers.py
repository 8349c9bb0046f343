"""Places of values in the arena, in bytes a row: shared by values that never live at once."""

from __future__ import annotations

from collections.abc import Sequence

from llmpy.backends.first_fit import FirstFit
from llmpy.ffi.abi import ALIGNMENT, NO_PLACE

__all__ = ["Places"]


class Places:
    """Hands out places first-fit, in two arenas: rows "all" and rows "output"."""

    def __init__(self, sizes: Sequence[int], spaces: Sequence[str]) -> None:
        # Rows times a multiple of the alignment is one too.
        self._sizes = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]
        self._spaces = spaces
        self._place: dict[int, int] = {}
        self._fixed: set[int] = set()
        self._arenas = FirstFit()

    def fix(self, value: int, place: int) -> None:
        """This value lies elsewhere."""
        self._place[value] = place
        self._fixed.add(value)

    def keep(self, space: str, size: int) -> int:
        """A place that is never given back."""
        return self._arenas.take(space, -(-size // ALIGNMENT) * ALIGNMENT)

    def begin(self, value: int) -> None:
        """The value is written now."""
        if value not in self._fixed:
            self._place[value] = self._arenas.take(self._spaces[value], self._sizes[value])

    def end(self, value: int) -> None:
        """The value is not needed any more."""
        if value not in self._fixed:
            self._arenas.give_back(self._spaces[value], self._place[value], self._sizes[value])

    def can_take(self, old: int, new: int) -> bool:
        """Whether `new` fits exactly where `old` lies."""
        free = old not in self._fixed and new not in self._fixed
        same = self._sizes[old] == self._sizes[new] and self._spaces[old] == self._spaces[new]
        return free and same

    def take(self, old: int, new: int) -> None:
        """`new` is written over `old`, which ends."""
        self._place[new] = self._place[old]

    def of(self, value: int) -> int:
        """Return the buffer of a value, or NO_PLACE if it has none."""
        return NO_PLACE if value == NO_PLACE else self._place[value]

    def size(self, space: str) -> int:
        """Bytes a row that an arena needs."""
        return self._arenas.sizes[space]
