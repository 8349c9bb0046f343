"""Sampling on the device: the token that a chain draws, or the few logits that the host needs."""

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
from llmpy.backends.gpu.samplers import AHEAD, APART, EMPTY, masked, record
from llmpy.backends.gpu.tensors import Kept

__all__ = ["NONE", "Top", "read_tokens"]

NONE = 0xFFFFFFFF  # in place of a token: it is not sure, or some logit is no finite number
Words = NDArray[np.uint32]


class Top:
    """Runs the kernels `top` and `draw` on rows of `n_vocab` logits.

    `version` rises when buffers are replaced, so that programs with `steps` have to be made again.
    """

    def __init__(self, device: Device, n_vocab: int) -> None:
        self._device, self._n_vocab = device, n_vocab
        self.version = 0
        self._room = (0, 0, 0)  # rows, logits of each that samplers see, words of records
        self._samplers, self._found, self._changed, self.ids = (Kept(None) for _ in range(4))
        self._programs: dict[bool, tuple[Buffer, Buffer, tuple[int, ...], Program]] = {}
        self._rows: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._set: list[tuple[int, NDArray[np.int32]]] = []  # what of them is not -inf

    def tell(self, records: Sequence[Words], n_seen: int) -> None:
        """Write the record of each row's sampler, which sees `n_seen` logits, to the device."""
        sizes = [len(each) for each in records]
        places = np.cumsum(sizes) - sizes + len(sizes)
        words = np.concatenate([places.astype(np.uint32), *records])
        self._reserve(len(records), n_seen, len(words))
        self._device.write(self._samplers.buffer, 0, words)

    def steps(self, x: Any, n_seen: int, *, draw: bool) -> list[Step]:
        """Return the steps for the logits at `x`; with `draw`, also the one that draws a token."""
        parts = -(-n_seen // SEGMENT)
        values = {"x": x, "n": self._n_vocab, "n_seen": n_seen, "parts": parts}
        top = Step("top", "output", parts, values, (self._samplers, self.ids, self._found))
        more = {"room": APART, "counts": self.counts}
        buffers = self._samplers, self._found, self._changed, self.ids
        return [top, Step("draw", "output", 1, values | more, buffers)][: 1 + draw]

    @property
    def counts(self) -> int:
        """The word of `ids` where the counts of rows of coming steps begin, three for each."""
        return max(self._room[0], AHEAD)

    def begin(self) -> None:
        """Have no tokens and no rows for the steps that are to come."""
        self._device.write(self.ids.buffer, 0, np.full(AHEAD, NONE, np.uint32))
        self._device.write(self.ids.buffer, 4 * self.counts, np.zeros(3 * AHEAD, np.uint32))

    def draw(
        self, header: Buffer, arena: Buffer, at: int, samplings: Sequence[Sampling]
    ) -> list[int] | None:
        """Return the token of each sampler, from the logits `at` in the arena.

        NONE where it is not sure or not for the device; None where all of them are not.
        """
        made = [record(each, each.rng.ahead(1) if each.rng else [0.0]) for each in samplings]
        if not any(words is not None for words in made):
            return None
        records = [EMPTY if words is None else words for words in made]
        if not self._ask(header, arena, at, samplings, records):
            return None
        found = zip(read_tokens(self._device, self.ids, len(samplings)), made, strict=True)
        return [NONE if words is None else token for token, words in found]

    def found(
        self, header: Buffer, arena: Buffer, at: int, samplings: Sequence[Sampling]
    ) -> NDArray[np.float32] | None:
        """Return rows for samplers, of the logits that lie `at` in the arena; None: take all."""
        rules = [rule for each in samplings if (rule := rule_of(each)) is not None]
        if len(rules) < len(samplings):
            return None
        if not self._ask(header, arena, at, samplings, [masked(each) for each in samplings], False):
            return None
        parts = -(-self._room[1] // SEGMENT)
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
        for kept in (self._samplers, self._found, self._changed, self.ids):
            if kept.buffer is not None:
                self._device.free(kept.buffer)
            kept.buffer = None
        self._programs = {}
        self._room = (0, 0, 0)

    def _ask(
        self,
        header: Buffer,
        arena: Buffer,
        at: int,
        samplings: Sequence[Sampling],
        records: Sequence[Words],
        draw: bool = True,
    ) -> bool:
        """Run the kernels; False where samplers see different numbers of logits."""
        n = {each.sampler.n_vocab for each in samplings}
        if len(n) != 1 or max(n) > self._n_vocab:
            return False
        (n_seen,) = n
        self.tell(records, n_seen)
        sizes, known = (at, n_seen, self.version), self._programs.get(draw)
        if known is None or known[0] is not header or known[1] is not arena or known[2] != sizes:
            program = self._device.program(self.steps(at, n_seen, draw=draw), header, arena)
            known = self._programs[draw] = header, arena, sizes, program
        self._device.run(known[3], {"output": len(samplings)})
        return True

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

    def _reserve(self, n_rows: int, n_seen: int, n_words: int) -> None:
        """Make room for so many rows and words of records, and for more so that this is rare."""
        rows, seen, words = self._room
        if n_rows <= rows and n_seen == seen and n_words <= words:
            return
        self.close()
        self.version += 1
        rows, words = (
            max(rows, 1 << (n_rows - 1).bit_length()),
            max(words, 1 << n_words.bit_length()),
        )
        self._samplers.buffer = self._device.buffer(4 * words)
        self._found.buffer = self._device.buffer(
            4 * rows * -(-n_seen // SEGMENT) * WORDS_OF_SEGMENT
        )
        self._changed.buffer = self._device.buffer(8 * rows * APART)
        self.ids.buffer = self._device.buffer(4 * (max(rows, AHEAD) + 3 * AHEAD))
        self._room = rows, n_seen, words


def read_tokens(device: Device, kept: Kept, n: int) -> list[int]:
    """Return the first `n` tokens that kernels have left in a buffer."""
    found: list[int] = np.frombuffer(device.read(kept.buffer, 0, 4 * n), np.uint32).tolist()
    return found
