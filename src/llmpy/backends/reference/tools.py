"""Helpers that the definitions of operations share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.graph.attributes import Attend

__all__ = ["Array", "Step", "gelu", "gelu_exact", "product", "silu", "softmax", "visible"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Step:
    """The batch as an operation sees it: the token, position and sequence of each of its rows."""

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sessions: NDArray[np.int32]
    output_rows: NDArray[np.int32]
    ends: NDArray[np.int64]  # of each session, how many tokens it holds with this batch
    history: Callable[[int, int, int], Array]  # (cache, session, n) -> its first n rows
    remember: Callable[[int, Array], None]  # (cache, rows [T, ...])
    state: Callable[[int, int], Array]  # (recurrence, session) -> its array, to be changed in place


def product(w: Array, x: Array) -> Array:
    """x [T, n] times w [m, n], row by row: how many rows there are cannot change any sum."""
    return np.stack([w @ row for row in x]) if len(x) else np.empty((0, len(w)), np.float32)


def visible(attrs: Attend, at: Any, end: int) -> tuple[Any, Any]:
    """The first token that one at position `at` (or each of an array) sees, and their end.

    `end` is that of its sequence.
    """
    window = attrs.window
    if attrs.causal:
        return np.maximum(0, at + 1 - window) if window else 0 * at, at + 1
    half = window // 2 if window else end
    return np.maximum(0, at - half), np.minimum(end, at + half + 1)


def softmax(x: Array) -> Array:
    """Over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = e / e.sum(axis=-1, keepdims=True)
    return y


def silu(x: Array) -> Array:
    """x / (1 + exp(-x))."""
    y: Array = x / (1 + np.exp(-x))
    return y


def gelu(x: Array) -> Array:
    """By tanh."""
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
    y: Array = np.float32(0.5) * x * (1 + np.tanh(inner))
    return y


def gelu_exact(x: Array) -> Array:
    """By erf."""
    y: Array = np.float32(0.5) * x * (1 + _erf(x / np.float32(math.sqrt(2))))
    return y


_erf = np.vectorize(math.erf, otypes=[np.float32])
