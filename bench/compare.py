"""llmpy against llama-cpp-python on the same GGUF files, in turns within one run.

Two worker processes, one in each environment, stay open on a model; a round asks first one, then
the other (the order changes with each round), and measures the memory's read bandwidth between
them. A turn with busy neighbours is repeated. Only ratios within a round are judged: absolute
times belong to the machine and the minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from bandwidth import ReadBandwidth
from lines import Worker, WorkerError
from quiet import Quiet
from rows import ROWS, Row

PROMPT = "Once upon a time, there was a little crab who lived by the sea."
# Long enough for the other engine's waiting threads to stop spinning and sleep.
PAUSE_SECONDS = 0.1


def token_ids(count: int, n_vocab: int) -> list[int]:
    """The same pseudo-random tokens for both engines; low ids are left out: often special."""
    generator = random.Random(2718)
    return [generator.randrange(min(300, n_vocab // 2), n_vocab) for _ in range(count)]


def rate(worker: Worker, row: Row, n_vocab: int, seed: int, **options: Any) -> float:
    """Tokens per second of one measurement of `row`."""
    if row.what == "prefill":
        result = worker("prefill", tokens=token_ids(row.n, n_vocab), **options)
    elif row.what == "decode":
        tokens = token_ids(row.after, n_vocab)
        result = worker("decode", tokens=tokens, n=row.n, **options)
    elif row.what == "together":
        tokens = token_ids(row.after, n_vocab)
        result = worker("together", tokens=tokens, n=row.n, sessions=16, **options)
    else:
        result = worker("public", prompt=PROMPT, n=row.n, seed=seed, **options)
    return float(result["tokens"] / result["seconds"])


class Turns:
    """The two engines open on one model, the memory, and the rule that one works at a time."""

    def __init__(
        self, llmpy: Worker, peer: Worker, opened: dict[str, Any], arguments: argparse.Namespace
    ) -> None:
        self.llmpy, self.peer, self.opened = llmpy, peer, opened
        self.meter = ReadBandwidth(arguments.n_threads)
        self.quiet = Quiet(patience=arguments.patience)
        self.quiet.pids = [llmpy.pid, peer.pid]

    def rate(self, worker: Worker, row: Row, seed: int, **options: Any) -> float:
        """One quiet turn of an engine, in tokens per second."""
        time.sleep(PAUSE_SECONDS)
        return self.quiet.turn(lambda: rate(worker, row, self.opened["n_vocab"], seed, **options))

    def read(self) -> float:
        """One quiet turn of the memory, in GB/s."""
        time.sleep(PAUSE_SECONDS)
        return self.quiet.turn(self.meter.measure)

    def other(self, row: Row, seed: int, **options: Any) -> float:
        """One turn of what llmpy is compared with: the peer, or itself with one session."""
        if row.what == "together":
            return self.rate(self.llmpy, replace(row, what="decode"), seed)
        return self.rate(self.peer, row, seed, **options)

    def best_attention(self, row: Row) -> bool:
        """Whether the peer does this row faster with flash attention (also its warm-up)."""
        if row.what == "together":
            return False
        best = {
            flash: max(self.rate(self.peer, row, seed, flash=flash) for seed in range(2))
            for flash in (False, True)
        }
        return best[True] > best[False]

    def rounds(self, row: Row, flash: bool, count: int) -> list[tuple[float, float, float]]:
        """(llmpy, peer, memory) of each round; who begins changes with the round."""
        rounds = []
        for seed in range(1, count + 1):
            if seed % 2:
                ours = self.rate(self.llmpy, row, seed)
            read = self.read()
            theirs = self.other(row, seed, flash=flash)
            if not seed % 2:
                ours = self.rate(self.llmpy, row, seed)
            rounds.append((ours, theirs, read))
        return rounds


def measure(row: Row, turns: Turns, count: int) -> dict[str, Any]:
    """`count` rounds of one row and what they say."""
    flash = turns.best_attention(row)
    turns.rate(turns.llmpy, row, 0)
    turns.quiet.noisy = 0
    rounds = turns.rounds(row, flash, count)
    ours, theirs, read = (list(column) for column in zip(*rounds, strict=True))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    result = {
        "row": row.name,
        "target": row.target,
        "ratio": ratio,
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "passed": None if row.target is None else ratio >= row.target,
        "llmpy_tokens_per_second": statistics.median(ours),
        "peer_tokens_per_second": statistics.median(theirs),
        "peer_flash_attention": flash,
        "read_gigabytes_per_second": statistics.median(read),
        "noisy_turns": turns.quiet.noisy,
        "rounds": rounds,
    }
    if row.what == "decode":
        shares = [a * turns.opened["bytes"] / 1e9 / b for a, b in zip(ours, read, strict=True)]
        result["llmpy_share_of_read"] = statistics.median(shares)
    return result


def run(arguments: argparse.Namespace, rows: list[Row]) -> Iterator[dict[str, Any]]:
    """The results of `rows`, one model open at a time."""
    for model, group in groupby(sorted(rows, key=lambda row: row.model), lambda row: row.model):
        members = list(group)
        options = {
            "path": str(find_model(model, arguments.models)),
            "n_threads": arguments.n_threads,
            "n_ctx": max(512, *(row.n + row.after + 64 for row in members)),
        }
        with (
            Worker(sys.executable, "llmpy_worker.py") as llmpy,
            Worker(arguments.peer_python, "peer_worker.py") as peer,
        ):
            opened = peer("open", **options)
            llmpy("open", **options)
            turns = Turns(llmpy, peer, opened, arguments)
            for row in members:
                yield measure(row, turns, arguments.rounds)


def find_model(name: str, folders: list[Path]) -> Path:
    """The file of model `name`: in one of `folders`."""
    for folder in folders:
        for path in sorted(folder.rglob(f"{name}.gguf")):
            return path
    places = " ".join(str(folder) for folder in folders)
    raise SystemExit(f"compare: no {name}.gguf under {places}; bench/README.md says how to make it")


def line(result: dict[str, Any]) -> str:
    """One row of the table."""
    target = "" if result["target"] is None else f"{result['target']:.2f}"
    passed = {None: "", True: "pass", False: "FAIL"}[result["passed"]]
    share = result.get("llmpy_share_of_read")
    return (
        f"| {result['row']:24} | {result['llmpy_tokens_per_second']:9.1f} "
        f"| {result['peer_tokens_per_second']:9.1f} | {result['ratio']:6.2f} "
        f"| {result['ratio_min']:5.2f}..{result['ratio_max']:<5.2f} | {target:>6} | {passed:4} "
        f"| {result['read_gigabytes_per_second']:5.1f} "
        f"| {'' if share is None else format(share, '.0%'):>5} | {result['noisy_turns']:5} |"
    )


HEADING = (
    "| row                      | llmpy t/s |  peer t/s |  ratio |       spread | target |      "
    "| GB/s  | share | noisy |\n"
    "|--------------------------|-----------|-----------|--------|--------------|--------|------"
    "|-------|-------|-------|"
)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="python of the peer's environment")
    parser.add_argument(
        "--models",
        type=Path,
        action="append",
        required=True,
        help="folder of the files; repeatable",
    )
    parser.add_argument("--rows", nargs="+", help="row names, or beginnings of them (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-t", "--n-threads", type=int, default=2)
    parser.add_argument(
        "--patience", type=float, default=20.0, help="seconds to wait for quiet before each turn"
    )
    parser.add_argument("--json", type=Path, help="write all rounds to this file as well")
    parser.add_argument("--list", action="store_true", help="print the row names and stop")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    if arguments.list:
        print("\n".join(row.name for row in ROWS))
        return
    rows = [row for row in ROWS if chosen(row, arguments.rows)]
    if not rows:
        raise SystemExit("compare: no row has such a name; --list prints them")
    print(f"{os.cpu_count()} CPUs, {platform.machine()}, {arguments.n_threads} threads\n")
    print(HEADING)
    results = []
    try:
        for result in run(arguments, rows):
            results.append(result)
            print(line(result), flush=True)
    except WorkerError as error:
        raise SystemExit(f"compare: {error}") from error
    finally:
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1))
    sys.exit(any(result["passed"] is False for result in results))


def chosen(row: Row, names: list[str] | None) -> bool:
    """Whether --rows asks for `row`."""
    return names is None or any(row.name.startswith(name) for name in names)


if __name__ == "__main__":
    main()
