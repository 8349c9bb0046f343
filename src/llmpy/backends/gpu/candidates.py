"""The logits that a sampler needs: it draws the same token where the others are left out.

The kernel `top` finds the largest of each 512 logits, so that a few kilobytes come to the host in
place of all logits. Whether they are enough is seen from their values; where they are not, the
caller reads all logits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import Sampling
from llmpy.backends.gpu.samplers import steps_of
from llmpy.ffi import view
from llmpy.ffi.abi import Chain, SampleKind

__all__ = ["ROOM", "SEGMENT", "WORDS_OF_SEGMENT", "Array", "Ids", "Rule", "candidates", "rule_of"]

SEGMENT = 512  # logits of which the largest are found together
ROOM = 64  # of these
WORDS_OF_SEGMENT = 8 + 2 * ROOM
_PENALTIES = {SampleKind.REPETITION: 1.0, SampleKind.FREQUENCY: 0.0, SampleKind.PRESENCE: 0.0}

RAISED = 8  # logits that are read one by one, at most

Array = NDArray[np.float32]
Ids = NDArray[np.int32]


class Rule(NamedTuple):
    """The part of a row that a sampler needs: the `most` largest logits of the tokens that it has
    not lowered; or, with `within`, the logits down to so far below the largest.
    """

    most: int
    within: float | None
    biased: NDArray[np.int32]  # tokens with a bias
    raised: NDArray[np.int32]  # those of them that have a positive one


def rule_of(sampling: Sampling) -> Rule | None:
    """Return what a sampler needs, None where that may be all logits."""
    chain = Chain.from_address(sampling.sampler.address)
    biased, raised = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for i, step in enumerate(steps_of(chain)):
        kind = SampleKind(step.kind)
        if kind in _PENALTIES and step.value[0] >= _PENALTIES[kind]:
            continue
        if kind is SampleKind.LOGIT_BIAS:
            if n := step.count[0]:
                ids = view(step.ids, n, np.int32)
                biased.append(ids)
                raised.append(ids[view(step.biases, n, np.float32) > 0])
        elif kind in (SampleKind.TOP_K, SampleKind.GREEDY):
            most = step.count[0] if kind is SampleKind.TOP_K else 1
            some = np.unique(np.concatenate(raised))
            return Rule(most, None, np.concatenate(biased), some) if len(some) <= RAISED else None
        elif kind is SampleKind.MIN_P and i == 0 and step.min_keep == 1:
            return Rule(1, step.value[0], biased[0], raised[0])
        else:
            return None
    return None


def candidates(
    sampling: Sampling, rule: Rule, found: NDArray[np.uint32], raised: tuple[Ids, Array]
) -> tuple[NDArray[np.int32], Array] | None:
    """Return the ids and logits that are enough for a sampler, None where they may not be.

    `found` uint32 [segments, WORDS_OF_SEGMENT] is what the kernel `top` gives of a row; `raised`
    are tokens that a bias may bring to the top, with their logits. What the kernel left out of a
    segment is less than the least that it has of it; or equal, where there are more equal ones
    than room. A token that a penalty lowers may fall below what was left out, so that the others
    must be enough without it.
    """
    counts, least = found[:, 0].astype(np.int64), _values(found[:, 1])
    if found[:, 2].any():
        return None
    here = np.arange(ROOM) < counts[:, None]
    ids = found[:, 8 : 8 + ROOM][here].view(np.int32)
    logits = found[:, 8 + ROOM :][here].view(np.float32)
    others = logits
    if sampling.n_history or len(rule.biased):
        touched = [rule.biased]
        if sampling.n_history:
            touched.append(view(sampling.history, sampling.n_history, np.int32))
        others = logits[~np.isin(ids, np.concatenate(touched))]
    if len(others) < rule.most:
        return None
    bound = np.partition(others, len(others) - rule.most)[len(others) - rule.most]
    if rule.within is not None:
        bound = np.float32(float(bound) + rule.within)
    cut = counts > ROOM  # equal ones are missing
    enough = (counts < ROOM) | (least < bound) | (~cut & (least <= bound))
    if not enough.all():
        return None
    return np.concatenate([ids, raised[0]]), np.concatenate([logits, raised[1]])


def _values(keys: NDArray[np.uint32]) -> Array:
    """The values of keys, whose order is the same."""
    bits = np.where(keys >> 31, keys & np.uint32(0x7FFFFFFF), ~keys)
    return bits.astype(np.uint32).view(np.float32)
