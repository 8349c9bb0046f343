"""`llmpy plan`: the numbers of `plan_memory`, printed."""

from __future__ import annotations

import json
from pathlib import Path

import llmpy


def test_the_plan_is_printed(run, stories: Path) -> None:
    plan = llmpy.plan_memory(stories, n_ctx=256, sessions=3)
    done = run("plan", stories, "-c", 256, "-s", 3)
    assert done.code == 0
    assert done.out.splitlines()[:-1] == str(plan).splitlines()[:-1]  # the last is what is free now
    found = json.loads(run("plan", stories, "-c", 256, "-s", 3, "--json").out)
    assert (found["total"], found["fits"]) == (plan.total, True)


def test_what_does_not_fit_is_code_1(run, stories: Path) -> None:
    done = run("plan", stories, "-c", 1 << 24, "-s", 100_000)
    assert done.code == 1
    assert "total" in done.out
