"""Measuring the speed of a model beside what the machine's memory allows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress

import llmpy
from llmpy.apps.speed import bytes_per_token, one_round
from llmpy.apps.webapp.records import Record

__all__ = ["measured"]

LENGTHS = (64, 256, 512, 1024, 2048)  # tokens of the prompts, as far as the context goes
N_DECODE = 32  # tokens after each
ROUNDS = 2
MOST_SECONDS = 60.0


def measured(model: llmpy.Model, n_threads: int, report: Callable[[int, int, str], None]) -> Record:
    """Speed of prefill by length of the prompt, of decode by tokens in the context, and of memory.

    The machine's memory is read in turns with the model, so that both have the same conditions.
    """
    begun = time.perf_counter()
    lengths = [n for n in LENGTHS if n + N_DECODE < model.n_ctx] or [model.n_ctx // 2]
    model.session().close()  # refuses what cannot generate
    model.warm_up()
    machine: list[float] = []
    prefill: dict[int, list[float]] = {n: [] for n in lengths}
    decode: dict[int, list[float]] = {n: [] for n in lengths}
    total = ROUNDS * len(lengths)
    for turn in range(ROUNDS):
        for i, n in enumerate(lengths):
            report(turn * len(lengths) + i, total, f"{n} tokens")
            if prefill[n] and time.perf_counter() - begun > MOST_SECONDS:
                continue
            with suppress(llmpy.BackendError):  # without the native library
                machine.append(llmpy.read_bandwidth(n_threads))
            one, other = one_round(model, n, N_DECODE, turn * len(lengths) + i)
            prefill[n].append(one)
            decode[n].append(other)
    n_bytes = int(bytes_per_token(model))
    rate = statistics.median(decode[lengths[0]])
    bandwidth = statistics.median(machine) if machine else None
    return {
        "prefill": {
            "tokens_per_second": max(statistics.median(v) for v in prefill.values()),
            "points": [[n, statistics.median(v)] for n, v in prefill.items()],
        },
        "decode": {
            "tokens_per_second": rate,
            "bytes_per_second": rate * n_bytes,
            "limit": None if bandwidth is None else bandwidth / n_bytes,
            "points": [[n, statistics.median(v)] for n, v in decode.items()],
        },
        "machine": {"bytes_per_second": bandwidth, "n_threads": n_threads},
        "weights": n_bytes,
    }
