"""Two versions of llmpy in turns, new over old: the rows of `compare.py --against`.

The old one is a library, which the Python of this checkout then uses, or a checkout with its own.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lines import Worker
from quiet import Quiet
from rows import Row
from table import Line
from turns import rate

import llmpy

LEAST = 0.98  # of the old speed
KINDS = ("prefill", "decode", "public", "together")


def opened(old: Path | None) -> Worker:
    """Return a worker of this version, or of the old one."""
    if old is None:
        return Worker(sys.executable, "llmpy_worker.py")
    if old.is_file():
        return Worker(sys.executable, "llmpy_worker.py", env={"LLMPY_LIBRARY": str(old.resolve())})
    root = old.resolve()
    library = root / "build" / Path(os.environ.get("LLMPY_LIBRARY", "libllmpy.so")).name
    worker = root / "bench" / "llmpy_worker.py"
    for path in (library, worker):
        if not path.is_file():
            raise SystemExit(
                f"compare: no {path}; --against takes a library, or a checkout in which "
                "tools/build_native.py was run"
            )
    return Worker(
        sys.executable, str(worker),
        env={"LLMPY_LIBRARY": str(library), "PYTHONPATH": str(root / "src")},
    )  # fmt: skip


def measured(arguments: argparse.Namespace, path: Path, rows: list[Row]) -> Iterator[Line]:
    """Tokens per second of both versions on one model, the order changing with each round."""
    with llmpy.open_gguf(path) as file:
        n_vocab = file.tensors["token_embd.weight"].shape[0]
    quiet = Quiet(patience=arguments.patience)
    with opened(None) as new, opened(arguments.against) as old:
        quiet.pids = [new.pid, old.pid]
        options = {"path": str(path), "n_threads": arguments.n_threads}
        options["n_ctx"] = max(512, *(row.n + row.after + 64 for row in rows))
        for worker in (new, old):
            worker("open", **options)
        for row in rows:
            for worker in (new, old):
                rate(worker, row, n_vocab, 0)
            quiet.noisy = 0
            pairs: list[tuple[float, float, float]] = []
            for seed in range(1, arguments.rounds + 1):
                found: dict[str, Any] = {}
                order = [("new", new), ("old", old)]
                for name, worker in order if seed % 2 else order[::-1]:
                    found[name] = quiet.turn(
                        lambda worker=worker, seed=seed: rate(worker, row, n_vocab, seed)  # type: ignore[misc]  # noqa: B023
                    )
                pairs.append((found["new"], found["old"], found["new"] / found["old"]))
            yield Line(row.name, "tokens/s", arguments.against.name, pairs, LEAST, quiet.noisy)


def by_model(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """The rows that speed of one version over another is judged by, model after model."""
    of_speed = [row for row in rows if row.what in KINDS and row.kv == "f16"]
    for model, group in itertools.groupby(
        sorted(of_speed, key=lambda r: r.model), lambda r: r.model
    ):
        yield model, list(group)
