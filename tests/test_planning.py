"""How much memory a model takes, told before it is loaded, beside what it takes then."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import llmpy
from llmpy.backends.base import PAGE_TOKENS
from tests.arch import checkpoints
from tests.session.conftest import STORIES

MEASURE = """
import gc, json, sys
import tokenizers
import llmpy, llmpy.loading, llmpy.session.session, llmpy.backends.cpu.backend

def anonymous():
    gc.collect()
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(s.split()[1]) for s in lines if s.startswith("Anonymous:")) * 1024

path, n_ctx, n_sessions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
before = anonymous()
model = llmpy.load(path, n_ctx=n_ctx)
model.warm_up()
sessions = [model.session(sampler=llmpy.greedy()) for _ in range(n_sessions)]
for i, session in enumerate(sessions):
    session.feed([5 + i] * (n_ctx - 1))  # the same texts would share their pages
llmpy.next_tokens(sessions)
model.tokenizer.encode("a text")
print(json.dumps(anonymous() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_plan_is_within_five_percent_of_what_is_taken(smollm2: Path) -> None:
    plan = llmpy.plan_memory(smollm2, n_ctx=1024, sessions=3)
    arguments = [sys.executable, "-c", MEASURE, str(smollm2), "1024", "3"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=True)
    assert plan.total == pytest.approx(json.loads(done.stdout), rel=0.05)


def test_a_loaded_model_plans_the_same(shared_data: Callable[[str], Path]) -> None:
    path = shared_data(STORIES)
    planned = llmpy.plan_memory(path, n_ctx=200, sessions=4)
    with llmpy.load(path, n_ctx=200) as model:
        assert model.plan(sessions=4).total == planned.total
        assert model.plan().sessions == 1
        assert model.plan(n_ctx=1).kv_cache == model._engine.pool.kv.pages.n_bytes


def test_each_part_grows_with_what_it_is_for(shared_data: Callable[[str], Path]) -> None:
    path = shared_data(STORIES)
    one, two = (llmpy.plan_memory(path, n_ctx=2 * PAGE_TOKENS, sessions=n) for n in (1, 2))
    assert two.kv_cache == 2 * one.kv_cache
    assert two.weights == one.weights
    longer = llmpy.plan_memory(path, n_ctx=2 * PAGE_TOKENS + 1)
    assert 2 * longer.kv_cache == 3 * one.kv_cache
    small = llmpy.plan_memory(path, n_batch=8)
    assert small.activations < one.activations / 30
    assert llmpy.plan_memory(path, kv_dtype="q8_0").kv_cache < llmpy.plan_memory(path).kv_cache
    assert one.total == one.weights + one.kv_cache + one.activations + one.tokenizer
    assert str(one).splitlines()[0].startswith("weights")


def test_recurrent_states_are_planned(tmp_path: Path) -> None:
    golden = checkpoints.load_golden("mamba2")
    weights = golden.weights(checkpoints.spec("mamba2"))
    folder = checkpoints.write(tmp_path / "m", golden.about["config"], weights)
    plan = llmpy.plan_memory(folder, sessions=3)
    with llmpy.load(folder) as model:
        assert plan.recurrent == 3 * model._engine.pool.kv.states.n_bytes > 0
    assert plan.kv_cache == 0


def test_too_much_is_told_and_not_refused(shared_data: Callable[[str], Path]) -> None:
    plan = llmpy.plan_memory(shared_data(STORIES), n_ctx=1 << 24, sessions=10_000)
    assert not plan.fits
    assert plan.available is None or plan.total > plan.available


@pytest.mark.parametrize("name", ["n_ctx", "sessions", "n_batch"])
def test_impossible_numbers_are_refused(shared_data: Callable[[str], Path], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected a positive whole number"):
        llmpy.plan_memory(shared_data(STORIES), **{name: 0})  # type: ignore[arg-type]


def test_operations_are_printed_for_a_known_format_of_keys(
    shared_data: Callable[[str], Path],
) -> None:
    path = shared_data(STORIES)
    assert "attend" in llmpy.program_text(path, kv_dtype="q8_0").lower()
    with pytest.raises(ValueError, match="kv_dtype: expected one of"):
        llmpy.program_text(path, kv_dtype="q9")
