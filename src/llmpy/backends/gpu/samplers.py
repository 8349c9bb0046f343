"""Chains of samplers as kernels read them: `top` and `draw` find the token on the device.

A record is an array of 32-bit words: numbers, random numbers, steps, penalties, the latest tokens,
biases, and the mask of a constraint; `wgsl/sampler.wgsl` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import Sampling
from llmpy.ffi import view
from llmpy.ffi.abi import Chain, SampleKind, SampleStep

__all__ = ["AHEAD", "APART", "EMPTY", "masked", "record", "steps_of"]

AHEAD = 16  # tokens that a device draws at most before the host looks
APART = 1040  # tokens that penalties and biases of a chain name, at most
RECENT = 60  # words before the latest tokens
KEEP = 1024  # tokens that `draw` has in order, at most
N_STEPS, N_CHANGES = 8, 6
EMPTY = np.zeros(RECENT, np.uint32)  # the record of a chain without steps
NO_END = 0xFFFFFFFF  # in place of a window: all tokens

_CHANGES = {SampleKind.REPETITION, SampleKind.FREQUENCY, SampleKind.PRESENCE}
# By how much two logits may be off, as a share of the larger one, for each temperature with whose
# reciprocal they are multiplied in place of being divided.
_DIVIDED = 2.0**-21


def steps_of(chain: Chain) -> Iterator[SampleStep]:
    """Yield the steps of a chain."""
    for i in range(chain.n_steps):
        yield (SampleStep * chain.n_steps).from_address(chain.steps)[i]


def masked(sampling: Sampling) -> NDArray[np.uint32]:
    """Return the record of a chain that the host runs: the mask alone."""
    return _with_mask([EMPTY.copy()], sampling)


def record(sampling: Sampling, uniforms: Sequence[float]) -> NDArray[np.uint32] | None:
    """Return the record of a sampler, None where the host has to run it.

    `uniforms`: the random numbers of its next draws, at most AHEAD.
    """
    chain = Chain.from_address(sampling.sampler.address)
    steps = list(steps_of(chain))
    n_changes = 0
    while n_changes < len(steps) and steps[n_changes].kind in {*_CHANGES, SampleKind.LOGIT_BIAS}:
        n_changes += 1
    changes, others = steps[:n_changes], _others(steps[n_changes:], chain.n_vocab)
    if others is None or len(others) > N_STEPS or n_changes > N_CHANGES:
        return None
    words = EMPTY.copy()
    floats = words.view(np.float32)
    biases, most = _changes(words, changes)
    history = view(sampling.history, sampling.n_history, np.int32) if sampling.n_history else None
    recent = (
        np.zeros(0, np.int32) if history is None or not most else history[-min(most, 1 << 30) :]
    )
    named = np.concatenate([recent, biases[::2].view(np.int32)])
    if len(named) > APART - AHEAD or not _in_range(named, chain.n_vocab):
        return None
    scale, heats = _scale(others)
    words[:4] = len(others), len(recent), most, len(biases) // 2
    words[6], words[8] = n_changes, RECENT + len(recent)
    floats[5] = scale
    floats[7] = heats * _DIVIDED
    floats[10 : 10 + len(uniforms)] = uniforms
    for i, (kind, value) in enumerate(others):
        words[26 + 2 * i] = kind
        if kind == SampleKind.TOP_K:
            words[27 + 2 * i] = int(value)
        else:
            floats[27 + 2 * i] = value
    return _with_mask([words, recent.view(np.uint32), biases], sampling)


def _others(steps: Sequence[SampleStep], n_vocab: int) -> list[tuple[int, float]] | None:
    """The steps after penalties and biases as pairs of a kind and a number."""
    found: list[tuple[int, float]] = []
    for step in steps:
        kind, value = SampleKind(step.kind), float(step.value[0])
        if kind == SampleKind.TOP_K:
            if 0 < step.count[0] < n_vocab:
                found.append((kind, step.count[0]))
            if step.count[0] >= min(KEEP, n_vocab):
                return None
        elif kind == SampleKind.TOP_P and step.min_keep == 1 and 0.0 < value <= 1.0:
            found += [(kind, value)] if value < 1.0 else []
        elif kind == SampleKind.MIN_P and step.min_keep == 1 and value <= 0.0:
            found.append((kind, -value))
        elif kind == SampleKind.TEMPERATURE and isfinite(value) and value > 0.0:
            found += [(kind, float(np.float32(value)))] if value != 1.0 else []
        elif kind == SampleKind.GREEDY:
            found.append((kind, 0.0))
        else:
            return None
    return found


def _changes(
    words: NDArray[np.uint32], changes: Sequence[SampleStep]
) -> tuple[NDArray[np.uint32], int]:
    """Fill in penalties and biases; return pairs of ids and biases, and the largest window."""
    pairs, n_pairs, most = [np.zeros(0, np.uint32)], 0, 0
    for i, step in enumerate(changes):
        to = slice(42 + 3 * i, 45 + 3 * i)
        if step.kind == SampleKind.LOGIT_BIAS:
            n = step.count[0]
            if n:
                ids, values = view(step.ids, n, np.int32), view(step.biases, n, np.float32)
                both = np.stack([ids.view(np.uint32), values.view(np.uint32)], axis=1)
                pairs.append(both.reshape(-1))
            words[to] = step.kind, n_pairs, n
            n_pairs += n
        else:
            window = step.count[0] if step.count[0] >= 0 else NO_END
            words[to][:2] = step.kind, window
            words[to][2:] = np.float32(step.value[0]).reshape(1).view(np.uint32)
            most = max(most, window)
    return np.concatenate(pairs), most


def _scale(others: Sequence[tuple[int, float]]) -> tuple[float, int]:
    """Return what logits are multiplied with where the sum of all weights is needed first.

    0: it is not needed. Also how many times they are divided in all.
    """
    heats = [value for kind, value in others if kind == SampleKind.TEMPERATURE]
    scale = 1.0
    for kind, value in others:
        if kind == SampleKind.TEMPERATURE:
            scale /= value
        else:
            return (scale if kind == SampleKind.TOP_P else 0.0), len(heats)
    return scale, len(heats)


def _in_range(ids: NDArray[np.int32], n_vocab: int) -> bool:
    return not len(ids) or (int(ids.min()) >= 0 and int(ids.max()) < n_vocab)


def _with_mask(parts: list[NDArray[np.uint32]], sampling: Sampling) -> NDArray[np.uint32]:
    """The whole record."""
    if sampling.mask is not None:
        parts[0][4], parts[0][9] = 1, sum(map(len, parts))
        parts.append(sampling.mask[: -(-sampling.sampler.n_vocab // 32)])
    return np.concatenate(parts)
