"""An item of work for the engine: tokens to compute, and which outputs it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from llmpy.engine.sequence import Sequence
    from llmpy.sampling import NativeChain

__all__ = ["Work"]


class Work:
    """Compute the tokens of `sequence` up to `end`, and logits after the positions `outputs`.

    With a `native` sampler, the last of them becomes `token`, and up to `most` tokens may be
    generated: `n_generated` were appended, the last of them is `token`. Otherwise `rows` has the
    logits [n_outputs, n]. Once `served`, there is an `error` or a result.
    """

    token = -1
    n_generated = 0
    most = 1
    whole = False  # in one step or not at all: a text for an encoder
    error: Exception | None = None
    served = False
    looked_up = False  # in the prefix cache, which had `n_found` tokens of it
    n_found = 0
    alone = False  # a step that it shared has failed: which of them was it?
    rows: NDArray[np.float32]
    _first_row: int

    def __init__(
        self,
        sequence: Sequence,
        end: int,
        next_output: int,
        stop_output: int,
        native: NativeChain | None = None,
    ) -> None:
        self.sequence = sequence  # kept alive, so that its memory is there while a step runs
        self.end = end
        self.next_output = next_output  # positions from here to `stop_output` are still to come
        self.stop_output = stop_output
        self.native = native

    def keep(self, logits: NDArray[np.float32]) -> None:
        """Copy the next of the output rows; `logits` last until the next step only."""
        if "rows" not in self.__dict__:
            self._first_row = self.next_output
            n = self.stop_output - self.next_output
            self.rows = np.empty((n, logits.shape[1]), np.float32)
        at = self.next_output - self._first_row
        self.rows[at : at + len(logits)] = logits
        self.next_output += len(logits)

    @property
    def found(self) -> list[NDArray[np.float32]]:
        """The output rows, as one array or none."""
        return [self.rows] if "rows" in self.__dict__ else []

    def fail(self, error: Exception) -> None:
        """This is all that its caller gets."""
        self.error = error
        self.served = True
