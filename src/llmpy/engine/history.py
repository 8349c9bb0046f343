"""The tokens of a sequence, as one growing array of ids that native code reads in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmpy.ffi import address

__all__ = ["History"]


class History:
    """Token ids in order: int32, contiguous. `length` is `len()` of it, sooner."""

    __slots__ = ("_ids", "address", "length")

    def __init__(self) -> None:
        self._reserve(256)
        self.length = 0

    def __len__(self) -> int:
        return self.length

    def append(self, ids: Sequence[int] | NDArray[np.int32]) -> None:
        """Say more."""
        end = self.length + len(ids)
        self.make_room(len(ids))
        self._ids[self.length : end] = ids
        self.length = end

    def add(self, token: int) -> None:
        """Say one more."""
        if self.length == len(self._ids):
            self.append((token,))
        else:
            self._ids[self.length] = token
            self.length += 1

    def make_room(self, n: int) -> None:
        """Let native code write `n` more at the end of what is at `address`; `count` them then."""
        end = self.length + n
        if end > len(self._ids):
            old = self._ids
            self._reserve(max(end, 2 * len(old)))
            self._ids[: self.length] = old[: self.length]

    def count(self, n: int) -> None:
        """So many more are there."""
        self.length += n

    def cut(self, n: int) -> None:
        """Keep the first `n`."""
        self.length = min(n, self.length)

    def part(self, start: int, end: int) -> NDArray[np.int32]:
        """Ids `start` to `end`, a view that lasts until the next `append`."""
        return self._ids[start:end]

    def item(self, i: int) -> int:
        """Id number `i`, from the end where `i` is negative."""
        return self._ids.item(i if i >= 0 else self.length + i)

    def last(self, n: int) -> tuple[int, int]:
        """Address and number of the last `n` ids (all of them for -1, or if there are fewer)."""
        n = self.length if n < 0 else min(n, self.length)
        return self.address + 4 * (self.length - n), n

    def n_common(self, other: History) -> int:
        """Return how many ids both begin with."""
        n = min(self.length, other.length)
        differ = self._ids[:n] != other.part(0, n)
        return int(differ.argmax()) if differ.any() else n

    def tolist(self) -> list[int]:
        """A copy for people."""
        ids: list[int] = self._ids[: self.length].tolist()
        return ids

    def copy(self) -> History:
        """The same past, to go on separately."""
        other = History()
        other.append(self._ids[: self.length])
        return other

    def _reserve(self, n: int) -> None:
        self._ids: NDArray[np.int32] = np.zeros(n, np.int32)
        self.address: int = address(self._ids)
