"""Leaving tokens out in the middle: later ones move to earlier positions, and their keys turn.

A key that was rotated for one position is rotated on to another. What it was made of still knows
the tokens that were left out, as in llama.cpp's context shift; computing all again would not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS, KeyedPool, SlottedPool

if TYPE_CHECKING:
    from llmpy.engine.cache import PagePool
    from llmpy.engine.sequence import Sequence

__all__ = ["Turn", "Turns", "can_shift", "shift", "turned"]


@dataclass(frozen=True, eq=False)
class Turn:
    """The rotation of keys: their first 2 n values by `frequencies` [n], radians a position.

    `neox`: value i is turned with value i + n, otherwise neighbours.
    """

    frequencies: NDArray[np.float64]
    neox: bool


Turns = Mapping[int, Turn | None]  # by cache; None for keys that are not rotated


def turned(keys: NDArray[np.float32], turn: Turn, by: int) -> NDArray[np.float32]:
    """Return keys [..., d] as they are `by` positions later; in float64 inside."""
    angles = by * turn.frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    n = len(angles)
    result = keys.copy()
    if turn.neox:
        first, second = slice(0, n), slice(n, 2 * n)
    else:
        first, second = slice(0, 2 * n, 2), slice(1, 2 * n, 2)
    a, b = (keys[..., part].astype(np.float64) for part in (first, second))
    result[..., first], result[..., second] = a * cos - b * sin, a * sin + b * cos
    return result


def can_shift(pool: PagePool, turns: Turns | None) -> bool:
    """Whether tokens can be moved in caches of this pool."""
    kv = pool.kv
    known = isinstance(kv, KeyedPool) and isinstance(kv.pages, SlottedPool) and kv.has_keys
    return turns is not None and known and not pool.is_recurrent


def shift(pool: PagePool, sequence: Sequence, turns: Turns, keep: int, n: int) -> None:
    """Leave out `n` tokens, a multiple of PAGE_TOKENS, behind the first `keep`; all are cached.

    To be called under the engine's lock. Raises OutOfMemory, and has changed nothing then.
    """
    cache, kv, pages = sequence.open_cache, pool.kv, pool.kv.pages
    assert isinstance(kv, KeyedPool)
    assert isinstance(pages, SlottedPool)
    first, kept_slots = divmod(keep, PAGE_TOKENS)
    skipped = n // PAGE_TOKENS
    cache.own_from(first + skipped)
    if kept_slots and first + skipped < len(cache.pages):
        mixed, begin = cache.pages[first + skipped], cache.pages[first]
        of = pages.slots() < kept_slots
        data = np.frombuffer(pages.read(mixed.id), np.uint8).copy()
        data[of] = np.frombuffer(pages.read(begin.id), np.uint8)[of]
        pages.write(mixed.id, data.tobytes())
    cache.leave_out(first, skipped)
    for i, page in enumerate(cache.pages[first:]):
        for index, turn in turns.items():
            if turn is not None:
                keys = kv.keys(page.id, index)
                start = kept_slots if i == 0 else 0
                keys[start:] = turned(keys[start:], turn, -n)
                kv.set_keys(page.id, index, keys, start)
    sequence.leave_out(keep, n)
