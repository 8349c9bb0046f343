"""Sums of squares of the inputs of matmuls, computed by native code for importance matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmpy.ffi import abi, address

__all__ = ["Sums"]


class Sums:
    """Sums of each tensor, by name: float64 `squares` [matrices, n_in] and `counts` [matrices]."""

    def __init__(self) -> None:
        self.squares: dict[str, NDArray[np.float64]] = {}
        self.counts: dict[str, NDArray[np.float64]] = {}
        self._specs: list[abi.Sums] = []

    def address(self, names: list[str], matrices: int, width: int) -> int:
        """Return the address of the sums that tensors with the same input share."""
        squares, counts = np.zeros((matrices, width)), np.zeros(matrices)
        for name in names:
            self.squares[name], self.counts[name] = squares, counts
        self._specs.append(abi.Sums(address(squares), address(counts)))
        return address(self._specs[-1])
