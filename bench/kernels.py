"""Each operation beside its floor: the bytes and products that it cannot do without.

Operations run as plans of the CPU backend that hold little else. The floor is the longer of bytes
over read bandwidth and products over the peak of the product instruction, both measured in turns
with the operation; the share is floor over measured time, the median of the turns. A turn with
busy neighbours is repeated; "noisy" counts those that stayed so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bandwidth import ReadBandwidth
from ceilings import peak
from quiet import Quiet
from table import machine, short, write

import llmpy
from llmpy import quant
from llmpy.backends.base import PAGE_TOKENS, Batch
from llmpy.backends.cpu.backend import CpuBackend
from llmpy.backends.cpu.kv import FORMATS
from llmpy.dtypes import BY_NAME
from llmpy.engine.cache import PagedState, PagePool
from llmpy.graph import Graph, Value, Weights
from llmpy.graph.check import finish
from llmpy.graph.rope import Rope
from llmpy.sampling import Rng

N_EMBD, N_FF, N_HEAD, N_KV, D_HEAD, N_VOCAB = 2048, 8192, 32, 8, 64, 128256
MATRIX_BYTES = 256e6  # of weights that a step reads: far more than a cache holds
FLOATS = ("F32", "F16", "BF16")
TYPES = (
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
    *("IQ4_NL", "IQ4_XS", "MXFP4", "F16", "BF16", "F32"),
)
N_CTX, TIMES, LAYERS = 4096, 64, 8
HEADING = (
    "| operation | tokens | µs | floor by | GB/s | of read | G products/s | of peak | share |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


class Small:
    """A traced graph over weights of one type, compiled; its table "x" is what tokens embed.

    Bytes of tensors that are not in `data` are random.
    """

    def __init__(
        self, engine: CpuBackend, width: int, trace: Callable[[Value, Weights], Value],
        dtype: str = "F32", matrices: dict[str, tuple[int, int]] | None = None, kv: str = "int14",
        data: dict[str, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        shapes: dict[str, tuple[int, ...]] = {"x.weight": (64, width), "norm.weight": (width,)}
        shapes |= {f"{name}.weight": shape for name, shape in (matrices or {}).items()}
        graph = Graph(shapes)
        top = Weights(shapes)
        finished = finish(graph, trace(graph.tokens().embed(top.x), top), harmless=["*"])
        made: dict[tuple[str, tuple[int, ...]], Any] = {}
        buffers = {}
        for name in graph.used:
            shape, kind = shapes[name], dtype if name[0] not in "xn" else "F32"
            if (kind, shape) not in made:
                made[kind, shape] = stored(kind, shape)
            uses, values = frozenset(graph.used[name]), (data or {}).get(name, made[kind, shape])
            buffers[name] = engine.upload(name, BY_NAME[kind], shape, values, uses)
        pool = engine.kv_pool(finished, kv)
        self.token_bytes = (pool.pages.n_bytes + pool.windowed.n_bytes) / PAGE_TOKENS
        self.plan = engine.compile(finished, buffers, pool, n_ctx=N_CTX)
        self.plan.warm_up()
        self.state = PagedState(PagePool(pool), N_CTX)

    def run(self, n: int, start: int = 0, all_rows: bool = True) -> float:
        """Seconds of a batch of `n` tokens from position `start` on."""
        batch = self.batch(n, start, all_rows)
        begin = time.perf_counter()
        self.plan.run(batch, [self.state])
        return time.perf_counter() - begin

    def outputs(self, n: int) -> np.ndarray:
        """What the graph makes of rows 0 to `n` - 1 of its table."""
        return self.plan.run(self.batch(n, 0), [self.state]).logits().copy()

    def batch(self, n: int, start: int, all_rows: bool = True) -> Batch:
        self.state.prepare(start, start + n)
        ids = np.arange(n, dtype=np.int32)
        output_rows = ids if all_rows else ids[-1:]
        return Batch(ids % 64, ids + np.int32(start), np.zeros(n, np.int32), output_rows)


def stored(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes of a random tensor whose products are about as large as what goes in."""
    few = (min(shape[0], 64), *shape[1:])
    values = np.random.default_rng(7).standard_normal(few, np.float32) / shape[-1] ** 0.5
    part = np.ascontiguousarray(quant.quantize(dtype, values)).reshape(-1).view(np.uint8)
    data = np.tile(part, shape[0] // few[0])
    data.setflags(write=False)
    return data


class Limits:
    """The machine's limits, measured in turns with what is compared to them."""

    def __init__(self, n_threads: int, turns: int) -> None:
        self.meter, self.n_threads, self.turns = ReadBandwidth(n_threads), n_threads, turns
        self.quiet = Quiet(patience=5.0)

    def row(
        self, name: str, n: int, work: Callable[[], float], n_bytes: float,
        products: float = 0.0, kind: str = "int8",
    ) -> str:  # fmt: skip
        """A line of the table: `work` gives seconds for reading `n_bytes` and `products`."""
        work()
        self.quiet.noisy = 0
        times, reads, peaks, shares = [], [], [], []
        for _ in range(self.turns):
            read, most = 1e9 * self.meter.measure(2), peak(kind, self.n_threads) or 1.0
            took = self.quiet.turn(lambda: min(work() for _ in range(3 if n < 100 else 1)))
            floor = max(n_bytes / read, products / most)
            times.append(took)
            reads.append(read)
            peaks.append(most)
            shares.append(floor / took)
        took, read, most = (statistics.median(values) for values in (times, reads, peaks))
        noisy = f" ({self.quiet.noisy} noisy)" if self.quiet.noisy else ""
        by = "products" if products / most > n_bytes / read else "bytes"
        done = (
            f"{short(products / took / 1e9)} | {products / took / most:.0%}" if products else " | "
        )
        return (
            f"| {name} | {n} | {short(1e6 * took)} | {by} | {short(n_bytes / took / 1e9)} "
            f"| {n_bytes / took / read:.0%} | {done} | {statistics.median(shares):.0%}{noisy} |"
        )


def product_kind(dtype: str) -> str:
    """The instruction that bounds products with weights of this type."""
    if dtype not in FLOATS:
        return "int8"
    return "bf16" if dtype != "F32" and peak("bf16", 1) else "float"


def linear(engine: CpuBackend, limits: Limits, types: list[str]) -> Iterator[str]:
    """Products: as many matrices as a step of `MATRIX_BYTES` has, there and back."""
    for dtype in types:
        size = BY_NAME[dtype].row_bytes(N_EMBD) * N_FF
        pairs = max(1, round(MATRIX_BYTES / size / 2))
        matrices = {f"up{i}": (N_FF, N_EMBD) for i in range(pairs)}
        matrices |= {f"down{i}": (N_EMBD, N_FF) for i in range(pairs)}

        def trace(x: Value, w: Weights, pairs: int = pairs) -> Value:
            for i in range(pairs):
                x = x.linear(getattr(w, f"up{i}")).linear(getattr(w, f"down{i}"))
            return x

        small = Small(engine, N_EMBD, trace, dtype, matrices)
        for n in (1, 4, 16, 512):
            products = 2.0 * pairs * n * N_FF * N_EMBD
            yield limits.row(
                f"linear {dtype}", n, lambda n=n, small=small: small.run(n), 2 * pairs * size,
                products, product_kind(dtype),
            )  # fmt: skip
        small.plan.close()


def attend(engine: CpuBackend, limits: Limits, kv: str) -> Iterator[str]:
    """Attention alone, in layers: 512 tokens at once, then one after 4095."""

    def trace(x: Value, _w: Weights) -> Value:
        q, k = x.heads(N_HEAD), x.slice(0, N_KV * D_HEAD).heads(N_KV)
        for _ in range(LAYERS):
            q = q.attend(k.cached(), k.cached()).heads(N_HEAD)
        return q.flatten()

    small = Small(engine, N_EMBD, trace, kv=kv)
    token = small.token_bytes
    kind = "bf16" if peak("bf16", 1) else "float"
    one = 2.0 * LAYERS * N_HEAD * D_HEAD  # products of a token with one that it sees
    yield limits.row(
        f"attend {kv}, from 0 on",
        512,
        lambda: small.run(512),
        512 * token,
        one * 512 * 513 / 2,
        kind,
    )
    for start in range(0, N_CTX - 512, 512):
        small.run(512, start)
    seen = one * 512 * (N_CTX - 512 + 513 / 2)
    yield limits.row(
        f"attend {kv}, up to 4096",
        512,
        lambda: small.run(512, N_CTX - 512),
        N_CTX * token,
        seen,
        kind,
    )
    yield limits.row(
        f"attend {kv}, at 4096",
        1,
        lambda: small.run(1, N_CTX - 1),
        N_CTX * token,
        one * N_CTX,
        kind,
    )
    small.plan.close()


def simple(engine: CpuBackend, limits: Limits) -> Iterator[str]:
    """Operations on activations: many of one kind less one of it. Bytes: what they read and write.

    Most of these bytes lie in a cache, so more than all of the memory's speed is possible.
    """
    rope = Rope(D_HEAD, 500000.0)
    kinds: dict[str, tuple[int, float, Callable[[Value, Weights], Value]]] = {
        "rms_norm": (N_EMBD, 2, lambda x, w: x.rms_norm(w.norm, 1e-5)),
        "rope": (N_EMBD, 2, lambda x, _w: x.heads(N_HEAD).rope(rope).flatten()),
        "silu times up": (N_FF, 3, lambda x, _w: x.silu() * x),
        "embed": (N_EMBD, 2, lambda x, w: x.graph.tokens().embed(w.x)),
    }
    for name, (width, passes, operation) in kinds.items():

        def trace(x: Value, w: Weights, times: int, operation: Any = operation) -> Value:
            return [operation(x, w) for _ in range(times)][-1]

        many = Small(engine, width, lambda x, w, t=trace: t(x, w, 1 + TIMES))
        one = Small(engine, width, lambda x, w, t=trace: t(x, w, 1))
        for n in (512,) if name == "embed" else (1, 512):  # one row takes too little time

            def work(n: int = n, many: Small = many, one: Small = one) -> float:
                took = min(many.run(n) for _ in range(5)) - min(one.run(n) for _ in range(5))
                return max(took, 1e-9) / TIMES

            yield limits.row(name, n, work, passes * 4 * width * n)


def sample(limits: Limits) -> Iterator[str]:
    """The next token from the logits of a large vocabulary, on one thread."""
    logits = np.random.default_rng(3).standard_normal(N_VOCAB).astype(np.float32) * 3
    for name, steps in (("greedy", llmpy.chain(llmpy.greedy())), ("usual", llmpy.default_chain())):
        chain, rng = steps.compile(N_VOCAB), Rng(1)
        assert chain is not None

        def work(chain: Any = chain, rng: Rng = rng) -> float:
            begin = time.perf_counter()
            chain.sample(logits.ctypes.data, N_VOCAB, 0, 0, rng)
            return time.perf_counter() - begin

        yield limits.row(f"sample, {name} chain", 1, work, logits.nbytes)


def rows(arguments: argparse.Namespace) -> Iterator[str]:
    """All lines that were asked for."""
    engine = CpuBackend(n_threads=arguments.n_threads, max_tokens=512)
    limits = Limits(engine.n_threads, arguments.turns)
    yield from linear(
        engine,
        limits,
        [t for t in TYPES if t in (TYPES if arguments.types is None else arguments.types)],
    )
    if arguments.types is None or arguments.others:
        for kv in arguments.kv:
            yield from attend(engine, limits, kv)
        yield from simple(engine, limits)
        yield from sample(limits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--types", nargs="*", choices=TYPES, help="types of weights, only these (or none)"
    )
    parser.add_argument("--others", action="store_true", help="with --types: the rest as well")
    kinds = [kind for kind in ("int14", "f16", "q8_0", "q4_0") if kind in FORMATS]
    parser.add_argument("--kv", nargs="*", default=kinds, help="types of keys and values")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("-t", "--n-threads", type=int, default=2)
    parser.add_argument("--lines", type=Path, help="write the bare lines to this file as well")
    parser.add_argument(
        "--from", dest="given", type=Path, nargs="+", help="measure nothing: lines of these files"
    )
    parser.add_argument(
        "--write", type=Path, help="put the table into this page, between its marks"
    )
    arguments = parser.parse_args()
    print(HEADING)
    found = []
    for line in (
        (one for path in arguments.given for one in path.read_text("utf-8").splitlines())
        if arguments.given
        else rows(arguments)
    ):
        found.append(line)
        print(line, flush=True)
    if arguments.lines:
        arguments.lines.write_text("\n".join(found) + "\n", encoding="utf-8")
    if arguments.write:
        where = f"Measured on: {machine(arguments.n_threads)}."
        write(arguments.write, "kernels.py", f"{where}\n\n{HEADING}\n" + "\n".join(found))


if __name__ == "__main__":
    sys.exit(main())
