"""The few logits that samplers need, found on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import Sampling
from llmpy.backends.gpu.candidates import (
    SEGMENT,
    WORDS_OF_SEGMENT,
    Array,
    Ids,
    Rule,
    candidates,
    rule_of,
)
from llmpy.backends.gpu.device import Buffer, Device, Program, Step
from llmpy.backends.gpu.tensors import Kept

__all__ = ["Top"]


class Top:
    """Runs the kernel `top` on rows of `n_vocab` logits, and makes sparse rows of what it finds."""

    def __init__(self, device: Device, n_vocab: int) -> None:
        self._device, self._n_vocab = device, n_vocab
        self._room = (0, 0)  # rows, and logits of each
        self._mask, self._found = Kept(None), Kept(None)
        self._program: Program = None
        self._made_for: Any = None
        self._rows: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._set: list[tuple[int, NDArray[np.int32]]] = []  # what of them is not -inf

    def found(
        self, header: Buffer, arena: Buffer, at: int, samplings: Sequence[Sampling]
    ) -> NDArray[np.float32] | None:
        """Return rows for samplers, of the logits that lie `at` in the arena; None: take all."""
        n = {each.sampler.n_vocab for each in samplings}
        rules = [rule for each in samplings if (rule := rule_of(each)) is not None]
        if len(n) != 1 or max(n) > self._n_vocab or len(rules) < len(samplings):
            return None
        (n_seen,) = n
        parts, words = -(-n_seen // SEGMENT), -(-n_seen // 32)
        self._reserve(len(samplings), n_seen)
        masked = any(each.mask is not None for each in samplings)
        if masked:
            every = np.full(words, 0xFFFFFFFF, np.uint32)
            masks = [every if each.mask is None else each.mask[:words] for each in samplings]
            self._device.write(self._mask.buffer, 0, np.concatenate(masks))
        values = {
            "x": at, "n": self._n_vocab, "n_seen": n_seen, "parts": parts, "words": words,
            "has_mask": int(masked),
        }  # fmt: skip
        known = self._made_for
        if known is None or known[0] is not header or known[1] is not arena or known[2] != values:
            step = Step("top", "output", parts, values, (self._mask, self._found))
            self._program = self._device.program([step], header, arena)
            self._made_for = header, arena, values
        self._device.run(self._program, {"output": len(samplings)})
        size = 4 * parts * WORDS_OF_SEGMENT * len(samplings)
        data = np.frombuffer(self._device.read(self._found.buffer, 0, size), np.uint32)
        rows = data.reshape(len(samplings), parts, WORDS_OF_SEGMENT)
        raised = [
            self._raised(arena, at + i * self._n_vocab, each, rule)
            for i, (each, rule) in enumerate(zip(samplings, rules, strict=True))
        ]
        return self._sparse(samplings, rules, rows, raised)

    def close(self) -> None:
        """Free all buffers."""
        for kept in (self._mask, self._found):
            if kept.buffer is not None:
                self._device.free(kept.buffer)
            kept.buffer = None
        self._program = self._made_for = None
        self._room = (0, 0)

    def _sparse(
        self,
        samplings: Sequence[Sampling],
        rules: Sequence[Rule],
        found: NDArray[np.uint32],
        raised: Sequence[tuple[Ids, Array]],
    ) -> NDArray[np.float32] | None:
        """Rows that are -inf but for the candidates."""
        for row, ids in self._set:
            self._rows[row, ids] = -np.inf
        self._set = []
        n_seen = samplings[0].sampler.n_vocab
        if self._rows.shape[1] != n_seen or len(self._rows) < len(samplings):
            self._rows = np.full(
                (max(len(samplings), len(self._rows)), n_seen), -np.inf, np.float32
            )
        for i, (each, rule) in enumerate(zip(samplings, rules, strict=True)):
            some = candidates(each, rule, found[i], raised[i])
            if some is None:
                return None
            ids, logits = some
            self._rows[i, ids] = logits
            self._set.append((i, ids))
        return self._rows[: len(samplings)]

    def _raised(self, arena: Buffer, at: int, sampling: Sampling, rule: Rule) -> tuple[Ids, Array]:
        """Tokens with a positive bias that may come, and their logits, from a row in the arena."""
        ids = [i for i in rule.raised.tolist() if 0 <= i < sampling.sampler.n_vocab]
        if (mask := sampling.mask) is not None:
            ids = [i for i in ids if mask[i // 32] >> (i % 32) & 1]
        data = [self._device.read(arena, 4 * (at + i), 4) for i in ids]
        return np.array(ids, np.int32), np.frombuffer(b"".join(data), np.float32)

    def _reserve(self, n_rows: int, n_seen: int) -> None:
        """Make room for so many rows, and for more so that this is rare."""
        if n_rows <= self._room[0] and n_seen == self._room[1]:
            return
        self.close()
        n_rows = 1 << (n_rows - 1).bit_length()
        self._mask.buffer = self._device.buffer(4 * n_rows * -(-n_seen // 32))
        size = 4 * n_rows * -(-n_seen // SEGMENT) * WORDS_OF_SEGMENT
        self._found.buffer = self._device.buffer(size)
        self._room = n_rows, n_seen
