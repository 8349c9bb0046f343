"""How many tokens a session may hold where a model has a table of positions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import llmpy
from llmpy.backends.base import Requirements
from llmpy.errors import ModelFileError
from llmpy.graph import Graph, Weights
from llmpy.session.context import context_length


def limit(asked: int | None, rows: int, offset: int = 0, trained: int = 1000) -> int:
    shapes = {"x.weight": (10, 4), "positions.weight": (rows, 4)}
    graph, w = Graph(shapes), Weights(shapes)
    tokens = graph.tokens()
    result = tokens.embed(w.x) + tokens.embed_position(w.positions, offset)
    graph.output = result.index
    file: Any = SimpleNamespace(path=Path("model.gguf"))
    return context_length(file, graph, asked, trained, Requirements(320, 0, 0, None))


def test_the_context_ends_with_the_table() -> None:
    assert limit(None, rows=100) == 100
    assert limit(None, rows=100, offset=2) == 98
    assert limit(98, rows=100, offset=2) == 98
    assert limit(7, rows=100) == 7


def test_a_longer_table_changes_nothing() -> None:
    assert limit(None, rows=5000) == 1000
    assert limit(2000, rows=5000) == 2000


def test_more_than_the_table_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n_ctx: 99 tokens .* 'positions.weight' .* 98"):
        limit(99, rows=100, offset=2)


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(ModelFileError, match=r"positions.weight.*more than 2 rows"):
        limit(None, rows=2, offset=2)


def test_more_than_was_trained_is_warned_of(fast_stories: llmpy.Model) -> None:
    with pytest.warns(RuntimeWarning, match="n_ctx: .* trained with contexts of"):
        llmpy.load(fast_stories.path, n_ctx=4096).close()
