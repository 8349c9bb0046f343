"""A device that executes each kernel in NumPy and records what ran.

Nothing here knows of an API; kernels are written from the table of `device.py` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy import quant
from llmpy.backends.gpu.device import KERNELS, ROWS, Step, n_items
from llmpy.backends.gpu.header import CHUNK, FIELDS
from llmpy.backends.gpu.lowering import FUNCTIONS
from llmpy.backends.gpu.pages import CacheSlab, Slab, decoded, encoded
from llmpy.backends.gpu.plan import PART
from llmpy.backends.reference.moe import ACTIVATIONS, route
from llmpy.backends.reference.ops import OPERATIONS
from llmpy.backends.reference.tools import product, visible
from llmpy.dtypes import BY_NAME
from llmpy.errors import OutOfMemory
from llmpy.graph import Node
from llmpy.graph.attributes import NOTHING, Attend, Recurrent, Route
from tests.backends.gpu import drawing

Array = NDArray[Any]


class RecordingDevice:
    """`ran` has the names of the kernels that were run; `capacity`: bytes that there are."""

    name = "NumPy"
    software = True
    shared = False

    def __init__(self, limit: int = 1 << 30, capacity: int = 1 << 40) -> None:
        self.limit, self.capacity = limit, capacity
        self.allocated = 0
        self.ran: list[str] = []

    def buffer(self, n_bytes: int) -> Array:
        if self.allocated + n_bytes > self.capacity:
            raise OutOfMemory(f"cannot allocate {n_bytes} bytes")
        self.allocated += n_bytes
        return np.zeros(-(-n_bytes // 4) * 4, np.uint8)

    def free(self, buffer: Array) -> None:
        self.allocated -= buffer.nbytes

    def write(self, buffer: Array, offset: int, data: Any) -> None:
        found = np.frombuffer(data, np.uint8)
        assert offset % 4 == 0
        assert found.size % 4 == 0
        assert offset + found.size <= buffer.size
        buffer[offset : offset + found.size] = found

    def read(self, buffer: Array, offset: int, n_bytes: int) -> bytes:
        return buffer[offset : offset + n_bytes].tobytes()

    def copy(self, source: Array, start: int, target: Array, to: int, n_bytes: int) -> None:
        target[to : to + n_bytes] = source[start : start + n_bytes]

    def program(self, steps: Sequence[Step], header: Array, arena: Array) -> Any:
        for step in steps:
            assert set(step.values) == set(KERNELS[step.kernel].fields) - {"rows", "items"}
            assert len(step.buffers) == len(KERNELS[step.kernel].buffers)
        return [(step, header, arena) for step in steps]

    def run(self, program: Any, rows: Mapping[str, int]) -> None:
        for step, header, arena in program:
            # The header may have no rows where the host thinks that there is one.
            kind = {"chunks": 0, "output_chunks": 1}.get(step.rows, ROWS.index(step.rows))
            has_rows = kind > 2 or header.view(np.uint32)[kind]
            if n_items(step, rows) and has_rows:
                self.ran.append(step.kernel)
                with np.errstate(all="ignore"):
                    _KERNELS[step.kernel](Run(step, rows[step.rows], header, arena))

    def free_memory(self) -> int | None:
        return self.capacity - self.allocated

    def close(self) -> None:
        pass


class Run:
    """One step: its parameters are attributes, values of the arena are arrays of `n` rows."""

    def __init__(self, step: Step, n: int, header: Array, arena: Array) -> None:
        self.step, self.n, self.header = step, n, header
        self.arena, self._words = arena.view(np.float32), header.view(np.uint32)
        self.buffers = [held.buffer for held in step.buffers]

    def __getattr__(self, name: str) -> Any:
        return self.step.values[name]

    def at(self, place: int, *shape: int) -> Array:
        """The rows of a value, to be read or written."""
        size = self.n * int(np.prod(shape))
        return self.arena[place : place + size].reshape(self.n, *shape)

    def floats(self, buffer: int) -> Array:
        return self.buffers[buffer].view(np.float32)

    def section(self, name: str, size: int) -> Array:
        first = int(self._words[FIELDS.index(name)])
        return self._words[first : first + size].astype(np.int64)

    def count(self, name: str) -> int:
        return int(self._words[FIELDS.index(name)])

    def token_rows(self) -> Array:
        if self.step.rows == "output":
            return self.section("output_rows", self.n)
        return np.arange(self.n)

    def by_token(self, name: str) -> Array:
        return self.section(name, self.count("n_all"))[self.token_rows()]

    def sequences(self) -> list[tuple[int, Array]]:
        """The index of the state of each sequence, and its rows in order."""
        n, order = self.count("n_sessions"), self.section("order", self.count("n_all"))
        starts, states = self.section("starts", n + 1), self.section("states", n)
        return [(int(states[i]) - 1, order[starts[i] : starts[i + 1]]) for i in range(n)]

    def matrix(self, rows: Array, matrix: int = 0) -> Array:
        """Rows of a tiled matrix as float32 [rows, n_in]."""
        kind, words = BY_NAME[self.step.variant[0]], self.words
        n_in = self.step.values.get("n_in", self.step.values.get("n"))
        tiles = self.buffers[0].view(np.uint32)[
            : self.buffers[0].size // 4 // words // 32 * words * 32
        ]
        tiles = tiles.reshape(-1, words, 32)[self.base + matrix * self._tiles() :]
        packed = np.ascontiguousarray(tiles[rows // 32, :, rows % 32]).view(np.uint8)
        data = packed.reshape(len(rows), 4 * words)[:, : kind.row_bytes(n_in)]
        return quant.dequantize(kind, np.ascontiguousarray(data), (len(rows), n_in))

    def _tiles(self) -> int:
        return int(self.step.values.get("tiles", 0))


def _pack(r: Run) -> None:
    tiles = r.step.items // 32 // r.words
    rows = np.zeros((tiles * 32, 4 * r.words), np.uint8)
    size = r.n_rows * r.row_bytes
    rows[: r.n_rows, : r.row_bytes] = r.buffers[0][r.start : r.start + size].reshape(r.n_rows, -1)
    words = rows.view(np.uint32).reshape(tiles, 32, r.words).transpose(0, 2, 1)
    r.buffers[1].view(np.uint32)[r.to : r.to + words.size] = words.reshape(-1)


def _embed(r: Run) -> None:
    index = np.full(r.n, r.offset)
    if r.mode == 0:
        index = r.by_token("tokens")
    elif r.mode == 1:
        index = r.by_token("positions") + r.offset
    here = (index >= r.first) & (index < r.first + r.n_rows)
    r.at(r.y, r.step.values["n"])[here] = r.matrix(index[here] - r.first)


def _linear(r: Run) -> None:
    n_in, n_out, per = r.n_in, r.n_out, r.per
    x = r.at(r.x, n_in).repeat(per, axis=0) if r.same_x else r.at(r.x, per, n_in)
    x, y = x.reshape(-1, n_in), r.at(r.y, per, n_out).reshape(-1, n_out)
    matrix = np.zeros(r.n * per, np.int64)
    if r.mode == 1:
        matrix = np.arange(r.n * per) % per
    elif r.mode == 2:
        matrix = r.at(r.chosen, 2, per)[:, 0].reshape(-1).astype(np.int64)
    if r.tile1 < r.tiles:
        _linears(r, x)
        return
    some = slice(r.first_row, r.first_row + r.n_rows)
    for m in range(r.first_matrix, r.first_matrix + r.n_matrices):
        of = np.flatnonzero(matrix == m)
        part = product(r.matrix(np.arange(r.n_rows), m - r.first_matrix), x[of])
        if r.has_bias:
            part += r.floats(1)[: (m + 1) * n_out].reshape(-1, n_out)[m][some]
        if r.has_residual:
            part += r.at(r.residual, n_out)[of][:, some]
        y[of, some] = part


def _linears(r: Run, x: Array) -> None:
    """Up to three matrices, one behind another."""
    biases = np.zeros(r.n_out + r.n1 + r.n2, np.float32)
    if r.has_bias:
        biases = r.floats(1)[: len(biases)]
    at = 0
    for tile, place, n in ((0, r.y, r.n_out), (r.tile1, r.y1, r.n1), (r.tile2, r.y2, r.n2)):
        if n:
            rows = 32 * tile + np.arange(n)
            r.at(place, n)[...] = product(r.matrix(rows), x) + biases[at : at + n]
            at += n


def _norm(r: Run) -> None:
    x, y = r.at(r.x, r.per, r.width), r.at(r.y, r.per, 1 if r.kind == 2 else r.width)
    if r.kind == 2:
        y[...] = x.sum(-1, keepdims=True)
        return
    if r.kind == 1:
        x = x - x.mean(-1, keepdims=True)
    z = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(r.eps))
    y[...] = z
    for n, buffer, apply in ((r.n_weight, 0, np.multiply), (r.n_bias, 1, np.add)):
        if n:
            flat = y.reshape(-1, n)
            flat[...] = apply(flat, r.floats(buffer)[:n])


def _rope(r: Run) -> None:
    n, total = r.n_dims, r.count("n_all")
    first = r.count("ropes") + r.table * total
    turns = r._words[first : first + n * total].view(np.float32).reshape(total, 1, n // 2, 2)
    cos, sin = np.moveaxis(turns[r.token_rows()], -1, 0)
    a, b = (slice(n // 2), slice(n // 2, n)) if r.neox else (slice(0, n, 2), slice(1, n, 2))
    for from_, to, heads in ((r.x, r.y, r.heads), (r.x1, r.y1, r.heads1)):
        if heads:
            x, y = r.at(from_, heads, r.d), r.at(to, heads, r.d)
            y[...] = x
            y[..., a] = x[..., a] * cos - x[..., b] * sin
            y[..., b] = x[..., a] * sin + x[..., b] * cos


def _page(r: Run, session: int, i: int) -> int:
    first = int(r.section("first_page", session + 1)[session])
    return int(r.section("windows" if r.windowed else "pages", first + i + 1)[first + i]) - 1


def _slab(r: Run, heads: int, d: int) -> CacheSlab:
    return CacheSlab(heads, d, r.kind, False, Slab(0))


def _rows_of(r: Run, buffer: int, stride: int, heads: int, d: int) -> Callable[[int], Array]:
    """A page of keys or values, [64, heads, d]."""

    def page(i: int) -> Array:
        words = r.buffers[buffer].view(np.uint32)[i * stride : (i + 1) * stride]
        return decoded(_slab(r, heads, d), words.tobytes())

    return page


def _store(r: Run) -> None:
    caches = [
        (0, r.x, r.heads, r.d, r.words, r.stride), (1, r.x1, r.heads1, r.d1, r.words1, r.stride1),
    ]  # fmt: skip
    for buffer, place, heads, d, words, stride in caches if r.items1 else caches[:1]:
        x, slab = r.at(place, heads, d), _slab(r, heads, d)
        for t, (position, session) in enumerate(
            zip(r.by_token("positions"), r.by_token("sessions"), strict=True)
        ):
            first = _page(r, session, position // 64) * stride + position % 64 * words
            stored = encoded(slab, x[t : t + 1])
            r.buffers[buffer].view(np.uint32)[first : first + words] = stored


def _scores(r: Run, rows: int) -> Iterator[tuple[int, int, int, Array, Array]]:
    """For each row its number, the first position and the end, the scores, and the values."""
    q = r.arena[r.q : r.q + rows * r.heads * r.d].reshape(rows, r.kv, r.heads // r.kv, r.d)
    pages = (
        _rows_of(r, 0, r.key_stride, r.kv, r.d), _rows_of(r, 1, r.value_stride, r.kv, r.dv),
    )  # fmt: skip
    for t, (first, end, at, session) in enumerate(_seen(r, rows)):
        ids = [_page(r, session, i) for i in range(first // 64, -(-end // 64))]
        start = first // 64 * 64
        k, v = (
            np.concatenate([of(i) for i in ids])[first - start : end - start].astype(np.float32)
            for of in pages
        )
        scores = (q[t] @ k.transpose(1, 2, 0)).reshape(r.heads, -1) * np.float32(r.factor)
        if r.softcap:
            scores = np.tanh(scores / np.float32(r.softcap)) * np.float32(r.softcap)
        if r.has_alibi:
            distance = np.abs(at - np.arange(first, end)).astype(np.float32)
            scores = scores - r.floats(2)[: r.heads, None] * distance
        yield t, first, end, scores, np.repeat(v.transpose(1, 0, 2), r.heads // r.kv, axis=0)


def _seen(r: Run, rows: int) -> list[tuple[int, int, int, int]]:
    """The positions that each row sees, its own, and its sequence."""
    ends = r.section("ends", r.count("n_sessions"))
    attrs = Attend(1.0, r.window, bool(r.causal))
    of = r.section("output_rows", rows) if "output" in r.step.rows else np.arange(rows)
    n = r.count("n_all")
    at, sessions = (r.section(name, n)[of].tolist() for name in ("positions", "sessions"))
    return [
        (*visible(attrs, a, int(ends[session])), a, session)
        for a, session in zip(at, sessions, strict=True)
    ]


def _chunks(r: Run, rows: int) -> Iterator[tuple[int, int, Array]]:
    """For each row its number, its first chunk, and its chunks [heads, chunks, 2 + dv]."""
    for t, first, end, scores, v in _scores(r, rows):
        found = []
        for c in range(first // CHUNK, -(-end // CHUNK)):
            of = slice(max(c * CHUNK - first, 0), min((c + 1) * CHUNK, end) - first)
            most = scores[:, of].max(axis=1, keepdims=True)
            weights = np.exp(scores[:, of] - most)
            sums, out = weights.sum(axis=1, keepdims=True), (weights[:, None] @ v[:, of])[:, 0]
            found.append(np.concatenate([most, sums, out], axis=1))
        yield t, first // CHUNK, np.stack(found, axis=1)


def _merged(r: Run, chunks: Array, sinks: int) -> Array:
    """The chunks of a row together, and the sinks in that buffer; [heads, dv]."""
    most, sums, out = np.split(chunks, [1, 2], axis=2)
    top, sink = most.max(axis=1), r.floats(sinks)[: r.heads, None]
    if r.has_sinks:
        top = np.maximum(top, sink)
    fade = np.exp(most - top[:, None])
    total = (fade * sums).sum(axis=1)
    if r.has_sinks:
        total = total + np.exp(sink - top)
    return (fade * out).sum(axis=1) / total


def _attend(r: Run) -> None:
    y = r.at(r.y, r.heads, r.dv)
    for t, _, chunks in _chunks(r, r.n):
        y[t] = _merged(r, chunks, 3)


def _parts(r: Run, buffer: int, rows: int) -> Array:
    n_chunks = r.count("n_chunks")
    size = rows * r.heads * n_chunks * (r.dv + 2)
    return r.floats(buffer)[:size].reshape(rows, r.heads, n_chunks, -1)


def _attend_part(r: Run) -> None:
    rows = r.n // r.count("n_chunks")
    parts = _parts(r, 3, rows)
    for t, first, chunks in _chunks(r, rows):
        parts[t, :, first : first + chunks.shape[1]] = chunks


def _attend_merge(r: Run) -> None:
    y, parts = r.at(r.y, r.heads, r.dv), _parts(r, 1, r.n)
    for t, (first, end, *_) in enumerate(_seen(r, r.n)):
        y[t] = _merged(r, parts[t, :, first // CHUNK : -(-end // CHUNK)], 0)


def _function(number: int, x: Array) -> Array:
    node = Node(FUNCTIONS[number], (0,), (), NOTHING, x.shape[1:])
    return OPERATIONS[node.op](node, None, [x], [])  # type: ignore[arg-type]


def _map(r: Run) -> None:
    x, y = r.at(r.x, r.step.items), r.at(r.y, r.step.items)
    b = None if r.op == 2 else r.at(r.b, r.step.items)
    w = r.floats(0)[: r.n_weight]
    if r.op == 2:
        y[...] = x * r.at(r.b, r.step.items // r.last).repeat(r.last, axis=1)
    elif r.op in (3, 4):
        apply = np.add if r.op == 3 else np.multiply
        y[...] = apply(x.reshape(-1, r.n_weight), w).reshape(y.shape)
    elif r.op >= 32:
        y[...] = _function(r.op - 32, x) * b
    elif r.op >= 16:
        y[...] = _function(r.op - 16, x)
    else:
        y[...] = {
            0: lambda: x + b, 1: lambda: x * b, 5: lambda: x * np.float32(r.factor),
            6: lambda: np.clip(x, np.float32(r.low), np.float32(r.high)),
            7: lambda: ACTIVATIONS["swiglu_clamped"](x, b),
        }[r.op]()  # fmt: skip


def _copy(r: Run) -> None:
    outer = r.step.items // r.inner
    rows = r.section("output_rows", r.n) if r.gather else np.arange(r.n)
    o, j = np.arange(outer)[:, None], np.arange(r.inner)
    x = (rows * r.x_row)[:, None, None] + o // r.repeat * r.x_stride + r.x_start + j
    y = (np.arange(r.n) * r.y_row)[:, None, None] + o * r.y_stride + r.y_start + j
    r.arena[r.y + y] = r.arena[r.x + x]


def _route(r: Run) -> None:
    n = r.step.values["n"]
    gating = ("softmax", "sigmoid", "sparsemixer")[r.gating]
    attrs = Route(r.n_used, gating, bool(r.normalize), r.factor, r.n_group, r.n_group_used)
    node = Node("route", (0,), (), attrs, (n,))
    weights = [r.floats(0)[:n]] if r.has_bias else []
    r.at(r.y, n)[...] = route(node, None, [r.at(r.x, n)], weights)  # type: ignore[arg-type]


def _choose(r: Run) -> None:
    x, y = r.at(r.x, r.step.values["n"]), r.at(r.y, 2, r.n_used)
    y[:, 0] = np.argsort(-x, axis=1, kind="stable")[:, : r.n_used]
    y[:, 1] = np.take_along_axis(x, y[:, 0].astype(np.int64), 1)


def _largest(r: Run) -> None:
    x, slot = r.at(r.x, r.step.values["n"]), r.count("slot")
    found = r.buffers[0].view(np.uint32)[: 2 * r.n * r.parts].reshape(r.n, r.parts, 2)
    for row in range(r.n):
        best = found[row, x[row, found[row, :, 0]].argmax(), 0]
        r.buffers[1].view(np.uint32)[slot + row] = 0xFFFFFFFF if found[row, :, 1].any() else best


def _largest_part(r: Run) -> None:
    x = r.at(r.x, r.step.values["n"])
    for i in range(r.n * r.parts):
        first = i % r.parts * PART
        of = x[i // r.parts, first : first + PART]
        bad = not np.isfinite(np.where(of == -np.inf, 0, of)).all()
        r.buffers[0].view(np.uint32)[2 * i : 2 * i + 2] = first + of.argmax(), bad


def _combine(r: Run) -> None:
    n = r.step.values["n"]
    x, weights = r.at(r.x, r.n_used, n), r.at(r.chosen, 2, r.n_used)[:, 1]
    r.at(r.y, n)[...] = (x * weights[:, :, None]).sum(1)


class OneSequence:
    """What the reference's recurrent operations ask about a step, of one sequence."""

    def __init__(self, n: int, states: Sequence[Array]) -> None:
        self.sessions, self._states = np.zeros(n, np.int32), states

    def state(self, recurrence: int, _session: int) -> Array:
        return self._states[recurrence]


