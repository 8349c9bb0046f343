"""Structured damage to a GGUF file: two thousand variants of its bytes, the same in every run.

`mutants(data)` takes a sound little-endian GGUF 2 or 3 file of a Llama with a vocabulary and yields
(label, bytes). It knows the layout by itself, and shares no code with the reader that it tests.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

__all__ = ["mutants"]

CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = 4, 5, 6, 7, 8, 9, 10, 11, 12
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Pair:
    """One metadata key: its value as (type, bytes)."""

    key: str
    kind: int
    raw: bytes


@dataclass(frozen=True)
class Row:
    """One row of the tensor table; dims as stored, the row length first."""

    name: str
    dims: tuple[int, ...]
    kind: int
    offset: int


@dataclass
class Layout:
    """The parts of a file, and the place of each number in its header: (label, offset, code)."""

    pairs: list[Pair] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    fields: list[tuple[str, int, str]] = field(default_factory=list)
    end: int = 0  # of the header, before padding
    data: bytes = b""


class Scanner:
    """Reads a sound file and notes where its numbers stand."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.layout = data, 4, Layout()

    def number(self, code: str, label: str) -> int:
        self.layout.fields.append((label, self.at, code))
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return int(value) if code != "f" and code != "d" else 0

    def string(self, label: str) -> str:
        size = self.number("Q", f"length of {label}")
        self.at += size
        return self.data[self.at - size : self.at].decode("utf-8", "surrogateescape")

    def value(self, kind: int, label: str) -> None:
        if kind == STRING:
            self.string(label)
        elif kind == ARRAY:
            member = self.number("I", f"member type of {label}")
            count = self.number("Q", f"count of {label}")
            for i in range(count):
                known = len(self.layout.fields)
                self.value(member, f"{label}[{i}]")
                if 3 < i < count - 2:
                    del self.layout.fields[known:]
        else:
            self.number(CODES[kind], f"value of {label}")

    def scan(self) -> Layout:
        self.number("I", "version")
        n_rows, n_pairs = self.number("Q", "tensor count"), self.number("Q", "key count")
        for i in range(n_pairs):
            key = self.string(f"key {i}")
            kind = self.number("I", f"type of {key}")
            start = self.at
            self.value(kind, key)
            self.layout.pairs.append(Pair(key, kind, self.data[start : self.at]))
        for i in range(n_rows):
            name = self.string(f"tensor name {i}")
            n_dims = self.number("I", f"{name} n_dims")
            dims = tuple(self.number("Q", f"{name} dim {j}") for j in range(n_dims))
            kind = self.number("I", f"{name} type")
            self.layout.rows.append(Row(name, dims, kind, self.number("Q", f"{name} offset")))
        self.layout.end = self.at
        self.layout.data = self.data[-(-self.at // 32) * 32 :]
        return self.layout


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind: int, value: float) -> tuple[int, bytes]:
    return kind, struct.pack("<" + CODES[kind], value)


def string(value: str | bytes) -> tuple[int, bytes]:
    return STRING, text(value)


def strings(values: list[str | bytes]) -> tuple[int, bytes]:
    return ARRAY, struct.pack("<IQ", STRING, len(values)) + b"".join(map(text, values))


def numbers(kind: int, values: list[float]) -> tuple[int, bytes]:
    packed = struct.pack(f"<{len(values)}{CODES[kind]}", *values)
    return ARRAY, struct.pack("<IQ", kind, len(values)) + packed


def build(pairs: list[Pair], rows: list[Row], data: bytes) -> bytes:
    out = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(pairs))
    for pair in pairs:
        out += text(pair.key) + struct.pack("<I", pair.kind) + pair.raw
    for row in rows:
        out += text(row.name) + struct.pack("<I", len(row.dims))
        out += struct.pack(f"<{len(row.dims)}Q", *row.dims)
        out += struct.pack("<IQ", row.kind, row.offset)
    return out + bytes(-len(out) % 32) + data


