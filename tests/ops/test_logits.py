"""Logits: those of the tokens that are asked for, and what products leave of them for the sampler.

The vocabulary is large enough for several threads and pieces.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from llmpy.backends.base import Sampling
from llmpy.engine.history import History
from llmpy.sampling.adaptive import Mirostat2
from llmpy.sampling.compiled import NativeChain
from llmpy.sampling.penalties import Repetition
from llmpy.sampling.rng import Rng
from llmpy.sampling.temperatures import Greedy, Temperature
from llmpy.sampling.truncation import MinP, TopK, TopP
from tests.ops.harness import LEVELS, Model, cpu_backend, flatten, random

N_VOCAB, WIDTH = 9001, 64
PROMPT = [5, 8000, 17, 33, 4, 900, 61]

CHAINS = [
    (Greedy(),),
    (TopK(40), TopP(0.95), MinP(0.05), Temperature(0.8)),
    (TopP(0.9),),
    (Repetition(1.3, 64), TopK(40)),
    (Temperature(0.7), TopK(3000)),
]


@cache
def model(level: str, n_threads: int, dtype: str = "F32") -> Model:
    return Model(
        cpu_backend(level, n_threads),
        random(1, N_VOCAB, WIDTH),
        lambda x, w: (x + flatten(x.heads(2))).rms_norm(w.norm, 1e-5).linear(w.out),
        {
            "norm.weight": ("F32", random(2, WIDTH)),
            "out.weight": (dtype, random(3, N_VOCAB, WIDTH) / 4),
        },
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_only_the_last_of_texts_of_any_length(level: str, n_threads: int) -> None:
    shared = model(level, n_threads)
    whole = shared.read(PROMPT)
    for n in (5, 3, 1, 7, 2):
        last = shared.step([(shared.state(), 0, PROMPT[:n])], [n - 1])
        np.testing.assert_array_equal(last[0], whole[n - 1])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("steps", CHAINS)
@pytest.mark.parametrize("dtype", ["F32", "Q8_0"])
def test_a_step_and_the_sampler_in_one_call(level: str, steps: tuple, dtype: str) -> None:
    shared = model(level, 2, dtype)
    chain, rng, history, state = NativeChain(steps, N_VOCAB), Rng(3), History(), shared.state()
    history.append(PROMPT)
    shared.step([(state, 0, PROMPT[:-1])], [])
    generated: list[int] = []
    for _ in range(40):
        at = len(history) - 1
        logits = shared.step([(state, at, [history.item(-1)])])
        chosen = NativeChain(steps, N_VOCAB).sample(
            logits.ctypes.data, N_VOCAB, *history.last(chain.n_history), rng
        )
        history.add(chosen)
        generated.append(chosen)
    again, other = History(), shared.state()
    again.append(PROMPT)
    again.make_room(40)
    shared.step([(other, 0, PROMPT[:-1])], [])
    other.prepare(len(PROMPT) - 1, len(PROMPT) + 40)
    n = 0
    while n < 40:
        drawn = Rng(3, n)
        more = shared.plan.generate(other, again, 40 - n, chain, drawn)
        again.count(more)
        n += more
    assert again.part(len(PROMPT), len(PROMPT) + 40).tolist() == generated


def rows_of(shared: Model, n: int) -> None:
    """A step of `n` sequences with logits."""
    shared.step([(shared.state(), 0, [token]) for token in range(n)])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("steps", CHAINS)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_samplers_of_several_rows_in_one_call(level: str, steps: tuple, n_threads: int) -> None:
    shared, history = model(level, n_threads), History()
    history.append(PROMPT)
    rows_of(shared, 9)
    chains, rngs = [NativeChain(steps, N_VOCAB) for _ in range(9)], [Rng(i) for i in range(9)]
    drawn = shared.plan.drawn(
        [
            Sampling(chain, *history.last(chain.n_history), None, rng)
            for chain, rng in zip(chains, rngs, strict=True)
        ]
    )
    expected = [
        chain.sample(row.ctypes.data, N_VOCAB, *history.last(chain.n_history), rng)
        for row, chain, rng in zip(shared.plan.logits(), chains, rngs, strict=True)
    ]
    assert drawn == expected


def test_samplers_that_a_plan_leaves_to_the_engine() -> None:
    shared = model(LEVELS[-1], 2)
    rows_of(shared, 5)
    first, second = (NativeChain((Greedy(),), N_VOCAB) for _ in range(2))
    masked, stateful = NativeChain((Greedy(),), N_VOCAB), NativeChain((Mirostat2(5.0),), N_VOCAB)
    mask = np.full(-(-N_VOCAB // 32), 2**32 - 1, np.uint32)
    drawn = shared.plan.drawn(
        [
            Sampling(first, 0, 0, None, Rng(0)),
            Sampling(masked, 0, 0, mask, Rng(0)),
            Sampling(stateful, 0, 0, None, Rng(0)),
            Sampling(first, 0, 0, None, Rng(0)),  # two threads may not have one chain
            Sampling(second, 0, 0, None, None),
        ]
    )
    assert drawn[0] == shared.plan.logits()[0].argmax()
    assert drawn[1:] == [None] * 4


def test_a_row_that_is_not_finite_has_no_token() -> None:
    shared = Model(
        cpu_backend(LEVELS[-1], 2),
        np.full((4, WIDTH), [[1], [np.nan], [2], [3]], np.float32),
        lambda x, w: x.linear(w.out),
        {"out.weight": ("F32", random(3, N_VOCAB, WIDTH))},
    )
    rows_of(shared, 4)
    chains = [NativeChain((Greedy(),), N_VOCAB) for _ in range(4)]
    drawn = shared.plan.drawn([Sampling(chain, 0, 0, None, Rng(0)) for chain in chains])
    assert [token is None for token in drawn] == [False, True, False, False]
