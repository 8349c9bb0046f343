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

from llmpy.backends.base import PAGE_TOKENS, KeyedPool

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


def can_shift(pool: PagePool, sequence: Sequence, keep: int, n: int) -> bool:
    """Whether `n` cached tokens behind the first `keep` can be left out in caches of this pool.

    Not where windows then show tokens that they had passed.
    """
    kv, cache = pool.kv, sequence.open_cache
    if not isinstance(kv, KeyedPool) or not kv.has_keys or pool.is_recurrent:
        return False
    first, kept_slots = divmod(keep, PAGE_TOKENS)
    n_far = cache.n_far_without(first, n // PAGE_TOKENS, mixed=kept_slots > 0)
    return pool.slots() is not None and n_far <= pool.n_passed(sequence.n_cached - n)


def shift(pool: PagePool, sequence: Sequence, turns: Turns, keep: int, n: int) -> None:
    """Leave out `n` tokens, a multiple of PAGE_TOKENS, behind the first `keep`; all are cached.

    To be called under the engine's lock. Raises OutOfMemory, and has changed nothing then.
    """
    cache, kv, slots = sequence.open_cache, pool.kv, pool.slots()
    assert isinstance(kv, KeyedPool)
    assert slots is not None
    first, kept_slots = divmod(keep, PAGE_TOKENS)
    skipped = n // PAGE_TOKENS
    cache.own_from(first + skipped)
    mixed = kept_slots > 0 and first + skipped < len(cache.pages)
    if mixed:
        near, end, begin = first >= cache.n_far, cache.pages[first + skipped], cache.pages[first]
        data = np.frombuffer(pool.read(end, near), np.uint8).copy()
        of = slots[: len(data)] < kept_slots
        data[of] = np.frombuffer(pool.read(begin, near), np.uint8)[of]
        pool.write(end, near, data.tobytes())
    cache.leave_out(first, skipped, mixed)
    for i in range(first, len(cache.pages)):
        for index, turn in turns.items():
            piece = cache.piece(i, index)
            if turn is not None and piece:
                keys = kv.keys(piece, index)
                start = kept_slots if i == first else 0
                keys[start:] = turned(keys[start:], turn, -n)
                kv.set_keys(piece, index, keys, start)
    sequence.leave_out(keep, n)
