"""What is refused before native code sees it, and what the plan's memory does."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from llmpy.backends.base import Batch
from llmpy.errors import BackendError
from tests.ops.harness import MAX_TOKENS, N_CTX, Array, Model, cpu_backend, random
from tests.ops.test_attention import attention

N_ROWS = 50


@pytest.fixture(scope="module")
def model() -> Model:
    weights = {f"{p}.weight": ("F32", random(i, 16, 16)) for i, p in enumerate("qkv")}
    return Model(cpu_backend(), random(1, N_ROWS, 16), attention(2, 2), weights)


def run(model: Model, n_pages: int, *arrays: Any) -> Array:
    state = model.state()
    if n_pages:
        state.prepare(0, n_pages * 64)
    tokens, positions, sessions, output_rows = (np.array(a, np.int32) for a in arrays)
    result: Array = model.plan.run(
        Batch(tokens, positions, sessions, output_rows), [state]
    ).logits()
    return result


@pytest.mark.parametrize(
    ("n_pages", "tokens", "positions", "sessions", "output_rows", "message"),
    [
        (1, [N_ROWS], [0], [0], [0], "token: expected 0 to 49, found 50"),
        (1, [-1], [0], [0], [], "token: expected 0 to 49, found -1"),
        (1, [3], [0], [1], [0], "session: expected 0 to 0, found 1"),
        (1, [3], [-1], [0], [0], "position"),
        (1, [3], [N_CTX], [0], [0], "position"),
        (1, [3], [64], [0], [0], "page of the position: expected 0 to 0, found 1"),
        (0, [3], [0], [0], [0], "page of the position"),
        (1, [3], [0], [0], [1], "output row"),
        (1, [3, N_ROWS], [0, 1], [0, 0], [0], "token: expected 0 to 49, found 50"),
        (1, [-5, 3], [0, 1], [0, 0], [0], "token"),
        (1, [3, 3], [0, 1], [0, 1], [0], "session"),
        (1, [3, 3], [0, 2], [0, 0], [0], "ascend one by one"),
        (1, [3, 3], [1, 0], [0, 0], [0], "ascend one by one"),
        (1, [3, 3], [0, 0], [0, 0], [0], "ascend one by one"),
        (1, [3, 3], [63, 64], [0, 0], [0], "page of the position"),
        (1, [3, 3], [-1, 0], [0, 0], [0], "position"),
        (1, [3, 3], [0, 1], [0, 0], [2], "output row"),
        (1, [3, 3], [0, 1], [0, 0], [1, 0], "output rows must ascend"),
        (1, [3, 3], [0, 1], [0, 0], [1, 1], "output rows must ascend"),
        (1, [3, 3], [0, 1], [0, 0], [-1, 0], "output row"),
        (1, [3, 3], [0], [0, 0], [0], "differ in length"),
        (9, [0] * 513, list(range(513)), [0] * 513, [], "at most 512 tokens, found 513"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(
    model: Model,
    n_pages: int,
    tokens: list[int],
    positions: list[int],
    sessions: list[int],
    output_rows: list[int],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        run(model, n_pages, tokens, positions, sessions, output_rows)


def test_an_empty_batch_gives_no_logits(model: Model) -> None:
    assert run(model, 1, [], [], [], []).shape == (0, 16)


def test_no_output_rows(model: Model) -> None:
    assert run(model, 1, [1], [0], [0], []).shape == (0, 16)
    assert run(model, 1, [1, 2, 3], [0, 1, 2], [0, 0, 0], []).shape == (0, 16)


def test_memory_grows_with_the_batch(model: Model) -> None:
    tokens = [i % N_ROWS for i in range(MAX_TOKENS)]
    whole = model.read(tokens)
    np.testing.assert_array_equal(model.read(tokens, 1), whole)
    np.testing.assert_array_equal(model.read(tokens, 100), whole)


def test_other_integers_are_taken_by_value(model: Model) -> None:
    state = model.state()
    state.prepare(0, 2)
    arrays = [np.array(a, np.int64) for a in ([1, 2], [0, 1], [0, 0], [0, 1])]
    found = model.plan.run(Batch(*arrays), [state]).logits()  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, model.read([1, 2]))


def test_logits_outlive_the_plan() -> None:
    weights = {f"{p}.weight": ("F32", random(i, 16, 16)) for i, p in enumerate("qkv")}
    ours = Model(cpu_backend(), random(1, N_ROWS, 16), attention(2, 2), weights)
    logits = run(ours, 1, [1], [0], [0], [0])
    before = logits.copy()
    ours.plan.close()
    ours.plan.close()
    del ours
    gc.collect()
    np.testing.assert_array_equal(logits, before)


def test_a_closed_plan_refuses_to_run() -> None:
    ours = Model(cpu_backend(), random(1, N_ROWS, 16), lambda x, _: x.silu())
    state = ours.state()
    state.prepare(0, 1)
    ours.plan.close()
    with pytest.raises(BackendError, match="closed"):
        ours.step([(state, 0, [1])])
