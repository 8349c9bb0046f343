"""One row measured in turns: llmpy, what it is compared with, and the machine's own limits.

Each round is a dict of numbers; table.py says what they mean. `llmpy` and `other` are in every
round: tokens per second, seconds to the first token ("first"), or microseconds ("python").
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bandwidth import ReadBandwidth
from ceilings import peak
from lines import Worker
from quiet import Quiet
from resident import opening, read_once
from rows import PYTHON_MICROSECONDS, Row

import llmpy

PROMPT = "Once upon a time, there was a little crab who lived by the sea."
# Long enough for the other engine's waiting threads to stop spinning and sleep.
PAUSE_SECONDS = 0.1
# A processor that has paused takes some hundredths of a second to be fast: both work for as long.
WORK_SECONDS = 0.5
LONG = 1024  # tokens; what reads more is not done only to warm up
SMALL = 128e6  # bytes; of fewer, a part may stay in a cache from one token to the next
TOGETHER = 16  # sessions
TURNS = itertools.count(1)  # no two prompts are the same

Round = dict[str, float]


def token_ids(count: int, n_vocab: int, turn: int = 0) -> list[int]:
    """Pseudo-random tokens, others in each turn; low ids are left out: often special.

    A prompt that was read before may be found in a prefix cache, of whatever engine.
    """
    generator = random.Random(2718 + turn)
    return [generator.randrange(min(300, n_vocab // 2), n_vocab) for _ in range(count)]


def rate(worker: Worker, row: Row, n_vocab: int, seed: int, **options: Any) -> float:
    """Tokens per second of one measurement of `row`."""
    if row.what == "public":
        result = worker("public", prompt=PROMPT, n=row.n, seed=seed, least=WORK_SECONDS, **options)
    elif row.what == "prefill":
        result = worker("prefill", tokens=token_ids(row.n, n_vocab, next(TURNS)), **options)
    else:
        if row.what == "together":
            options["sessions"] = TOGETHER
        tokens = token_ids(row.after, n_vocab)
        result = worker(row.what, tokens=tokens, n=row.n, **options)
    return float(result["tokens"] / result["seconds"])


def products_of_prompt(path: Path, n: int) -> float:
    """Multiplications by weights when `n` tokens are read and the logits of one are wanted."""
    with llmpy.open_gguf(path) as file:
        tensors = dict(file.tensors)
    matrices = {k: t.shape[0] * t.shape[1] for k, t in tensors.items() if len(t.shape) == 2}
    layers = sum(size for name, size in matrices.items() if name.startswith("blk."))
    return float(n * layers + matrices.get("output.weight", matrices["token_embd.weight"]))


class Turns:
    """The engines open on one model, the memory, and the rule that one works at a time."""

    def __init__(
        self, llmpy: Worker, peer: Worker, genai: Worker | None, path: Path,
        arguments: argparse.Namespace,
    ) -> None:  # fmt: skip
        self.llmpy, self.peer, self.path, self.arguments = llmpy, peer, path, arguments
        self.genai = genai
        self.n_threads = arguments.n_threads
        self.opened: dict[str, Any] = {}
        self.meter = ReadBandwidth(self.n_threads)
        self.quiet = Quiet(patience=arguments.patience)
        self.quiet.pids = [worker.pid for worker in (llmpy, peer, genai) if worker]

    def open(self, kv: str, n_ctx: int) -> None:
        """Open the model in all engines."""
        options = {"path": str(self.path), "n_threads": self.n_threads, "n_ctx": n_ctx}
        self.opened = self.peer("open", **options)
        self.llmpy("open", **options, kv_dtype="auto" if kv == "f16" else kv)
        if self.genai:
            self.genai("open", **options)

    def read(self) -> float:
        """GB/s of reading again and again as many bytes as a token does, in RAM or in a cache."""
        if self.opened["bytes"] > SMALL:
            return self.meter.measure()
        return llmpy.read_bandwidth(self.n_threads, self.opened["bytes"], passes=40) / 1e9

    def turn(self, work: Callable[[], float]) -> float:
        """The result of `work`, from a quiet turn."""
        time.sleep(PAUSE_SECONDS)
        return self.quiet.turn(work)

    def rate(self, worker: Worker, row: Row, seed: int, **options: Any) -> float:
        """One quiet turn of an engine, in tokens per second."""
        return self.turn(lambda: rate(worker, row, self.opened["n_vocab"], seed, **options))

    def speed(self, row: Row, count: int) -> dict[str, Any]:
        """`count` rounds of tokens per second."""
        itself = row.what == "together"
        ways: list[dict[str, Any]] = [{}] if itself else self._ways(row)
        worker = self.llmpy if itself else self.peer
        against = replace(row, what="decode") if itself else row
        genai = self.genai if row.genai else None
        if row.length <= LONG:
            self.rate(self.llmpy, row, 0)
            for way in ways:
                self.rate(worker, against, 0, **way)
            if genai:
                self.rate(genai, row, 0)
        self.quiet.noisy = 0
        rounds: list[Round] = []
        for seed in range(1, count + 1):
            now: Round = {}
            if seed % 2:
                now["llmpy"] = self.rate(self.llmpy, row, seed)
            now["read"] = self.turn(self.read)
            if row.of_peak is not None:
                now["peak"] = self.turn(lambda: peak("int8", self.n_threads))
            tried = [(self.rate(worker, against, seed, **way), i) for i, way in enumerate(ways)]
            now["other"], best = max(tried)
            ways = [ways[best]]  # the faster way of the first round stays
            if genai:
                now["genai"] = self.rate(genai, row, seed)
            if not seed % 2:
                now["llmpy"] = self.rate(self.llmpy, row, seed)
            rounds.append(now)
        return {
            "rounds": rounds,
            "noisy": self.quiet.noisy,
            "peer_flash_attention": ways[0].get("flash"),
            "bytes": self.opened["bytes"],
            "products": products_of_prompt(self.path, row.n) / row.n if row.of_peak else None,
        }

    def first(self, count: int) -> dict[str, Any]:
        """`count` rounds of opening the file in new processes."""
        read_once(self.path)
        rounds = []
        for _ in range(count):
            self.quiet.wait()
            ours = opening(sys.executable, "llmpy_worker.py", self.path, self.arguments)
            self.quiet.wait()
            theirs = opening(
                self.arguments.peer_python, "peer_worker.py", self.path, self.arguments
            )
            now = {"llmpy": ours["seconds"], "other": theirs["seconds"]}
            rounds.append(now | {"resident": ours["resident"]["all"]})
        return {"rounds": rounds, "noisy": 0, "bytes": self.path.stat().st_size}

    def python(self, row: Row, count: int) -> dict[str, Any]:
        """`count` rounds of what llmpy spends a token outside of native code, in microseconds."""
        self.quiet.noisy = 0
        rounds = []
        for seed in range(count + 1):
            now: Round = {}

            def spent(seed: int = seed, now: Round = now) -> float:
                found = self.llmpy(
                    "python", path=str(self.path), prompt=PROMPT, n=row.n, seed=seed,
                    n_threads=self.n_threads,
                )  # fmt: skip
                now.update(found)
                return float(found["next_token"])

            now["llmpy"] = self.turn(spent)
            rounds.append(now | {"other": PYTHON_MICROSECONDS})
        return {"rounds": rounds[1:], "noisy": self.quiet.noisy}

    def measure(self, row: Row, count: int) -> dict[str, Any]:
        """`count` rounds of `row`, whatever it is."""
        if row.what == "first":
            result = self.first(count)
        elif row.what == "python":
            result = self.python(row, count)
        else:
            result = self.speed(row, count)
        return {"row": row.name, **result}

    def _ways(self, row: Row) -> list[dict[str, Any]]:
        """How the peer may do this row: the faster counts. 8-bit values need flash attention."""
        ways = ({"flash": False}, {"flash": True})
        if row.what == "public":
            return list(ways)
        return [way | {"kv_dtype": row.kv} for way in ways if way["flash"] or row.kv != "q8_0"]
