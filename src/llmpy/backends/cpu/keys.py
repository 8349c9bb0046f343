"""Keys out of pages and back, in NumPy: the layouts of attend_cache.inl."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import PAGE_TOKENS

__all__ = ["CODECS", "Codec"]

Bytes = NDArray[np.uint8]  # those of a head
Rows = NDArray[np.float32]  # [PAGE_TOKENS, d]
_INT14 = 8191.0  # the largest number of a token's key in a head
_TINY = np.float32(2.0**-100)  # steps below this are none


class Codec(NamedTuple):
    """`read(head, d, offset)` gives the keys in the bytes of a head, `write` stores them there.

    `offset`: what the bytes of numbers are exclusively or-ed with, at levels where that is so.
    """

    read: Callable[[Bytes, int, int], Rows]
    write: Callable[[Bytes, Rows, int], None]


def _int14_parts(head: Bytes, d: int) -> tuple[NDArray[np.int16], Rows]:
    n_pairs = -(-d // 16) * 8
    size = n_pairs * PAGE_TOKENS * 4
    pairs = head[:size].view(np.int16).reshape(n_pairs, PAGE_TOKENS, 2)
    return pairs, head[size : size + 4 * PAGE_TOKENS].view(np.float32)


def _read_int14(head: Bytes, d: int, _offset: int) -> Rows:
    pairs, steps = _int14_parts(head, d)
    numbers = pairs.transpose(1, 0, 2).reshape(PAGE_TOKENS, -1)[:, :d]
    return np.asarray(numbers * steps[:, None], np.float32)


def _write_int14(head: Bytes, rows: Rows, _offset: int) -> None:
    d = rows.shape[1]
    pairs, steps = _int14_parts(head, d)
    step = np.abs(rows).max(1) * np.float32(1 / _INT14)
    step[step < _TINY] = 0
    factor = np.divide(1, step, out=np.zeros_like(step), where=step > 0)
    numbers = np.zeros((PAGE_TOKENS, len(pairs) * 2), np.int16)
    numbers[:, :d] = np.rint(rows * factor[:, None])
    pairs[...] = numbers.reshape(PAGE_TOKENS, -1, 2).transpose(1, 0, 2)
    steps[...] = step


def _read_f32(head: Bytes, d: int, _offset: int) -> Rows:
    return head.view(np.float32).reshape(d, PAGE_TOKENS).T.copy()


def _write_f32(head: Bytes, rows: Rows, _offset: int) -> None:
    head.view(np.float32).reshape(-1, PAGE_TOKENS)[...] = rows.T


def _q8_0_parts(head: Bytes, d: int) -> tuple[Bytes, NDArray[np.float16]]:
    n_blocks = -(-d // 32)
    size = n_blocks * 32 * PAGE_TOKENS
    quads = head[:size].reshape(n_blocks * 8, PAGE_TOKENS, 4)
    scales = head[size : size + 2 * n_blocks * PAGE_TOKENS].view(np.float16)
    return quads, scales.reshape(n_blocks, PAGE_TOKENS)


def _read_q8_0(head: Bytes, d: int, offset: int) -> Rows:
    quads, scales = _q8_0_parts(head, d)
    numbers = (quads ^ np.uint8(offset)).view(np.int8).transpose(1, 0, 2)
    blocks = numbers.reshape(PAGE_TOKENS, -1, 32) * scales.T.astype(np.float32)[:, :, None]
    return np.asarray(blocks.reshape(PAGE_TOKENS, -1)[:, :d], np.float32)


def _write_q8_0(head: Bytes, rows: Rows, offset: int) -> None:
    d = rows.shape[1]
    quads, scales = _q8_0_parts(head, d)
    padded = np.zeros((PAGE_TOKENS, len(scales) * 32), np.float32)
    padded[:, :d] = rows
    blocks = padded.reshape(PAGE_TOKENS, -1, 32)
    size = np.abs(blocks).max(2)
    size[size < _TINY] = 0
    factor = np.divide(127, size, out=np.zeros_like(size), where=size > 0)
    numbers = np.rint(blocks * factor[:, :, None]).astype(np.int8)
    found = numbers.reshape(PAGE_TOKENS, -1, 4).transpose(1, 0, 2)
    quads[...] = np.ascontiguousarray(found).view(np.uint8) ^ np.uint8(offset)
    scales[...] = (size / np.float32(127)).T


def _read_f16(head: Bytes, d: int, _offset: int) -> Rows:
    return np.asarray(head.view(np.float16).reshape(-1, PAGE_TOKENS)[:d].T, np.float32)


def _write_f16(head: Bytes, rows: Rows, _offset: int) -> None:
    head.view(np.float16).reshape(-1, PAGE_TOKENS)[: rows.shape[1]] = rows.T


def _q4_0_parts(head: Bytes, d: int) -> tuple[Bytes, NDArray[np.float16]]:
    n_blocks = -(-d // 32)
    size = n_blocks * 16 * PAGE_TOKENS
    quads = head[:size].reshape(n_blocks, 4, PAGE_TOKENS, 4)
    scales = head[size : size + 2 * n_blocks * PAGE_TOKENS].view(np.float16)
    return quads, scales.reshape(n_blocks, PAGE_TOKENS)


def _read_q4_0(head: Bytes, d: int, _offset: int) -> Rows:
    quads, scales = _q4_0_parts(head, d)
    halves = np.concatenate([quads & 15, quads >> 4], axis=1).transpose(2, 0, 1, 3)
    numbers = halves.reshape(PAGE_TOKENS, -1, 32).astype(np.float32) - 8
    blocks = numbers * scales.T.astype(np.float32)[:, :, None]
    return np.asarray(blocks.reshape(PAGE_TOKENS, -1)[:, :d], np.float32)


def _write_q4_0(head: Bytes, rows: Rows, _offset: int) -> None:
    d = rows.shape[1]
    quads, scales = _q4_0_parts(head, d)
    padded = np.zeros((PAGE_TOKENS, len(scales) * 32), np.float32)
    padded[:, :d] = rows
    blocks = padded.reshape(PAGE_TOKENS, -1, 32)
    at = np.abs(blocks).argmax(2)[:, :, None]
    scale = np.take_along_axis(blocks, at, 2)[:, :, 0] / np.float32(-8)
    scale[np.abs(scale) * 8 < _TINY] = 0
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    numbers = np.minimum(blocks * inverse[:, :, None] + np.float32(8.5), 15).astype(np.uint8)
    halves = numbers.reshape(PAGE_TOKENS, len(scales), 8, 4).transpose(1, 2, 0, 3)
    quads[...] = halves[:, :4] | halves[:, 4:] << 4
    scales[...] = scale.T


CODECS = {
    "int14": Codec(_read_int14, _write_int14),
    "f32": Codec(_read_f32, _write_f32),
    "q8_0": Codec(_read_q8_0, _write_q8_0),
    "f16": Codec(_read_f16, _write_f16),
    "q4_0": Codec(_read_q4_0, _write_q4_0),
}
"""By storage type; keys of others cannot be changed."""
