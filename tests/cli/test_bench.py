"""`llmpy bench`: what it reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmpy import ffi

SMALL = ("-p", 20, "-n", 5, "-r", 2)


def test_bench_reports_prefill_and_decode(run, stories: Path) -> None:
    done = run("bench", "--backend", "reference", "-m", stories, *SMALL, "-t", 1)
    assert (done.code, done.err) == (0, "")
    words = [line.split(":")[0] for line in done.out.splitlines()]
    assert words == ["threads", "prefill", "decode"]


def test_bench_as_json(run, stories: Path) -> None:
    done = run("bench", "--backend", "reference", "-m", stories, *SMALL, "--json")
    found = json.loads(done.out)
    assert (found["n_prompt"], found["n_generate"]) == (20, 5)
    assert min(found["rounds"]["prefill"]) <= found["prefill_tokens_per_second"]
    assert len(found["rounds"]["decode"]) == 2
    weights = (292_800 - 512 * 64) * 4  # bytes; of the embedding only one row is read
    rate = found["decode_gigabytes_per_second"] * 1e9 / found["decode_tokens_per_second"]
    assert rate == pytest.approx(weights)


def test_bench_beside_the_memory_of_this_machine(run, stories: Path) -> None:
    if not ffi.available():
        pytest.skip(f"no compiled library at {ffi.library_path()}")
    found = json.loads(run("bench", "--backend", "cpu", "-m", stories, *SMALL, "--json").out)
    assert found["machine_gigabytes_per_second"] > 0.1


def test_bench_refuses_more_tokens_than_the_context(run, stories: Path) -> None:
    done = run("bench", "--backend", "reference", "-m", stories, *SMALL, "-c", 25)
    assert done.code == 2
    assert "26 tokens" in done.err
