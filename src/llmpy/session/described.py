"""What the functions beside sessions look at of a model, so that they need not import it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from llmpy.graph import Graph
from llmpy.tokenizer import Tokenizer

__all__ = ["Described"]


class Described(Protocol):
    """A model: its file, its graph, and its sizes."""

    path: Path
    metadata: Mapping[str, Any]
    graph: Graph
    tokenizer: Tokenizer
    n_ctx: int
    n_vocab: int
    n_batch: int
