"""Opening a model: seconds to the first token, and resident memory after it, beside the peer's.

Every opening is a fresh process, the engines take turns, and the file is in the page cache. Memory
is judged against the file's size; time is given as a ratio to the peer within each round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from lines import Worker
from quiet import Quiet

PROMPT = "Once upon a time"
MIB = 2**20


def read_once(path: Path) -> None:
    """Bring the file into the page cache."""
    with path.open("rb") as file:
        while file.read(16 * MIB):
            pass


def opening(python: str, script: str, path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One opening in a process of its own."""
    with Worker(python, script) as worker:
        result: dict[str, Any] = worker(
            "first_token",
            path=str(path),
            prompt=PROMPT,
            n_threads=arguments.n_threads,
            n_ctx=arguments.n_ctx,
        )
        return result


def measure(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one file."""
    read_once(path)
    ours, theirs, quiet = [], [], Quiet()
    for _ in range(arguments.rounds):
        quiet.wait()
        ours.append(opening(sys.executable, "llmpy_worker.py", path, arguments))
        quiet.wait()
        theirs.append(opening(arguments.peer_python, "peer_worker.py", path, arguments))
    over = statistics.median(r["resident"]["all"] for r in ours) - path.stat().st_size
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)]
    return {
        "file": path.name,
        "file_bytes": path.stat().st_size,
        "llmpy_seconds": statistics.median(r["seconds"] for r in ours),
        "llmpy_open_seconds": statistics.median(r["open"] for r in ours),
        "llmpy_tokenizer_seconds": statistics.median(r["tokenizer"] for r in ours),
        "peer_seconds": statistics.median(r["seconds"] for r in theirs),
        "times_as_soon": statistics.median(ratios),
        "times_as_soon_min": min(ratios),
        "times_as_soon_max": max(ratios),
        "llmpy_resident_over_file": over,
        "peer_resident_over_file": statistics.median(r["resident"]["all"] for r in theirs)
        - path.stat().st_size,
        "passed": over <= arguments.margin * MIB,
        "rounds": {"llmpy": ours, "peer": theirs},
    }


def line(r: dict[str, Any]) -> str:
    """One row of the table."""
    return (
        f"| {r['file']:22} | {r['llmpy_seconds']:6.3f} ({r['llmpy_open_seconds']:.3f}, "
        f"{r['llmpy_tokenizer_seconds']:.3f}) | {r['peer_seconds']:6.3f} "
        f"| {r['times_as_soon']:5.2f} ({r['times_as_soon_min']:.2f}..{r['times_as_soon_max']:.2f}) "
        f"| {r['file_bytes'] / MIB:7.0f} | {r['llmpy_resident_over_file'] / MIB:+6.0f} "
        f"| {r['peer_resident_over_file'] / MIB:+6.0f} | {'pass' if r['passed'] else 'FAIL'} |"
    )


HEADING = (
    "Seconds from opening to the first token (in brackets: to load, the tokenizer's part of it);\n"
    "resident memory after it, in MiB over the file's size.\n\n"
    "| file                   | llmpy s               | peer s | times as soon     | file MiB "
    "| llmpy  | peer   |      |\n"
    "|------------------------|-----------------------|--------|-------------------|----------"
    "|--------|--------|------|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="GGUF files")
    parser.add_argument("--peer-python", required=True, help="python of the peer's environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-t", "--n-threads", type=int, default=2)
    parser.add_argument("-c", "--n-ctx", type=int, default=2048)
    parser.add_argument(
        "--margin", type=float, default=150, help="MiB that llmpy may hold over the file's size"
    )
    parser.add_argument("--json", type=Path, help="write all rounds to this file as well")
    arguments = parser.parse_args()
    print(HEADING)
    results = []
    for path in arguments.files:
        results.append(measure(path, arguments))
        print(line(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    sys.exit(not all(result["passed"] for result in results))


if __name__ == "__main__":
    main()
