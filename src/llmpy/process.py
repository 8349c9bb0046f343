"""Objects whose memory belongs to one process: they can be neither copied nor pickled."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

__all__ = ["ProcessBound"]


class ProcessBound:
    """The base of objects with native memory or open files: copying raises an error with advice."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Raise TypeError: called by `copy`, `pickle` and `multiprocessing`."""
        raise TypeError(
            f"a {type(self).__name__} cannot be copied or pickled, for its memory belongs to this "
            f"process: {self._how_to_copy()}"
        )

    def _how_to_copy(self) -> str:
        raise NotImplementedError
