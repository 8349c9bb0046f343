"""Places of values that never live at once, first-fit, in two arenas: rows "all" and "output"."""

from __future__ import annotations

__all__ = ["FirstFit"]


class FirstFit:
    """Hands out places a row, in any unit; `sizes`: what each arena needs."""

    def __init__(self) -> None:
        self._used: dict[str, list[tuple[int, int]]] = {"all": [], "output": []}  # begin, end
        self.sizes = {"all": 0, "output": 0}

    def take(self, space: str, size: int) -> int:
        """Return the first place where `size` fits."""
        used, at = self._used[space], 0
        for begin, end in sorted(used):
            if at + size <= begin:
                break
            at = max(at, end)
        used.append((at, at + size))
        self.sizes[space] = max(self.sizes[space], at + size)
        return at

    def give_back(self, space: str, at: int, size: int) -> None:
        """Free a place that was taken for `size`."""
        self._used[space].remove((at, at + size))
