"""How near are predictions to float32's, and at which speed: llmpy beside llama-cpp-python.

The yardstick is llmpy's reference backend: float32 on the same file's weights (tests hold it within
a KL divergence of 1e-9 of transformers). So what is measured is what an engine adds to the loss of
the quantized weights: by rounding the inputs of products. Keys and values are in float32 on all
sides but in `--kv`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from lines import Worker
from numpy.typing import NDArray

import llmpy

Logits = NDArray[np.float32]
SPEED_TOKENS = 512  # of a prompt; what the peer's best settings are for
DECODED = 32


def log_probabilities(logits: Logits) -> NDArray[np.float64]:
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return result


def distance(logits: Logits, exact: Logits, tokens: list[int]) -> dict[str, float]:
    """Mean KL divergence from `exact`, its error, top-1 agreement, and perplexity over its.

    `logits` and `exact`: [tokens, vocabulary]. Some positions at a time, for memory's sake.
    """
    divergence, loss, exact_loss = [], [], []
    for begin in range(0, len(exact), 64):
        some = slice(begin, begin + 64)
        q, p = log_probabilities(logits[some]), log_probabilities(exact[some])
        divergence.append((np.exp(p) * (p - q)).sum(axis=1))
        following = np.array(tokens[begin + 1 : begin + 1 + len(p)])
        at = np.arange(len(following))
        loss.append(-q[at, following])
        exact_loss.append(-p[at, following])
    kl = np.concatenate(divergence)
    return {
        "kl": float(kl.mean()),
        "kl_error": float(kl.std() / np.sqrt(len(kl))),
        "top1": float(np.mean(logits.argmax(axis=1) == exact.argmax(axis=1))),
        "perplexity": float(
            np.exp(np.concatenate(loss).mean() - np.concatenate(exact_loss).mean()) - 1
        ),
    }


def our_logits(path: Path, tokens: list[int], backend: str, level: str = "", **kv: str) -> Logits:
    """Logits of every token; `level` is the instruction set of the cpu backend."""
    if level:
        os.environ["LLMPY_CPU"] = level
    try:
        options = {"n_ctx": len(tokens), "kv_dtype": "f32", **kv}
        with llmpy.load(path, backend=backend, **options) as model:
            return np.concatenate([rows.copy() for rows in model.logits(tokens)])
    finally:
        os.environ.pop("LLMPY_CPU", None)


def peer_logits(peer: Worker, path: Path, tokens: list[int], folder: Path) -> Logits:
    peer("open", path=str(path), n_ctx=len(tokens), n_outputs=len(tokens))
    peer("logits", tokens=tokens, out=str(folder / "logits.npy"))
    peer("close")
    logits: Logits = np.load(folder / "logits.npy")
    return logits


def speeds(peer_python: str, path: Path, tokens: list[int], rounds: int) -> dict[str, Any]:
    """Tokens per second of both engines in turns: medians, and that of the ratios."""
    found: dict[str, Any] = {}
    with (
        Worker(sys.executable, "llmpy_worker.py") as ours,
        Worker(peer_python, "peer_worker.py") as peer,
    ):
        for worker in (ours, peer):
            worker("open", path=str(path))
        for what, arguments in (
            ("prefill", {"tokens": tokens[:SPEED_TOKENS]}),
            ("decode", {"tokens": tokens[:16], "n": DECODED}),
        ):
            turns = []
            for turn in range(rounds + 1):
                if what == "prefill":  # a text that neither has read
                    arguments["tokens"] = (tokens[turn:] + tokens[:turn])[:SPEED_TOKENS]
                one = ours(what, **arguments)
                other = min(
                    (peer(what, flash=flash, **arguments) for flash in (False, True)),
                    key=lambda result: float(result["seconds"]),
                )
                turns.append([r["tokens"] / r["seconds"] for r in (one, other)])
            turns = turns[1:]  # the first one warms both up
            found[what] = {
                "llmpy": statistics.median(turn[0] for turn in turns),
                "peer": statistics.median(turn[1] for turn in turns),
                "ratio": statistics.median(turn[0] / turn[1] for turn in turns),
            }
    return found


def measure(path: Path, text: str, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All numbers of one file."""
    tokens = llmpy.load_tokenizer(path).encode(text, bos=False)[: given.positions]
    exact = our_logits(path, tokens, "reference")
    result: dict[str, Any] = {"file": path.stem, "positions": len(tokens), "engines": {}}
    for level in given.levels:
        logits = our_logits(path, tokens, "cpu", level)
        result["engines"][f"llmpy, {level}"] = distance(logits, exact, tokens)
    if given.peer_python:
        with Worker(given.peer_python, "peer_worker.py") as peer:
            logits = peer_logits(peer, path, tokens, folder)
        result["engines"]["peer"] = distance(logits, exact, tokens)
        if given.rounds:
            result["speed"] = speeds(given.peer_python, path, tokens, given.rounds)
    return result


