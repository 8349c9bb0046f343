"""What products are fed, summed by native code: the squares of their inputs, for importance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmpy.ffi import abi, address

__all__ = ["Sums"]


class Sums:
    """Of each tensor, by name: `squares` [matrices, n_in] and `counts` [matrices], in float64."""

    def __init__(self) -> None:
        self.squares: dict[str, NDArray[np.float64]] = {}
        self.counts: dict[str, NDArray[np.float64]] = {}
        self._specs: list[abi.Sums] = []

    def address(self, names: list[str], matrices: int, width: int) -> int:
        """Where native code finds the sums of tensors that are fed the same."""
        squares, counts = np.zeros((matrices, width)), np.zeros(matrices)
        for name in names:
            self.squares[name], self.counts[name] = squares, counts
        self._specs.append(abi.Sums(address(squares), address(counts)))
        return address(self._specs[-1])
