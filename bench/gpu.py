"""llmpy on a GPU beside llama.cpp on the same one, in turns; and what a matmul there reads.

python bench/gpu.py models/1b-q4_0.gguf models/8b-q4_k_m.gguf --peer-python .venv-cuda/bin/python

`--sampling`: instead, tokens a second of samplers whose token the device draws and of the same ones
that read all logits, in turns, and what they read.

The peer is llama-cpp-python built with CUDA or Vulkan, in an environment of its own. `--bandwidth`:
what the GPU's memory reads, in GB/s, as its maker says; else it is what the best matmul reached.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lines import Worker
from turns import TOGETHER, products_of_prompt, token_ids

import llmpy
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.find import open_device
from llmpy.backends.gpu.self_check import seconds_per_token

PROMPT, LONG, N = 512, 1024, 64  # tokens
SHAPES = ((16384, 4096), (65536, 4096), (128256, 2048))
ALL_LAYERS = 999
STORY = "Once upon a time"
SAMPLERS = (
    "temperature:0.8", "temperature:0.9/top-p:0.95",
    "top-k:40/top-p:0.95/min-p:0.05/temperature:0.8",
    "repetition:1.1/top-k:40/top-p:0.95/temperature:0.8",
)  # fmt: skip
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "prefill 512": ("prefill", {"n": PROMPT}),
    "decode at 0": ("decode", {"after": 1, "n": N}),
    "decode at 1k": ("decode", {"after": LONG, "n": N}),
    "decode of 16": ("together", {"after": 1, "n": N // 4, "sessions": TOGETHER}),
}


def main() -> int:
    """Entry point; prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument(
        "--peer-python", type=Path, help="Python with llama-cpp-python for this GPU"
    )
    parser.add_argument("--backend", default="gpu", help="gpu, or gpu:DEVICE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bandwidth", type=float, help="GB/s that the GPU's memory reads")
    parser.add_argument("--json", type=Path, help="write every round here")
    parser.add_argument("--sampling", action="store_true", help="compare ways to sample")
    given = parser.parse_args()
    device = open_device(given.backend.partition(":")[2])
    print(f"device: {device.name}{', software' if device.software else ''}")
    if given.sampling:
        for path in given.models:
            print_sampling(device, path, given.rounds)
        return 0
    reached = max(probe(device, shape) for shape in SHAPES)
    bandwidth = given.bandwidth or reached
    rounds = []
    for path in given.models:
        for name, (what, options) in ROWS.items():
            found = measured(given, path, what, options)
            rounds.append({"model": path.name, "row": name, **found})
            print(line(path, name, found, bandwidth))
    if given.json:
        given.json.write_text(json.dumps({"device": device.name, "rounds": rounds}), "utf-8")
    return 0


def print_sampling(device: Any, path: Path, rounds: int) -> None:
    """Print a row for each sampler: tokens from the device, and all logits on the host."""
    sizes: list[int] = []
    read, shared = device.read, device.shared

    def counted(buffer: Any, offset: int, n_bytes: int) -> bytes:
        sizes.append(n_bytes)
        found: bytes = read(buffer, offset, n_bytes)
        return found

    device.read = counted
    try:
        with llmpy.load(path, backend=GpuBackend(device), n_ctx=LONG) as model:
            for text in SAMPLERS:
                rates: dict[bool, list[float]] = {False: [], True: []}
                amounts = {}
                for turn in range(rounds + 1):  # the first is there to warm up
                    for device.shared in (False, True):  # True: as a GPU that shares the memory
                        session = model.session(sampler=llmpy.chain(text), seed=turn)
                        session.infer(STORY, max_tokens=1)
                        sizes.clear()
                        begin = time.perf_counter()
                        n = session.infer(max_tokens=N).n_generated
                        if turn:
                            rates[device.shared].append(n / (time.perf_counter() - begin))
                            amounts[device.shared] = sum(sizes) / n
                here, host = (statistics.median(rates[each]) for each in (False, True))
                print(
                    f"{path.name:<28} {text or 'none':<44} {here:8.2f} t/s, {amounts[False]:.0f} "
                    f"bytes a token; all logits {host:8.2f} t/s, {amounts[True]:.0f} bytes; "
                    f"ratio {here / host:.2f}"
                )
    finally:
        device.read, device.shared = read, shared


def probe(device: Any, shape: tuple[int, int]) -> float:
    """GB/s of weights in Q8_0 that a matmul of one row reads."""
    seconds = seconds_per_token(GpuBackend(device), shape)
    rate = shape[0] * shape[1] / 32 * 34 / seconds / 1e9
    print(
        f"matmul of one row, {shape[0]} x {shape[1]} Q8_0: {seconds * 1e6:.0f} us, {rate:.1f} GB/s"
    )
    return rate


def measured(given: Any, path: Path, what: str, options: dict[str, Any]) -> dict[str, list[float]]:
    """Tokens a second of both, in turns."""
    found: dict[str, list[float]] = {"llmpy": [], "peer": []}
    with ExitStack() as opened:
        ours = opened.enter_context(Worker(sys.executable, "llmpy_worker.py"))
        n_vocab = 300
        workers = {"llmpy": ours}
        ours("open", path=str(path), backend=given.backend, n_ctx=2 * LONG)
        if given.peer_python:
            peer = opened.enter_context(Worker(given.peer_python, "peer_worker.py"))
            n_gpu_layers = ALL_LAYERS
            peer("open", path=str(path), n_ctx=TOGETHER * LONG, n_gpu_layers=n_gpu_layers)
            workers["peer"] = peer
        for turn in range(given.rounds + 1):  # the first is there to warm up
            for name, worker in workers.items():
                rate = tokens_a_second(worker, what, options, n_vocab, turn, name == "peer")
                if turn:
                    found[name].append(rate)
    return found


def tokens_a_second(
    worker: Worker, what: str, options: dict[str, Any], n_vocab: int, turn: int, flash: bool
) -> float:
    """One measurement."""
    asked = dict(options)
    n = asked.pop("after", None) or asked.pop("n")
    if flash:
        asked["flash"] = True
    answer = worker(what, tokens=token_ids(n, n_vocab, turn), **asked)
    return float(answer["tokens"] / answer["seconds"])


def line(path: Path, name: str, found: dict[str, list[float]], bandwidth: float) -> str:
    """A row of the table: speed, ratio, and the share of what the GPU could do."""
    ours = statistics.median(found["llmpy"])
    text = f"{path.name:<28} {name:<14} {ours:9.1f} t/s"
    if found["peer"]:
        text += f"  {ours / statistics.median(found['peer']):5.2f} of llama.cpp"
    if name == "prefill 512":
        return text + f"  {2 * products_of_prompt(path, PROMPT) / PROMPT * ours / 1e12:.2f} TFLOP/s"
    with llmpy.open_gguf(path) as file:
        sizes = {k: t.size for k, t in file.tensors.items()}
    if "output.weight" in sizes:
        sizes.pop("token_embd.weight", None)
    share = sum(sizes.values()) * ours / (TOGETHER if "16" in name else 1) / 1e9 / bandwidth
    return text + f"  {share:4.0%} of {bandwidth:.0f} GB/s"


if __name__ == "__main__":
    sys.exit(main())
