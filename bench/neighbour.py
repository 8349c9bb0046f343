"""How much speed each engine keeps with company: a busy process, or a second process of its own.

"alone" is measured in each round next to the others. "busy" runs a process beside it that never
waits; "two at once" are two processes of the engine, both with all threads: their sum over one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from compare import find_model
from lines import Worker
from rows import Row
from turns import rate

WHAT = {"prefill": (512, 0), "decode": (24, 16)}
HEADING = (
    "| engine | measured | alone, tokens/s | busy neighbour | kept | two at once, sum | kept |\n"
    "|---|---|---|---|---|---|---|"
)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """`count` processes that use a processor each for as long as this lasts."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def one_round(workers: list[Worker], turn: Callable[[Worker], float], count: int) -> list[float]:
    """Tokens per second alone, beside `count` busy processes, and of both workers together."""
    alone = turn(workers[0])
    with busy(count):
        beside = turn(workers[0])
    with ThreadPoolExecutor(2) as threads:
        both = sum(threads.map(turn, workers))
    return [alone, beside, both]


def measure(engine: str, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rounds of one engine."""
    python = sys.executable if engine == "llmpy" else arguments.peer_python
    path = find_model(arguments.model, arguments.models)
    script = "llmpy_worker.py" if engine == "llmpy" else "peer_worker.py"
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(python, script)) for _ in range(2)]
        opened = [
            worker("open", path=str(path), n_threads=arguments.n_threads, n_ctx=1024)
            for worker in workers
        ]
        n_vocab = opened[0].get("n_vocab", 32000)
        for what, (n, after) in WHAT.items():
            row = Row(arguments.model, what, n, after)

            def turn(worker: Worker, row: Row = row) -> float:
                return rate(worker, row, n_vocab, 1)

            for worker in workers:
                turn(worker)
            rounds = [one_round(workers, turn, arguments.busy) for _ in range(arguments.rounds)]
            yield {"engine": engine, "row": row.name, "rounds": rounds}


def line(result: dict[str, Any]) -> str:
    """One line of the table: medians over the rounds."""
    alone, beside, both = (
        statistics.median(column) for column in zip(*result["rounds"], strict=True)
    )
    kept = [statistics.median(r[i] / r[0] for r in result["rounds"]) for i in (1, 2)]
    return (
        f"| {result['engine']} | {result['row']} | {alone:.1f} | {beside:.1f} | {kept[0]:.0%} "
        f"| {both:.1f} | {kept[1]:.0%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="python of the peer's environment")
    parser.add_argument("--models", type=Path, action="append", required=True)
    parser.add_argument("--model", default="1b-q4_0")
    parser.add_argument(
        "--engines", nargs="+", choices=("llmpy", "peer"), default=["llmpy", "peer"]
    )
    parser.add_argument("--busy", type=int, default=1, help="busy processes beside")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-t", "--n-threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all rounds to this file as well")
    arguments = parser.parse_args()
    print(HEADING)
    results = []
    for engine in arguments.engines:
        for result in measure(engine, arguments):
            results.append(result)
            print(line(result), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
