"""llmpy against llama-cpp-python and against the machine's limits, in turns within one run.

Two worker processes, one in each environment, stay open on a model; a round asks first one, then
the other (the order changes with each round), and measures the memory's read bandwidth between
them. OpenVINO GenAI is a third, where its Python is given. A turn with busy neighbours is repeated.
Only ratios within a round are judged: absolute times belong to the machine and the minute.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import versions
from lines import Worker, WorkerError
from rows import ROWS, Row
from table import HEADING, lines, machine, merged, write
from turns import Turns

COMMAND = "python bench/compare.py --peer-python .venv-peer/bin/python --models models"
BY_NAME = {row.name: row for row in ROWS}


def run(
    arguments: argparse.Namespace, rows: list[Row], failures: list[WorkerError]
) -> Iterator[dict[str, Any]]:
    """The results of `rows`, one model open at a time; a failure ends the rows of its model."""

    def opened_as(row: Row) -> tuple[bool, str, str]:
        return row.what in ("first", "python"), row.model, row.kv

    for (unopened, model, kv), group in groupby(sorted(rows, key=opened_as), opened_as):
        members = list(group)
        path = find_model(model, arguments.models)
        try:
            with ExitStack() as workers:

                def opened(python: str, script: str) -> Worker:
                    return workers.enter_context(Worker(python, script))

                llmpy = opened(sys.executable, "llmpy_worker.py")
                peer = opened(arguments.peer_python, "peer_worker.py")
                third = arguments.genai_python and any(row.genai for row in members)
                genai = opened(arguments.genai_python, "genai_worker.py") if third else None
                turns = Turns(llmpy, peer, genai, path, arguments)
                if not unopened:
                    turns.open(kv, max(512, *(row.n + row.after + 64 for row in members)))
                for row in members:
                    yield turns.measure(row, arguments.rounds)
        except WorkerError as error:
            failures.append(error)
            print(f"compare: {model}, {kv}: {error}", file=sys.stderr, flush=True)


def find_model(name: str, folders: list[Path]) -> Path:
    """The file of model `name`: in one of `folders`."""
    for folder in folders:
        for path in sorted(folder.rglob(f"{name}.gguf")):
            return path
    places = " ".join(str(folder) for folder in folders)
    raise SystemExit(f"compare: no {name}.gguf under {places}; bench/README.md says how to make it")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="python of the peer's environment")
    parser.add_argument(
        "--genai-python", help="python of an environment with OpenVINO GenAI, a second peer"
    )
    parser.add_argument(
        "--models", type=Path, action="append", help="folder of the files; repeatable"
    )
    parser.add_argument("--rows", nargs="+", help="row names, or beginnings of them (default: all)")
    parser.add_argument("--exactly", action="store_true", help="--rows are whole names")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-t", "--n-threads", type=int, default=2)
    parser.add_argument("-c", "--n-ctx", type=int, default=2048, help="of the rows `first`")
    parser.add_argument(
        "--patience", type=float, default=20.0, help="seconds to wait for quiet before each turn"
    )
    parser.add_argument("--json", type=Path, help="write all rounds to this file as well")
    parser.add_argument(
        "--from", dest="given", type=Path, nargs="+", metavar="JSON",
        help="measure nothing: the table of these files; rounds of the same row are put together",
    )  # fmt: skip
    parser.add_argument(
        "--write", type=Path, help="put the table into this page, between its marks"
    )
    parser.add_argument(
        "--against", type=Path, metavar="LIBRARY_OR_CHECKOUT",
        help="instead of the peer, the llmpy of before: new over old of each row of speed",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the row names and stop")
    arguments = parser.parse_args()
    other = arguments.peer_python or arguments.against
    if not (arguments.list or arguments.given or (other and arguments.models)):
        parser.error("--peer-python (or --against) and --models are needed to measure")
    return arguments


def chosen(row: Row, arguments: argparse.Namespace) -> bool:
    """Whether --rows asks for `row`."""
    names: list[str] | None = arguments.rows
    if names is None:
        return True
    return row.name in names if arguments.exactly else row.name.startswith(tuple(names))


def measured(arguments: argparse.Namespace, failures: list[WorkerError]) -> list[dict[str, Any]]:
    """Measure, print each line as it comes, and write the file of --json however it ends."""
    rows = [row for row in ROWS if chosen(row, arguments)]
    if not rows:
        raise SystemExit("compare: no row has such a name; --list prints them")
    results: list[dict[str, Any]] = []
    try:
        for result in run(arguments, rows, failures):
            results.append(result)
            print(*lines(BY_NAME[result["row"]], result), sep="\n", flush=True)
    finally:
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1))
    return results


def against_before(arguments: argparse.Namespace) -> bool:
    """Print the table of --against; whether all rows are as fast as they were."""
    print(f"{machine(arguments.n_threads)}\n\n{HEADING}")
    passed = True
    for model, rows in versions.by_model([row for row in ROWS if chosen(row, arguments)]):
        for line in versions.measured(arguments, find_model(model, arguments.models), rows):
            print(line, flush=True)
            passed = passed and line.passed is not False
    return passed


def main() -> None:
    arguments = parse()
    if arguments.list:
        print("\n".join(row.name for row in ROWS))
        return
    if arguments.against:
        sys.exit(not against_before(arguments))
    failures: list[WorkerError] = []
    print(f"{machine(arguments.n_threads)}\n\n{HEADING}")
    if arguments.given:
        files = [json.loads(path.read_text()) for path in arguments.given]
        results = merged(result for file in files for result in file)
    else:
        results = merged(measured(arguments, failures))
    found = [line for result in results for line in lines(BY_NAME[result["row"]], result)]
    if arguments.given:
        print(*found, sep="\n")
    if arguments.write:
        table = "\n".join(map(str, found))
        where = f"Measured on: {machine(arguments.n_threads)}."
        text = f"```text\n{COMMAND}\n```\n\n{where}\n\n{HEADING}\n{table}"
        write(arguments.write, "compare.py", text)
    sys.exit(bool(failures) or any(line.passed is False for line in found))


if __name__ == "__main__":
    main()
