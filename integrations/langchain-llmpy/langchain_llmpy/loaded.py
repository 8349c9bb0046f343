"""Models that are loaded, each once for all objects that name it."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import llmpy

__all__ = ["loaded"]

_lock = Lock()  # so that two threads do not load one model twice


def loaded(name: str, n_ctx: int | None = None) -> llmpy.Model:
    """Return the model of a name or path; it stays in memory for the next call."""
    with _lock:
        return _load(name, n_ctx)


@lru_cache(maxsize=2)  # one to chat with, and one for embeddings
def _load(name: str, n_ctx: int | None) -> llmpy.Model:
    return llmpy.load(name, n_ctx=n_ctx)
