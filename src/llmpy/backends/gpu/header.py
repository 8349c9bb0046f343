"""The header of a step: what kernels are told of a batch, one array of 32-bit words.

Kernels read sizes there and not from their parameters, so that a program serves every batch; if it
has no rows, whatever the host said, they leave everything as it is. The first 32 words are counts,
and where the sections begin; the order of both is that of `FIELDS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, Batch, KvCache
from llmpy.graph.rope import Rope

__all__ = ["CHUNK", "FIELDS", "WORDS", "Rotations", "header"]

CHUNK = 256  # positions of which attention sums apart
WORDS = 32  # before the first section
FIELDS = (
    "n_all", "n_output", "n_sessions",
    "tokens", "positions", "sessions", "output_rows",
    "order", "starts",  # rows by sequence, and where those of each begin (one more at the end)
    "ends",  # tokens that each sequence has with this batch
    "first_page", "pages", "windows",  # of each sequence, in two lists of pages; 0: none
    "states", "ropes",
    "slot",  # a number, not a place: where `largest` writes
    "n_chunks",  # a number: the chunks of the longest sequence
)  # fmt: skip
BLOCK = 64  # positions whose rotations are found at once, for steps of one token


class Rotations:
    """Cosines and sines in turn, [T, n_dims / 2, 2] of each table."""

    def __init__(self, tables: Sequence[tuple[Rope, NDArray[np.float32] | None]]) -> None:
        self._tables = tables
        self._block = np.zeros((0, 0), np.float32)
        self._first = -1

    def of(self, positions: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return those of positions, one table after another."""
        if not self._tables:
            return np.zeros(0, np.float32)
        if len(positions) > 1:
            return np.concatenate([found.reshape(-1) for found in self._found(positions)])
        first, i = divmod(int(positions[0]), BLOCK)
        if first != self._first:
            of_block = self._found(np.arange(BLOCK * first, BLOCK * (first + 1), dtype=np.int32))
            self._block = np.concatenate([found.reshape(BLOCK, -1) for found in of_block], axis=1)
            self._first = first
        row: NDArray[np.float32] = self._block[i]
        return row

    def _found(self, positions: NDArray[np.int32]) -> list[NDArray[np.float32]]:
        at = positions.astype(np.int64)
        return [np.stack(rope.rotation(at, factors), axis=-1) for rope, factors in self._tables]


def header(
    batch: Batch,
    caches: Sequence[KvCache],
    rotations: Rotations,
    has_pages: bool,
    has_windows: bool,
    slot: int = 0,
) -> NDArray[np.uint32]:
    """Return the words for a batch; its sequences are renumbered from 0."""
    made = _of_one if len(batch.tokens) == 1 else _of_many
    return made(batch, caches, rotations, has_pages, has_windows, slot)


def _of_one(
    batch: Batch, caches: Sequence[KvCache], rotations: Rotations, has_pages: bool,
    has_windows: bool, slot: int,
) -> NDArray[np.uint32]:  # fmt: skip
    """The same for one token, in a fifth of the time."""
    cache, position = caches[int(batch.sessions[0])], int(batch.positions[0])
    n_output, turned = len(batch.output_rows), rotations.of(batch.positions)
    n_pages = position // PAGE_TOKENS + 1 if has_pages else 0
    n_windows = n_pages if has_windows else 0
    sizes = 1, 1, 1, n_output, 1, 2, 1, 1, n_pages, n_windows, 1, len(turned)
    *places, size = accumulate(sizes, initial=WORDS)
    words = np.zeros(size, np.uint32)
    numbers = 1, n_output, 1, *places, slot, position // CHUNK + 1
    words[: len(FIELDS)] = numbers
    # Row 0 is the only one, in the order too; the list of pages begins at 0.
    rows = int(batch.tokens[0]), position, 0, *(0,) * n_output, 0, 0, 1, position + 1, 0
    pages, windows, states, ropes = places[-4:]
    words[WORDS:pages] = rows
    words[pages:windows] = cache.page_table[:n_pages]
    words[windows:states] = cache.window_table[:n_windows]
    words[states] = cache.state
    words[ropes:] = turned.view(np.uint32)
    return words


def _of_many(
    batch: Batch, caches: Sequence[KvCache], rotations: Rotations, has_pages: bool,
    has_windows: bool, slot: int,
) -> NDArray[np.uint32]:  # fmt: skip
    """The same for any batch."""
    used, sessions = np.unique(batch.sessions, return_inverse=True)
    some = [caches[i] for i in used.tolist()]
    order = np.argsort(sessions, kind="stable")
    starts = np.searchsorted(sessions[order], np.arange(len(some) + 1))
    ends = np.zeros(len(some), np.int64)
    np.maximum.at(ends, sessions, batch.positions + 1)
    n_chunks = -(-int(ends.max()) // CHUNK)
    counts = -(-ends // PAGE_TOKENS) if has_pages else 0 * ends
    held = list(zip(some, counts.tolist(), strict=True))
    pages = np.concatenate([cache.page_table[:n] for cache, n in held])
    windows = (
        np.concatenate([cache.window_table[:n] for cache, n in held]) if has_windows else pages[:0]
    )
    sections: list[NDArray[np.generic]] = [
        batch.tokens, batch.positions, sessions, batch.output_rows, order, starts, ends,
        np.cumsum(counts) - counts, pages, windows, np.array([cache.state for cache in some]),
        rotations.of(batch.positions),
    ]  # fmt: skip
    words = [
        part.view(np.uint32) if part.dtype == np.float32 else part.astype(np.uint32)
        for part in sections
    ]
    sizes = [len(part) for part in words]
    places = WORDS + np.cumsum(sizes) - sizes
    first = np.zeros(WORDS, np.uint32)
    first[: len(FIELDS)] = [
        len(batch.tokens),
        len(batch.output_rows),
        len(some),
        *places,
        slot,
        n_chunks,
    ]
    return np.concatenate([first, *words])
