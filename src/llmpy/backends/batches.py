"""Checks of batches for backends without faster ones: what does not fit is a ValueError."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, Batch, KvCache
from llmpy.graph import Graph, is_encoder

__all__ = ["BatchCheck", "by_session", "check_number", "check_range", "table_rows"]


class BatchCheck:
    """Refuses batches that do not fit a graph, `n_ctx` positions, their caches or themselves."""

    def __init__(self, graph: Graph, n_ctx: int) -> None:
        self._n_rows = table_rows(graph, "embed")
        self._n_ctx = min(n_ctx, table_rows(graph, "embed_position"))
        self._has_pages, self._has_states = bool(graph.caches), bool(graph.recurrences)
        self._whole = is_encoder(graph)  # tokens see those after them

    def __call__(self, batch: Batch, caches: Sequence[KvCache]) -> None:
        """Raise ValueError with what is wrong."""
        if not (len(batch.tokens) == 1 and self._one_fits(batch, caches)):
            self._check_all(batch, caches)

    def _one_fits(self, batch: Batch, caches: Sequence[KvCache]) -> bool:
        """Whether a batch of one token is right, without an array for each question."""
        if not len(batch.positions) == len(batch.sessions) == 1 >= len(batch.output_rows):
            return False
        position, session = int(batch.positions[0]), int(batch.sessions[0])
        return (
            0 <= int(batch.tokens[0]) < self._n_rows
            and 0 <= session < len(caches)
            and 0 <= position < (1 if self._whole else self._n_ctx)
            and not batch.output_rows.any()
            and not (self._has_pages and position // PAGE_TOKENS >= caches[session].n_pages)
            and not (self._has_states and not caches[session].state)
        )

    def _check_all(self, batch: Batch, caches: Sequence[KvCache]) -> None:
        n = len(batch.tokens)
        if len(batch.positions) != n or len(batch.sessions) != n:
            raise ValueError("batch: tokens, positions and sessions differ in length")
        check_range("token", batch.tokens, self._n_rows)
        check_range("session", batch.sessions, len(caches))
        check_range("position", batch.positions, self._n_ctx)
        check_range("output row", batch.output_rows, n)
        if not (np.diff(batch.output_rows) > 0).all():
            raise ValueError("batch: output rows must ascend")
        sessions, positions = by_session(batch, whole=self._whole)
        last = np.flatnonzero(np.diff(sessions, append=-1))  # of each session
        for i, end in zip(sessions[last].tolist(), positions[last].tolist(), strict=True):
            if self._has_pages and end // PAGE_TOKENS >= caches[i].n_pages:
                raise ValueError(
                    f"batch: page of the position: expected 0 to {caches[i].n_pages - 1}, "
                    f"found {end // PAGE_TOKENS}"
                )
            if self._has_states and not caches[i].state:
                raise ValueError("batch: a sequence has no memory for its recurrent state")


def table_rows(graph: Graph, op: str) -> int:
    """Return the least number of rows of the tables that `op` reads: tokens, or positions."""
    tables = [node for node in graph.nodes if node.op == op]
    rows = [
        graph.shapes[n.weights[0]][0] - (n.attrs.offset if op == "embed_position" else 0)
        for n in tables
    ]
    return min(rows, default=1 << 31)


def by_session(batch: Batch, *, whole: bool) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return sessions and positions of a batch, sorted by session.

    ValueError where those of a session do not ascend one by one or, if it has to be `whole`, do not
    begin with its first.
    """
    order = np.argsort(batch.sessions, kind="stable")
    sessions, positions = batch.sessions[order], batch.positions[order]
    if not ((np.diff(positions) == 1) | (np.diff(sessions) != 0)).all():
        raise ValueError("batch: positions of a session must ascend one by one")
    if whole:
        begins = np.flatnonzero(np.diff(sessions, prepend=-1))
        check_range("first position", positions[begins], 1)
    return sessions, positions


def check_range(name: str, found: NDArray[np.int32], end: int) -> None:
    """Raise ValueError unless all numbers are from 0 to `end` - 1."""
    if len(found):
        # With few numbers min and max of a list take less time than a call of NumPy.
        few = found.tolist() if len(found) <= 64 else [found.min().item(), found.max().item()]
        check_number(name, min(few), end)
        check_number(name, max(few), end)


def check_number(name: str, found: int, end: int, least: int = 0) -> None:
    """Raise ValueError unless a number is from `least` to `end` - 1."""
    if not least <= found < end:
        raise ValueError(f"batch: {name}: expected {least} to {end - 1}, found {found}")