def _recurrent(r: Run) -> None:
    """By the reference, sequence after sequence."""
    v, op, total = r.step.values, r.step.kernel, Run(r.step, r.count("n_all"), r.header, r.arena)
    shapes: dict[str, list[tuple[str, tuple[int, ...]]]] = {
        "previous": [("x", (r.step.items,))],
        "conv": [("x", (r.step.items,))],
        "wkv4": [("k", (r.step.items,)), ("v", (r.step.items,))],
    }
    if op == "scan":
        shapes["scan"] = [
            ("x", (r.heads, r.d)), ("dt", (r.heads,)), ("b", (r.groups, v["n"])),
            ("c", (r.groups, v["n"])),
        ]  # fmt: skip
        state, weights = (r.heads, r.d, v["n"]), [(r.heads, r.n_a), (r.heads,)]
    elif op == "delta_rule":
        key = (r.heads, r.dk)
        shapes["delta_rule"] = [
            ("q", key), ("decay", (r.heads, r.n_decay)), ("k", key), ("v", (r.heads, r.dv)),
            ("a", key), ("b", key),
        ]  # fmt: skip
        state, weights = (r.heads, r.dv, r.dk), []
    else:
        n = r.step.items
        state = (r.width - 1, n) if op == "conv" else (n,)
        weights = {"conv": [(n, v.get("width", 1)), (n,)], "wkv4": [(n,), (n,)]}.get(op, [])
    if op == "conv" and not r.has_bias:
        weights = weights[:1]
    x = [total.at(v[name], *shape) for name, shape in shapes[op]]
    y = total.at(r.y, *shapes["delta_rule"][3][1] if op == "delta_rule" else x[0].shape[1:])
    w = [r.floats(i)[: int(np.prod(s))].reshape(s) for i, s in enumerate(weights)]
    first = len([b for b in KERNELS[op].buffers if not b.endswith("!")])
    node = Node(op, (0,), (), Recurrent(0), y.shape[1:])
    for at, rows in r.sequences():
        size = int(np.prod(state))
        states = [
            r.floats(i)[at * size : (at + 1) * size].reshape(state)
            for i in range(first, len(r.buffers))
        ]
        step: Any = OneSequence(len(rows), states)
        y[rows] = OPERATIONS[op](node, step, [z[rows] for z in x], w)


_KERNELS: dict[str, Callable[[Run], None]] = {
    "pack": _pack, "embed": _embed, "linear": _linear, "norm": _norm, "rope": _rope,
    "store": _store, "attend": _attend, "attend_part": _attend_part,
    "attend_merge": _attend_merge, "map": _map, "copy": _copy, "route": _route,
    "choose": _choose, "largest": _largest,
    "largest_part": _largest_part, "top": drawing.top, "draw": drawing.draw, "combine": _combine,
    **dict.fromkeys(("previous", "conv", "scan", "delta_rule", "wkv4"), _recurrent),
}  # fmt: skip
