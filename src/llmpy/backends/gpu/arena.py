"""Places of values in the arena: float32 a row, shared by values that never live at once."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Arena", "Place"]

ALIGNMENT = 4  # float32 values


class Place(NamedTuple):
    """The place of a value: `at` float32 values a row from the beginning of its space.

    The space "all" has a row for each token, "output" one for each output row.
    """

    space: str
    at: int


class Arena:
    """Hands out places first-fit, in the spaces "all" and "output"."""

    def __init__(self) -> None:
        self._used: dict[str, list[tuple[int, int]]] = {"all": [], "output": []}
        self.floats = {"all": 0, "output": 0}  # a row

    def take(self, space: str, size: int) -> Place:
        """Return a place for `size` values a row."""
        size, at, used = -(-size // ALIGNMENT) * ALIGNMENT, 0, self._used[space]
        for begin, end in sorted(used):
            if at + size <= begin:
                break
            at = max(at, end)
        used.append((at, at + size))
        self.floats[space] = max(self.floats[space], at + size)
        return Place(space, at)

    def give_back(self, place: Place) -> None:
        """The value at the place is not needed any more."""
        used = self._used[place.space]
        used.remove(next(span for span in used if span[0] == place.at))
