"""How much speed each engine keeps with company: a busy process, a second process, a second model.

"alone" is measured in each round next to the others. "busy" runs a process beside it that never
waits; "two processes" of the engine, and "two models" in one, both with all threads, give the
tokens of both over the longer of their times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from compare import find_model
from lines import Worker, at_once
from rows import Row
from turns import TURNS, token_ids

WHAT = {"prefill": (512, 0), "decode": (0, 16)}
HEADING = (
    "| engine | measured | alone, tokens/s | busy neighbour | two processes | two models |\n"
    "|---|---|---|---|---|---|"
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


def one_round(workers: list[Worker], row: Row, n_vocab: int, count: int) -> list[float]:
    """Tokens per second alone, beside `count` busy processes, of two processes, of two models."""

    def options() -> dict[str, Any]:
        """New tokens for each prompt, so that none is known."""
        if row.what == "decode":
            return {"tokens": token_ids(row.length, n_vocab), "n": row.n}
        return {"tokens": token_ids(row.length, n_vocab, next(TURNS))}

    def turn(worker: Worker) -> dict[str, float]:
        return worker(row.what, **options())  # type: ignore[no-any-return]

    alone = turn(workers[0])
    with busy(count):
        beside = turn(workers[0])
    processes = at_once(turn, workers)
    models = workers[0]("both", work=row.what, **options())
    return [each["tokens"] / each["seconds"] for each in (alone, beside, processes, models)]


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
            row = Row(arguments.model, what, n if what == "prefill" else arguments.n, after)
            rounds = [
                one_round(workers, row, n_vocab, arguments.busy)
                for _ in range(arguments.rounds + 1)
            ]
            yield {"engine": engine, "row": row.name, "rounds": rounds[1:]}


def line(result: dict[str, Any]) -> str:
    """One line of the table: medians over the rounds, and what is kept of being alone."""
    alone = statistics.median(each[0] for each in result["rounds"])
    cells = [result["engine"], result["row"], f"{alone:.1f}"]
    for i in range(1, 4):
        speed = statistics.median(each[i] for each in result["rounds"])
        kept = statistics.median(each[i] / each[0] for each in result["rounds"])
        cells.append(f"{speed:.1f}, {kept:.0%}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="python of the peer's environment")
    parser.add_argument("--models", type=Path, action="append", required=True)
    parser.add_argument("--model", default="1b-q4_0")
    parser.add_argument(
        "--engines", nargs="+", choices=("llmpy", "peer"), default=["llmpy", "peer"]
    )
    parser.add_argument("-n", type=int, default=24, help="tokens that decoding makes")
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
