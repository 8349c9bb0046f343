"""The header of a step: what kernels are told of a batch, one array of 32-bit words.

Kernels read sizes there and not from their parameters, so that a program serves every batch; if it
has no rows, whatever the host said, they leave everything as it is. The first 32 words are counts,
and where the sections begin; the order of both is that of `FIELDS`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, Batch, KvCache
from llmpy.graph.rope import Rope

__all__ = ["CHUNK", "FIELDS", "WORDS", "header"]

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
Tables = Sequence[tuple[Rope, NDArray[np.float32] | None]]


def header(
    batch: Batch,
    caches: Sequence[KvCache],
    tables: Tables,
    has_pages: bool,
    has_windows: bool,
    slot: int = 0,
) -> NDArray[np.uint32]:
    """Return the words for a batch; its sequences are renumbered from 0."""
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
        _rotations(batch.positions, tables),
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


def _rotations(positions: NDArray[np.int32], tables: Tables) -> NDArray[np.float32]:
    """Cosines and sines in turn, [T, n_dims / 2, 2] of each table."""
    at = positions.astype(np.int64)
    found = [np.stack(rope.rotation(at, factors), axis=-1).reshape(-1) for rope, factors in tables]
    return np.concatenate(found) if found else np.zeros(0, np.float32)