def truncations(data: bytes, layout: Layout) -> Iterator[tuple[str, bytes]]:
    places = set(range(40)) | {at for _, at, _ in layout.fields[::3]}
    places |= {layout.end - 1, layout.end, layout.end + 1, -(-layout.end // 32) * 32}
    places |= {layout.end + i * (len(data) - layout.end) // 40 for i in range(40)}
    places |= {len(data) - 1, len(data) - 4, len(data) - 32}
    for place in sorted(places):
        yield f"cut at {place}", data[:place]


def magics(data: bytes) -> Iterator[tuple[str, bytes]]:
    for magic in (b"FUGG", b"lmgg", b"fmgg", b"tjgg", b"GGUf", b"\0\0\0\0", b"PK\3\4", b"<htm"):
        yield f"magic {magic!r}", magic + data[4:]
    for version in (0, 1, 2, 4, 5, 255, 1 << 16, 1 << 24, 2 << 24, 3 << 24, (1 << 32) - 1):
        yield f"version {version}", data[:4] + struct.pack("<I", version) + data[8:]
    yield (
        "byte order swapped",
        data[:4] + b"".join(data[i : i + 4][::-1] for i in range(4, len(data), 4)),
    )


def absurd(code: str, value: int) -> list[float]:
    """Values to put into a number's place."""
    if code in "fd":
        return [NAN, INF, -INF, 0.0, -1.0, 1e38, -1e-5, 1e-45]
    if code == "?":
        return []
    bits = struct.calcsize("<" + code) * 8
    low, high = (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    tries = [0, 1, value + 1, value - 1, high, low, high // 2 + 1, 2 * value, 1 << bits // 2]
    return sorted({t for t in tries if low <= t <= high and t != value})


def patched_fields(data: bytes, layout: Layout) -> Iterator[tuple[str, bytes]]:
    """Each number of the header replaced; of the tensors a sample."""
    skipped = {row.name for row in layout.rows[9:-2]}
    for label, at, code in layout.fields:
        if label.split(" ")[0] in skipped or label.startswith("length of tensor name 2"):
            continue
        (value,) = struct.unpack_from("<" + code, data, at)
        for new in absurd(code, value):
            raw = struct.pack("<" + code, new)
            yield f"{label} = {new}", data[:at] + raw + data[at + len(raw) :]


WRONG_KINDS = [
    ("string", string("8")), ("empty string", string("")), ("i32 -1", scalar(I32, -1)),
    ("u64 max", scalar(U64, 2**64 - 1)), ("i64 min", scalar(I64, -(2**63))),
    ("f32", scalar(F32, 8.0)), ("f64 NaN", scalar(F64, NAN)), ("true", scalar(BOOL, True)),
    ("array", numbers(U32, [8, 8])), ("empty array", numbers(U32, [])),
    ("strings", strings(["8"])),
]  # fmt: skip

HYPERPARAMETERS: dict[str, list[tuple[int, float]]] = {
    **{
        key: [(U32, v) for v in (0, 1, 2, 3, 4, 7, 9, 100, 65_536, 2**31 - 1, 2**31, 2**32 - 1)]
        for key in (
            "block_count", "attention.head_count", "attention.head_count_kv", "embedding_length",
            "feed_forward_length", "context_length", "rope.dimension_count", "expert_count",
            "expert_used_count", "attention.key_length", "attention.value_length", "vocab_size",
            "attention.sliding_window", "rope.scaling.original_context_length",
        )
    },
    **{
        key: [(F32, v) for v in (NAN, INF, -INF, 0.0, -1.0, -1e-5, 1e-45, 1e38)]
        for key in (
            "attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scale_linear",
            "rope.scaling.factor", "rope.scaling.attn_factor", "attention.scale",
        )
    },
}  # fmt: skip


def with_pair(layout: Layout, key: str, kind: int, raw: bytes) -> bytes:
    """The file with one key set, in its old place or at the end."""
    pair = Pair(key, kind, raw)
    pairs = [pair if old.key == key else old for old in layout.pairs]
    return build(pairs if pair in pairs else [*pairs, pair], layout.rows, layout.data)


def hyperparameters(layout: Layout) -> Iterator[tuple[str, bytes]]:
    for short, values in HYPERPARAMETERS.items():
        key = f"llama.{short}"
        for kind, value in values:
            yield f"{key} = {value}", with_pair(layout, key, *scalar(kind, value))
        for label, (kind, raw) in WRONG_KINDS:
            yield f"{key} = {label}", with_pair(layout, key, kind, raw)
    for value in ("none", "linear", "yarn", "llama3", "longrope", "nonsense", ""):
        yield (
            f"rope.scaling.type = {value!r}",
            with_pair(layout, "llama.rope.scaling.type", *string(value)),
        )
    for value in ("", "gpt2", "llama\0", "LLAMA", "nonsense" * 1000, b"\xff\xfe"):
        yield (
            f"architecture = {value[:8]!r}",
            with_pair(layout, "general.architecture", *string(value)),
        )
    for number in (0, 1, 2, 3, 8, 16, 31, 33, 64, 1 << 20, 1 << 31, 2**32 - 1):
        yield f"alignment = {number}", with_pair(layout, "general.alignment", *scalar(U32, number))
    for number in (0, 1, 2, 65_535):
        yield f"split.count = {number}", with_pair(layout, "split.count", *scalar(2, number))
    for label, (kind, raw) in WRONG_KINDS:
        for key in ("general.architecture", "general.alignment", "split.count"):
            yield f"{key} = {label}", with_pair(layout, key, kind, raw)


def keys(layout: Layout) -> Iterator[tuple[str, bytes]]:
    for i, pair in enumerate(layout.pairs):
        rest = layout.pairs[:i] + layout.pairs[i + 1 :]
        yield f"without {pair.key}", build(rest, layout.rows, layout.data)
        yield f"{pair.key} twice", build([*layout.pairs, pair], layout.rows, layout.data)
        renamed = [*rest, replace(pair, key=pair.key + "x")]
        yield f"{pair.key} renamed", build(renamed, layout.rows, layout.data)
    yield "no keys", build([], layout.rows, layout.data)
    nested = struct.pack("<IQ", ARRAY, 1) * 50 + struct.pack("<IQ", U32, 0)
    yield "arrays 50 deep", with_pair(layout, "x.nested", ARRAY, nested)


def tensors(layout: Layout) -> Iterator[tuple[str, bytes]]:
    def rebuilt(rows: list[Row]) -> bytes:
        return build(layout.pairs, rows, layout.data)

    for i, row in enumerate(layout.rows):
        before, after = layout.rows[:i], layout.rows[i + 1 :]
        yield f"without {row.name}", rebuilt(before + after)
        yield f"{row.name} renamed", rebuilt([*before, replace(row, name=row.name + "x"), *after])
        changes: dict[str, Row] = {f"of type {k}": replace(row, kind=k) for k in (1, 24, 26, 4, 99)}
        if i < 12:
            more = (2, 3, 6, 7, 8, 10, 12, 14, 15, 16, 25, 27, 28, 29, 30, 31, 34, 39, 41, 2**31)
            changes |= {f"of type {k}": replace(row, kind=k) for k in more}
            changes["with reversed dims"] = replace(row, dims=row.dims[::-1])
            changes["flat"] = replace(row, dims=(row.dims[0] * (row.dims[1:] or (1,))[0],))
            changes["with more dims"] = replace(row, dims=(*row.dims, 1))
            changes["with fewer rows"] = replace(row, dims=(*row.dims[:-1], row.dims[-1] // 2))
            changes["at offset 0"] = replace(row, offset=0)
            changes["misaligned"] = replace(row, offset=row.offset + 4)
        for label, changed in changes.items():
            yield f"{row.name} {label}", rebuilt([*before, changed, *after])
    first = layout.rows[0]
    yield "first tensor twice", rebuilt([*layout.rows, first])
    yield "an extra tensor", rebuilt([*layout.rows, replace(first, name="blk.7.attn_q.weight")])
    yield "no tensors", rebuilt([])
    yield "tensors reversed", rebuilt(layout.rows[::-1])
    yield (
        "names swapped",
        rebuilt([replace(row, name=layout.rows[i - 1].name) for i, row in enumerate(layout.rows)]),
    )


def weights(data: bytes, layout: Layout) -> Iterator[tuple[str, bytes]]:
    """Numbers that no training gives."""
    start = -(-layout.end // 32) * 32
    for label, value in (("NaN", NAN), ("inf", INF), ("huge", 3e38), ("zero", 0.0), ("-0", -0.0)):
        raw = struct.pack("<f", value)
        for row in layout.rows[:6]:
            n = row.dims[0] * (row.dims[1:] or (1,))[0]
            at = start + row.offset
            yield f"{row.name} all {label}", data[:at] + raw * n + data[at + 4 * n :]
    yield "all weights 0xff", data[:start] + b"\xff" * (len(data) - start)


def vocabularies(layout: Layout) -> Iterator[tuple[str, bytes]]:
    raw = next(pair.raw for pair in layout.pairs if pair.key == "tokenizer.ggml.tokens")
    n = struct.unpack_from("<Q", raw, 4)[0]
    words: list[str | bytes] = [f"w{i}" for i in range(n)]
    tokens: list[tuple[str, list[str | bytes]]] = [
        ("none", []), ("one", ["a"]), ("made up", words), ("half", words[: n // 2]),
        ("one less", words[:-1]), ("one more", [*words, "more"]), ("twice", words * 2),
        ("all the same", ["a"] * n), ("all empty", [""] * n), ("one empty", ["", *words[1:]]),
        ("not UTF-8", [b"\xff\x80", *words[1:]]), ("one long", ["x" * 100_000, *words[1:]]),
        ("NUL", ["\0", *words[1:]]), ("bytes only", [f"<0x{i % 256:02X}>" for i in range(n)]),
        ("bad bytes", [f"<0x{i:X}>" for i in range(n)]),
    ]  # fmt: skip
    key = "tokenizer.ggml.tokens"
    for label, values in tokens:
        yield f"tokens {label}", with_pair(layout, key, *strings(values))
    yield "tokens numbers", with_pair(layout, key, *numbers(U32, [0] * n))
    key = "tokenizer.ggml.scores"
    for label, scores in (
        ("none", []), ("short", [0.0] * (n // 2)), ("long", [0.0] * (n + 1)), ("NaN", [NAN] * n),
        ("inf", [INF] * n), ("-inf", [-INF] * n), ("huge", [3e38] * n),
    ):  # fmt: skip
        yield f"scores {label}", with_pair(layout, key, *numbers(F32, scores))
    yield "scores integers", with_pair(layout, key, *numbers(I32, [0] * n))
    key = "tokenizer.ggml.token_type"
    for number in (-1, 0, 2, 3, 4, 5, 6, 7, 99, 2**31 - 1, -(2**31)):
        yield f"token types {number}", with_pair(layout, key, *numbers(I32, [number] * n))
    for size in (0, n - 1, n + 1):
        yield f"{size} token types", with_pair(layout, key, *numbers(I32, [1] * size))
    for model in ("", "gpt2", "bert", "rwkv", "t5", "nonsense", b"\xff"):
        yield f"tokenizer {model!r}", with_pair(layout, "tokenizer.ggml.model", *string(model))
    yield (
        "merges without sense",
        with_pair(layout, "tokenizer.ggml.merges", *strings(["a", "a b c", "", " "])),
    )
    for name in ("bos", "eos", "unknown", "padding", "eot", "seperator"):
        key = f"tokenizer.ggml.{name}_token_id"
        for number in (0, n - 1, n, n + 1, 2**31, 2**32 - 1):
            yield f"{key} = {number}", with_pair(layout, key, *scalar(U32, number))
        for label, (kind, value) in WRONG_KINDS:
            yield f"{key} = {label}", with_pair(layout, key, kind, value)


def flips(data: bytes, layout: Layout) -> Iterator[tuple[str, bytes]]:
    """Bytes changed at random: one in the header, several in the header, some in the weights."""
    source = random.Random(20_240_229)
    for family, count, n_bytes, start, end in (
        ("byte", 300, 1, 0, layout.end), ("bytes", 100, 8, 0, layout.end),
        ("late byte", 150, 1, layout.end * 3 // 4, layout.end),
        ("weight bytes", 40, 64, layout.end, len(data)),
    ):  # fmt: skip
        for i in range(count):
            changed = bytearray(data)
            for _ in range(n_bytes):
                changed[source.randrange(start, end)] = source.choice((0, 1, 127, 128, 255))
            yield f"random {family} {i}", bytes(changed)


def mutants(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Label and bytes of each variant of the GGUF file `data`; some are still sound."""
    layout = Scanner(data).scan()
    yield "rebuilt", build(layout.pairs, layout.rows, layout.data)
    yield "something behind the end", data + b"\0" * 1000
    yield from truncations(data, layout)
    yield from magics(data)
    yield from patched_fields(data, layout)
    yield from hyperparameters(layout)
    yield from keys(layout)
    yield from tensors(layout)
    yield from weights(data, layout)
    yield from vocabularies(layout)
    yield from flips(data, layout)
