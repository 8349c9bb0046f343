"""What a GPU does with llmpy's kernels: the cost of a step, of reading back, and of matmuls.

python bench/gpu_probe.py [--device NAME] [--quick] [--json FILE]

It needs no model. `--quick`: small matrices, for a device in software. Sizes of "1B" and "8B" are
those of Llama 3.2 1B in Q4_0 and of Llama 3.1 8B in Q4_K, heads in Q6_K. `--cuda`: also what
gpu_probe.cu measures, which CUDA's compiler (nvcc) makes: reading, kernels, barriers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llmpy.backends.base import Batch
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.device import Step
from llmpy.backends.gpu.find import open_device
from llmpy.backends.gpu.header import WORDS
from llmpy.backends.gpu.self_check import seconds_per_token
from llmpy.backends.gpu.tensors import TYPES, Kept
from llmpy.dtypes import BY_NAME
from llmpy.graph import Graph, Value, Weights
from llmpy.graph.check import finish

STEPS = 100
LOGITS = 128256  # float32


class Shape(NamedTuple):
    """The matrices of a Llama."""

    layers: int
    width: int
    kv: int
    inner: int
    vocabulary: int
    dtype: str


SHAPES = {
    "1B": Shape(16, 2048, 512, 8192, 128256, "Q4_0"),
    "8B": Shape(32, 4096, 1024, 14336, 128256, "Q4_K"),
}
SMALL = {"small": Shape(4, 512, 128, 1536, 8192, "Q4_0")}


def main() -> int:
    """Entry point; prints a line for each measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="", help="number or a part of the name")
    parser.add_argument("--quick", action="store_true", help="small matrices")
    parser.add_argument("--cuda", action="store_true", help="what CUDA costs, too (needs nvcc)")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    given = parser.parse_args()
    device = open_device(given.device)
    print(f"device: {device.name}{', software' if device.software else ''}")
    found: dict[str, float] = {"binds bytes": float(device.limit)}
    rows = 64 if given.quick else 512
    n = 1024 if given.quick else 4096
    for name, seconds in overheads(device).items():
        found[f"{name} us"] = seconds * 1e6
    for dtype in TYPES:
        seconds = seconds_per_token(GpuBackend(device), (4 * n, n), dtype)
        found[f"matmul of one row {dtype} GB/s"] = (
            4 * n * BY_NAME[dtype].row_bytes(n) / seconds / 1e9
        )
    for dtype in ("Q4_0", "Q4_K", "F16"):
        seconds = seconds_per_token(GpuBackend(device), (n, n), dtype, rows)
        found[f"matmul of {rows} rows {dtype} TFLOP/s"] = 2 * rows * n * n / seconds / 1e12
    for name, shape in (SMALL if given.quick else SHAPES).items():
        seconds, n_bytes = decode(device, shape)
        found[f"{name}: all matmuls of a token ms"] = seconds * 1e3
        found[f"{name}: all matmuls of a token GB/s"] = n_bytes / seconds / 1e9
    if given.cuda:
        found |= cuda()
    for name, value in found.items():
        print(f"{name:<44} {value:14,.4g}")
    if given.json:
        given.json.write_text(json.dumps({"device": device.name, "found": found}), "utf-8")
    return 0


def cuda() -> dict[str, float]:
    """Compile and run gpu_probe.cu; its numbers by name."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "probe"
        source = Path(__file__).with_suffix(".cu")
        make = ["nvcc", "-O3", "-std=c++17", "-arch=native", "-o", str(program), str(source)]
        subprocess.run(make, check=True)
        done = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True)
    lines = (line.rsplit(" ", 1) for line in done.stdout.splitlines())
    return {f"CUDA: {name}": float(value) for name, value in lines}


def median(call: Callable[[], object], n: int = 15) -> float:
    """Median seconds of a call."""
    found = []
    for _ in range(n):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def overheads(device: Any) -> dict[str, float]:
    """Seconds of a step that computes nearly nothing, and of bringing data to the host."""
    header, arena = device.buffer(4 * WORDS), device.buffer(4 * LOGITS)
    nothing = Kept(device.buffer(64))
    values = {
        "x": 0, "b": 0, "y": 64, "op": 0, "last": 1, "n_weight": 1, "factor": 0.0, "low": 0.0,
        "high": 0.0,
    }  # fmt: skip
    program = device.program([Step("map", "once", 64, values, (nothing,))] * STEPS, header, arena)
    rows = {"once": 1}

    def submit() -> None:
        device.run(program, rows)

    def whole() -> None:
        submit()
        device.read(arena, 0, 4)

    whole()
    found = {"a step, recorded and submitted": median(submit) / STEPS}
    device.read(arena, 0, 4)
    found["a step, until it is done"] = median(whole) / STEPS
    found["reading 4 bytes"] = median(lambda: device.read(arena, 0, 4))
    found["reading the logits of 128256 tokens"] = median(lambda: device.read(arena, 0, 4 * LOGITS))
    found["writing 64 bytes"] = median(lambda: device.write(header, 0, bytes(64)))
    return found


def decode(device: Any, shape: Shape) -> tuple[float, int]:
    """Seconds of all matmuls of a token, one after another as in a model, and their bytes."""
    shapes = {"x.weight": (1, shape.width), "output.weight": (shape.vocabulary, shape.width)}
    for i in range(shape.layers):
        for name, n_out, n_in in (
            ("q", shape.width, shape.width), ("k", shape.kv, shape.width),
            ("v", shape.kv, shape.width), ("o", shape.width, shape.width),
            ("gate", shape.inner, shape.width), ("up", shape.inner, shape.width),
            ("down", shape.width, shape.inner),
        ):  # fmt: skip
            shapes[f"blk.{i}.{name}.weight"] = n_out, n_in
    graph, top = Graph(shapes), Weights(shapes, n_blocks=shape.layers)
    x = graph.tokens().embed(top.x)
    for layer in top.blk:
        x = _layer(x, layer, shape)
    graph = finish(graph, x.linear(top.output))
    backend, n_bytes = GpuBackend(device), 0
    buffers = {}
    for name, of in shapes.items():
        dtype = {"x.weight": "F32", "output.weight": "Q6_K"}.get(name, shape.dtype)
        data = np.zeros(of[0] * BY_NAME[dtype].row_bytes(of[1]), np.uint8)
        buffers[name] = backend.upload(name, BY_NAME[dtype], of, data, frozenset(graph.used[name]))
        n_bytes += data.size
    for _ in backend.prepare():
        pass
    plan = backend.compile(graph, buffers, backend.kv_pool(graph, "f32"), n_ctx=16)
    one, cache = np.zeros(1, np.int32), _NoCache()

    def run() -> None:
        plan.run(Batch(one, one, one, one), [cache])
        device.read(plan._arena, 0, 4)

    run()
    seconds = median(run, 7)
    plan.close()
    return seconds, n_bytes


def _layer(x: Value, w: Any, shape: Shape) -> Value:
    """The matmuls of a layer, and what is needed to join them."""
    q, k, v = x.linear(w.q), x.linear(w.k), x.linear(w.v)
    n_heads = shape.width // shape.kv
    y = q + (k * v).heads(1).repeat(n_heads).flatten()
    x = x + y.linear(w.o)
    return x + (x.linear(w.gate).silu() * x.linear(w.up)).linear(w.down)


class _NoCache:
    """The cache of a sequence in a graph that has none."""

    page_table = window_table = np.zeros(0, np.uint64)
    n_pages = state = 0


if __name__ == "__main__":
    sys.exit(main())
