"""Places of values in the arena: float32 a row, shared by values that never live at once."""

from __future__ import annotations

from typing import NamedTuple

from llmpy.backends.first_fit import FirstFit

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
        self._fit = FirstFit()
        self._sizes: dict[Place, int] = {}

    @property
    def floats(self) -> dict[str, int]:
        """The float32 values that a row of each space needs."""
        return self._fit.sizes

    def take(self, space: str, size: int) -> Place:
        """Return a place for `size` values a row."""
        size = -(-size // ALIGNMENT) * ALIGNMENT
        place = Place(space, self._fit.take(space, size))
        self._sizes[place] = size
        return place

    def give_back(self, place: Place) -> None:
        """The value at the place is not needed any more."""
        self._fit.give_back(place.space, place.at, self._sizes.pop(place))
