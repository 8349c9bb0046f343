"""The kernels `top` and `draw` in NumPy; `Run` is that of recording.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.gpu.candidates import ROOM, SEGMENT, WORDS_OF_SEGMENT

Array = NDArray[Any]
NONE = 0xFFFFFFFF
KEEP = 1024
ERROR = 2e-6  # of a sum of weights, as a share of it
ERROR_OF_ALL = 6e-6  # of a sum over all logits


class Record(NamedTuple):
    """What a sampler is told of its chain; see samplers.py."""

    words: Array
    slot: int
    ids: Array

    @property
    def recent(self) -> Array:
        """The latest tokens that the chain looks at, the last one first."""
        n = int(self.words[1])
        since, before = self.ids[: self.slot][::-1], self.words[60 : 60 + n][::-1]
        return np.concatenate([since, before])[: int(self.words[2])]

    @property
    def biases(self) -> Array:
        first, n = int(self.words[8]), int(self.words[3])
        return self.words[first : first + 2 * n].reshape(n, 2)

    @property
    def apart(self) -> Array:
        return np.concatenate([self.recent, self.biases[:, 0]]).astype(np.int64)

    def allowed(self, n: int) -> Array:
        """Which of `n` tokens the mask lets come."""
        if not self.words[4]:
            return np.ones(n, bool)
        first = int(self.words[9])
        bits = self.words[first : first + -(-n // 32)].view(np.uint8)
        return np.unpackbits(bits, count=n, bitorder="little").view(bool)

    def float(self, i: int) -> float:
        return float(self.words[i : i + 1].view(np.float32)[0])

    def is_rough(self, token: int) -> bool:
        """Whether a frequency penalty of it is a product that may be rounded in two ways."""
        counts = [
            int((self.recent[: self.words[43 + 3 * i]] == token).sum())
            for i in range(int(self.words[6])) if self.words[42 + 3 * i] == 6
        ]  # fmt: skip
        return any(n & (n - 1) for n in counts)

    def changed(self, token: int, logit: np.float32) -> np.float32:
        """The logit of a token after penalties and biases."""
        for i in range(int(self.words[6])):
            kind, a, b = self.words[42 + 3 * i : 45 + 3 * i].tolist()
            if kind == 8:
                for at, bias in self.biases[a : a + b].tolist():
                    if at == token:
                        logit = logit + np.uint32(bias).view(np.float32)
                continue
            count, penalty = int((self.recent[:a] == token).sum()), np.uint32(b).view(np.float32)
            if count and kind == 5:
                logit = logit / penalty if logit > 0 else logit * penalty
            elif count:
                logit = logit - (np.float32(count) * penalty if kind == 6 else penalty)
        return np.float32(logit)


def records(r: Any, samplers: int, ids: int) -> list[Record]:
    words, recent = r.buffers[samplers].view(np.uint32), r.buffers[ids].view(np.uint32)
    return [Record(words[int(words[i]) :], r.count("slot"), recent) for i in range(r.n)]


def seen(r: Any, record: Record, row: int) -> Array:
    """The logits of a row, those that the mask forbids at -inf."""
    x = r.at(r.x, r.step.values["n"])[row, : r.n_seen]
    return np.where(record.allowed(r.n_seen), x, np.float32(-np.inf))


def top(r: Any) -> None:
    out = r.buffers[2].view(np.uint32)
    for row, record in enumerate(records(r, 0, 1)):
        x = seen(r, record, row)
        x[record.apart] = -np.inf
        for part in range(r.parts):
            first, place = part * SEGMENT, (row * r.parts + part) * WORDS_OF_SEGMENT
            of = x[first : first + SEGMENT]
            order = np.argsort(-of, kind="stable")[: np.count_nonzero(~(of == -np.inf))]
            kept, left = order[:ROOM], order[ROOM:]
            bad = not np.isfinite(np.where(of == -np.inf, 0, of)).all()
            weights = np.exp((of[left].astype(np.float64) - of[order[:1]]) * record.float(5))
            least = of[kept[-1]] if len(kept) == ROOM else None
            out[place : place + 5] = (
                len(kept) if least is None else np.count_nonzero(of >= least),
                1 if least is None else key_of(least),
                bad,
                np.float32(weights.sum()).view(np.uint32),
                key_of(of[order[0]]) if len(order) else 0,
            )
            out[place + 8 :][: len(kept)] = first + kept
            out[place + 8 + ROOM :][: len(kept)] = of[kept].view(np.uint32)


def key_of(value: np.float32) -> int:
    bits = int((value + np.float32(0)).view(np.uint32))
    return ~bits & 0xFFFFFFFF if bits >> 31 else bits | 1 << 31


def draw(r: Any) -> None:
    found = r.buffers[1].view(np.uint32)[: r.n * r.parts * WORDS_OF_SEGMENT]
    found = found.reshape(r.n, r.parts, WORDS_OF_SEGMENT)
    ids = r.buffers[3].view(np.uint32)
    for row, record in enumerate(records(r, 0, 3)):
        token = Draw(record, seen(r, record, row), found[row]).token()
        ids[r.count("slot") + row] = NONE if token is None else token
        if row == 0:
            ids[r.counts + 3 * r.count("slot") :][:3] = token is not None


class Draw:
    """One draw; anything that is not sure ends it by NotSure."""

    def __init__(self, record: Record, x: Array, found: Array) -> None:
        self.record, self.all = record, x.copy()
        counts = np.minimum(found[:, 0], ROOM).astype(int)
        self.wrong = found[:, 2].any()
        names = np.concatenate([f[8 : 8 + n] for f, n in zip(found, counts, strict=True)])
        bits = [f[8 + ROOM : 8 + ROOM + n] for f, n in zip(found, counts, strict=True)]
        values = np.concatenate(bits).view(np.float32)
        apart = np.unique(record.apart).astype(np.int64)
        changed = np.array([record.changed(i, x[i]) for i in apart], np.float32)
        rough = [i for i, token in enumerate(apart) if record.is_rough(token)]
        extents = 3e-6 * np.abs(np.concatenate([x[apart[rough]], changed[rough], [0]]))
        self.off = float(extents[extents < np.inf].max())
        self.wrong |= bool(np.isnan(changed).any() or (changed == np.inf).any())
        self.all[apart] = changed
        names, values = np.concatenate([names, apart]), np.concatenate([values, changed])
        names, values = names[values > -np.inf].astype(int), values[values > -np.inf]
        full = found[:, 0] >= ROOM
        least = np.where(found[:, 1] >> 31, found[:, 1] & 0x7FFFFFFF, ~found[:, 1])
        ends = least.astype(np.uint32).view(np.float32)[full]
        ends = np.where(found[full, 0] > ROOM, ends, np.nextafter(ends, np.float32(-np.inf)))
        order = np.lexsort((names, -values))
        bound = max(ends, default=-np.inf)
        if np.count_nonzero(values > bound) > KEEP:
            bound = values[order[KEEP - 1]]
        self.bound = float(bound)
        kept = order[values[order] > bound]
        self.values, self.numbers = values[kept], names[kept]
        most, scale = values.max(initial=-np.inf), record.float(5)
        self.most = abs(float(most))
        rest = values[values <= bound].astype(np.float64)
        self.left = float(np.exp((rest - most) * scale).sum())
        for f in found[found[:, 4] > 0]:
            most_here = float(np.frombuffer(f[8 + ROOM :].tobytes(), np.float32)[: f[0]].max())
            of = float(f[3:4].view(np.float32)[0])
            self.left += of * float(np.exp((most_here - most) * scale))

    def cut(self, n: int, bound: float) -> None:
        values = np.append(self.values, np.float32(bound))
        last, after = values[n - 1 : n + 1]
        may_tie = self.off > 0 or n == len(self.values)
        self.check(not may_tie or last - after > 2 * self.off)
        self.values, self.numbers = self.values[:n], self.numbers[:n]

    def check(self, sure: Any) -> None:
        if not sure:
            raise NotSure

    def token(self) -> int | None:
        try:
            self.check(not self.wrong)
            return self._token()
        except NotSure:
            return None

    def _token(self) -> int:
        bound = np.float32(self.bound)
        for i in range(int(self.record.words[0])):
            kind, count = self.record.words[26 + 2 * i : 28 + 2 * i].tolist()
            value, n = self.record.float(27 + 2 * i), len(self.values)
            if kind == 1:
                self.values, bound = self.values / np.float32(value), bound / np.float32(value)
                self.off /= value
                same = self.values[1:] == self.values[:-1]
                self.check((self.numbers[1:] > self.numbers[:-1])[same].all())
                self.all = self.all / np.float32(value)
                continue
            self.check(n)
            if kind == 0:
                n = 1
            elif kind == 2:
                self.check(bound == -np.inf or count <= n)
                n = min(n, count)
            elif kind == 3:
                n = self._likeliest(value, bound)
            else:
                n = self._near(value, bound)
            self.cut(n, bound)
            bound = np.float32(-np.inf)
        error = ERROR + 5e-9 * len(self.values)
        if bound > -np.inf:  # all of them
            self.numbers = np.flatnonzero(self.all > -np.inf)
            self.values, error = self.all[self.numbers], self.error_of_all()
        self.check(len(self.values))
        if len(self.values) == 1:
            return int(self.numbers[0])
        order = np.argsort(self.numbers)
        weights = self.weights()[order]
        ends = weights.cumsum()
        u = self.record.float(10 + self.record.slot)
        at = min(int(np.searchsorted(ends, u * ends[-1], side="right")), len(ends) - 1)
        near = np.abs(ends[:-1] - u * ends[-1]) < (error + 2 * self.off) * ends[-1]
        self.check(not near.any())
        return int(self.numbers[order[at]])

    def weights(self) -> Array:
        found: Array = np.exp(self.values.astype(np.float64) - float(self.values.max()))
        return found

    def error_of_all(self) -> float:
        return ERROR_OF_ALL + self.record.float(7) * self.most * self.record.float(5)

    def _likeliest(self, share: float, bound: float) -> int:
        weights = self.weights()
        left = self.left if bound > -np.inf else 0.0
        total = weights.sum() + left
        error, border = (ERROR + 2 * self.off) * total + self.error_of_all() * left, share * total
        self.check(bound == -np.inf or weights.sum() - error >= border)
        above = weights.cumsum() - weights
        self.check(np.abs(above[1:] - border).min(initial=np.inf) > error)
        return max(1, int((above < border).sum()))

    def _near(self, below: float, bound: float) -> int:
        away = float(self.values[0]) - self.values.astype(np.float64)
        error = (abs(float(self.values[0])) + below) * 2.5e-7 + 2 * self.off
        largest = away == 0
        largest[1:] &= self.off == 0
        self.check(np.abs(away - below)[~largest].min(initial=np.inf) > error)
        self.check(float(self.values[0]) - float(bound) > below + error)
        return int((largest | (away <= below)).sum())


class NotSure(Exception):
    """The host has to draw."""