def measure_kv(path: Path, text: str, contexts: list[int]) -> Iterator[dict[str, Any]]:
    """What types of keys and values cost the last 256 positions, by float32 ones of the same."""
    for n in contexts:
        tokens = llmpy.load_tokenizer(path).encode(text, bos=False)[:n]
        last = {}
        for kv_dtype in ("f32", "int14", "f16", "q8_0", "q4_0"):
            with llmpy.load(path, n_ctx=n, kv_dtype=kv_dtype) as model:
                rows = [r.copy() for r in model.logits(tokens, n - 256)]
            last[kv_dtype] = np.concatenate(rows)
        for kv_dtype in ("int14", "f16", "q8_0", "q4_0"):
            numbers = distance(last[kv_dtype], last["f32"], tokens[n - 256 :])
            yield {"file": path.stem, "context": n, "kv": kv_dtype, **numbers}


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a line for each file and engine."""
    lines = [
        "| file | engine | mean KL | top-1 | perplexity over float32's "
        "| prefill, tokens/s | decode, tokens/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        first = True
        for engine, numbers in result["engines"].items():
            cells = ["", ""]
            which = "peer" if engine == "peer" else "llmpy"
            if "speed" in result and (first or which == "peer"):
                cells = [f"{result['speed'][what][which]:.0f}" for what in ("prefill", "decode")]
            first = False
            lines.append(
                f"| {result['file']} | {engine} | {numbers['kl']:.1e} ± {numbers['kl_error']:.0e} "
                f"| {numbers['top1']:.1%} | {numbers['perplexity']:+.2%} "
                f"| {cells[0]} | {cells[1]} |"
            )
    return "\n".join(lines)


def kv_table(results: list[dict[str, Any]]) -> str:
    """Markdown: a line for each context and type."""
    lines = ["| file | context | keys and values | mean KL | top-1 |", "|---|---|---|---|---|"]
    lines += [
        f"| {r['file']} | {r['context']} | {r['kv']} "
        f"| {r['kl']:.1e} ± {r['kl_error']:.0e} | {r['top1']:.1%} |"
        for r in results
    ]
    return "\n".join(lines)


def plot(results: list[dict[str, Any]], out: Path) -> None:
    """Accuracy against speed: a point for each file and engine, joined for the same file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "the same file for the same numbers"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for result in results:
        if "speed" not in result:
            continue
        ours = next(iter(result["engines"].values()))
        points = [
            (result["speed"]["prefill"][who], numbers["kl"])
            for who, numbers in (("llmpy", ours), ("peer", result["engines"]["peer"]))
        ]
        (line,) = axes.plot(*zip(*points, strict=True), "-", linewidth=0.8)
        axes.plot(*points[0], "o", color=line.get_color(), label=result["file"])
        axes.plot(*points[1], "x", color=line.get_color())
    axes.set(
        xlabel=f"prefill of {SPEED_TOKENS}, tokens/s (o llmpy, x llama.cpp)",
        ylabel="mean KL from float32",
        yscale="log",
    )
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def between(page: str, name: str, content: str) -> str:
    """The page with what stands between the two comments called `name` replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.split(end)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="GGUF files")
    parser.add_argument("--text", type=Path, help="what is read")
    parser.add_argument("--positions", type=int, default=600)
    parser.add_argument("--levels", nargs="*", default=["avx512", "avx2", "portable"])
    parser.add_argument("--peer-python", help="python of the peer's environment")
    parser.add_argument("--rounds", type=int, default=5, help="turns of speed; 0: none")
    parser.add_argument(
        "--kv", type=int, nargs="*", default=[], help="measure keys and values at these contexts"
    )
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument(
        "--from", dest="earlier", type=Path, nargs="*", default=[], help="files of --json to join"
    )
    parser.add_argument("--write", type=Path, help="a page to write the tables into")
    parser.add_argument("--plot", type=Path, help="a picture to write (needs matplotlib)")
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"types": [], "kv": []}
    for path in given.earlier:
        for kind, results in json.loads(path.read_text()).items():
            found[kind] += results
    text = given.text.read_text(encoding="utf-8") if given.text else ""
    with tempfile.TemporaryDirectory() as folder:
        for path in given.files:
            if given.kv:
                found["kv"] += measure_kv(path, text, given.kv)
            else:
                found["types"].append(measure(path, text, given, Path(folder)))
                print(table(found["types"][-1:]), flush=True)
    print(f"{table(found['types'])}\n\n{kv_table(found['kv'])}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    if given.write:
        page = given.write.read_text(encoding="utf-8")
        page = between(page, "made by bench/accuracy.py", table(found["types"]))
        page = between(page, "made by bench/accuracy.py --kv", kv_table(found["kv"]))
        given.write.write_text(page, encoding="utf-8")
    if given.plot:
        plot(found["types"], given.plot)


if __name__ == "__main__":
    main()
