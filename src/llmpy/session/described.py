"""The interface of a model that functions beside sessions use, so that they need not import it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llmpy.graph import Graph
from llmpy.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llmpy.session.fingerprint import SavedModel

__all__ = ["Described", "Home"]


class Described(Protocol):
    """A model: its file, its graph, and its sizes."""

    path: Path
    metadata: Mapping[str, Any]
    graph: Graph
    tokenizer: Tokenizer
    n_ctx: int
    n_vocab: int
    n_batch: int


class Home(Protocol):
    """The model of a session."""

    path: Path
    saved: SavedModel

    def hidden_states(self, tokens: Sequence[int], first: int = 0) -> Iterator[NDArray[np.float32]]:
        """See `Model.hidden_states`."""
