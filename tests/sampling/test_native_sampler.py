"""The native sampler gives the token that the definition gives, bit for bit."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy.errors import SamplerError
from llmpy.sampling import (
    NativeChain,
    Rng,
    adaptive_p,
    chain,
    checked_chain,
    default_chain,
    dry,
    dynamic_temperature,
    frequency,
    greedy,
    locally_typical,
    logit_bias,
    min_p,
    mirostat1,
    mirostat2,
    presence,
    repetition,
    sequence_repetition,
    tail_free,
    temperature,
    top_a,
    top_k,
    top_n_sigma,
    top_p,
    xtc,
)
from llmpy.sampling.definition import sampled
from llmpy.sampling.step import View
from llmpy.sampling.weights import max_logit

pytestmark = pytest.mark.usefixtures("compiled")


def by_definition(steps, logits, session, rng, state):
    token, state.values = sampled(steps.steps, logits, session, rng, state.values)
    rng.advance()
    return token


def random_logits(random, n):
    kind = random.integers(6)
    if kind == 0:  # many ties
        logits = random.integers(-3, 4, n).astype(np.float32)
    elif kind == 1:  # nearly flat
        logits = (random.standard_normal(n) * 0.01).astype(np.float32)
    elif kind == 2:  # all equal, of either zero
        logits = np.where(random.random(n) < 0.5, 0.0, -0.0).astype(np.float32)
    elif kind == 3:  # of every magnitude
        logits = (random.standard_normal(n) * 10.0 ** random.integers(-8, 8, n)).astype(np.float32)
    else:
        logits = (random.standard_normal(n) * 4).astype(np.float32)
    if random.random() < 0.3:
        logits[random.random(n) < 0.5] = -math.inf
        logits[random.integers(n)] = 1.0
    return logits


def random_step(random, n):
    window = int(random.integers(-1, 40))
    least = int(random.choice([1, 1, 3, 70]))
    choices = [
        lambda: greedy(),
        lambda: temperature(random.choice([0.0, 0.3, 0.8, 1.0, 1.7, 50.0])),
        lambda: top_k(int(random.choice([0, 1, 2, 5, 40, 64, 65, 200, n]))),
        lambda: top_p(random.choice([0.001, 0.1, 0.5, 0.9, 0.95, 0.999, 1.0]), least),
        lambda: min_p(random.choice([0.0, 0.001, 0.05, 0.5, 1.0]), least),
        lambda: repetition(random.choice([0.8, 1.0, 1.1, 2.0]), window),
        lambda: frequency(random.choice([-0.5, 0.0, 0.3]), window),
        lambda: presence(random.choice([-0.5, 0.0, 0.3]), window),
        lambda: logit_bias({int(i): float(i % 7 - 3) for i in random.integers(0, n, 5)}),
        lambda: top_a(random.choice([0.0, 0.01, 0.2, 3.0]), random.choice([0.0, 0.5, 2.0]), least),
        lambda: top_n_sigma(random.choice([0.0, 0.01, 0.5, 1.0, 3.0]), least),
        lambda: tail_free(random.choice([0.0, 0.1, 0.5, 0.95, 0.999999, 1.0]), least),
        lambda: locally_typical(random.choice([0.001, 0.2, 0.9, 0.999999, 1.0]), least),
        lambda: xtc(random.choice([0.0, 0.5, 1.0]), random.choice([1e-9, 0.01, 0.1, 0.4, 0.7])),
        lambda: dynamic_temperature(0.3, random.choice([0.3, 2.0]), random.choice([0.0, 1.0, 2.5])),
        lambda: dry(
            random.choice([0.0, 0.8, 1e38]),
            random.choice([1.0, 1.75, 1e30]),
            int(random.integers(1, 4)),
            window,
            tuple(random.integers(0, n, random.integers(3)).tolist()),
        ),
        lambda: sequence_repetition(
            random.choice([0.0, 0.7]),
            random.choice([0.0, 0.3]),
            int(random.integers(2, 5)),
            int(random.integers(0, 3)),
            int(random.integers(0, 3)),
            int(random.integers(0, 60)),
        ),
    ]
    return choices[random.integers(len(choices))]()


def last_step(random):
    """Most chains end with any step; these remember something."""
    return [
        lambda: (),
        lambda: (mirostat1(random.choice([0.1, 3.0, 8.0]), random.choice([0.0, 0.1, 1.0])),),
        lambda: (mirostat1(2.0, 0.3, random.choice([-2.0, 30.0]), int(random.choice([2, 40]))),),
        lambda: (mirostat2(random.choice([0.1, 3.0, 8.0]), random.choice([0.0, 0.1, 1.0])),),
        lambda: (adaptive_p(random.choice([0.0, 0.2, 1.0]), random.choice([0.0, 0.9])),),
    ][random.choice(5, p=[0.6, 0.1, 0.1, 0.1, 0.1])]()


def random_chain(random, n):
    steps = [random_step(random, n) for _ in range(random.integers(0, 6))]
    last = last_step(random)
    if last and last[0].name.startswith("mirostat"):
        steps = [step for step in steps if not step.truncates]
    return chain(*steps, *last)


@pytest.mark.parametrize("block", range(10))
def test_thousands_of_random_chains_agree(block):
    random = np.random.default_rng(block)
    for case in range(400):
        n = int(random.choice([1, 2, 3, 63, 64, 65, 127, 500, 3000]))
        steps = random_chain(random, n)
        logits = random_logits(random, n)
        few = min(n, int(random.choice([2, 5, 3000])))  # so that sequences repeat
        session = SimpleNamespace(tokens=random.integers(0, few, random.integers(0, 60)).tolist())
        one, two = Rng(case), Rng(case)
        first, second = steps.initial_state(), steps.initial_state()
        for _ in range(3):
            try:
                expected = by_definition(steps, logits, session, one, first)
            except SamplerError as error:
                with pytest.raises(SamplerError, match=re.escape(str(error))):
                    steps.sample(logits, session, two, second)
                break
            assert steps.sample(logits, session, two, second) == expected, (str(steps), n)
            assert first.values == second.values, (str(steps), n)


@pytest.mark.parametrize("block", range(4))
def test_steps_alone_agree_in_all_logits(block):
    random = np.random.default_rng(100 + block)
    for case in range(300):
        n = int(random.choice([1, 2, 3, 63, 64, 65, 127, 500, 3000]))
        steps = random_chain(random, n).steps
        logits = random_logits(random, n)
        session = SimpleNamespace(tokens=random.integers(0, min(n, 4), 50).tolist())
        rng, out = Rng(case), np.empty(n, np.float32)
        native = NativeChain(steps, n)
        history = np.array(session.tokens, np.int32)
        state = steps[-1].initial_state() if steps else ()
        expected = logits
        try:
            for step in steps:
                expected = step(expected, View(session, rng, state))
            max_logit(expected)
        except SamplerError:
            continue
        at = history.ctypes.data, history.size
        native.apply(logits.ctypes.data, n, *at, rng, None, out)
        expected = expected + np.float32(0)  # -0 is 0
        assert np.array_equal(out + np.float32(0), expected), (chain(*steps), n)


@pytest.mark.parametrize(
    "steps",
    [
        default_chain(),
        checked_chain("tail-free:0.95"),
        checked_chain("locally-typical:0.9"),
        checked_chain("top-n-sigma:1/xtc"),
        checked_chain("top-a"),
        checked_chain("dynamic-temperature:low=0.5:high=1.5"),
        checked_chain("mirostat1"),
        checked_chain("mirostat2"),
        checked_chain("adaptive-p:0.3"),
        chain(temperature(0.9)),
        chain(top_p(0.97)),
        chain(top_k(5000), top_p(0.99), temperature(1.3)),
        chain(min_p(0.02)),
    ],
)
def test_a_large_vocabulary_agrees(steps):
    random = np.random.default_rng(4)
    one, two = Rng(11), Rng(11)
    session = SimpleNamespace(tokens=[])
    first, second = steps.initial_state(), steps.initial_state()
    for _ in range(4):
        logits = (random.standard_normal(128256) * 3).astype(np.float32)
        expected = by_definition(steps, logits, session, one, first)
        assert steps.sample(logits, session, two, second) == expected
        assert first.values == second.values


@given(st.lists(st.floats(width=32), min_size=1, max_size=200), st.integers(0, 2**64 - 1))
@settings(max_examples=200)
def test_any_numbers_give_a_token_or_our_error(values, seed):
    logits = np.array(values, dtype=np.float32)
    for steps in (chain(), default_chain(), chain(greedy()), chain(top_p(0.5))):
        # Beyond 1e38, on either side, a temperature below 1 makes an infinity of it.
        if -1e38 < logits.max() < 1e38:
            token = steps.sample(logits, SimpleNamespace(tokens=[]), Rng(seed))
            assert logits[token] > -math.inf
        elif not np.isfinite(logits.max()):
            with pytest.raises(SamplerError, match=r"^logits: expected"):
                steps.sample(logits, SimpleNamespace(tokens=[]), Rng(seed))


@pytest.mark.parametrize("n", [0, 1, 5, 64, 3000])
def test_logprobs_agree(n, monkeypatch):
    random = np.random.default_rng(n)
    for case in range(20):
        logits = random_logits(random, 3000)
        session = SimpleNamespace(tokens=[])
        found = chain(top_k(3)).sample_with_logprobs(logits, session, Rng(case), n)
        with monkeypatch.context() as patch:
            patch.setattr("llmpy.sampling.chains.available", lambda: False)
            expected = chain(top_k(3)).sample_with_logprobs(logits, session, Rng(case), n)
        assert found.token == expected.token
        assert [token for token, _ in found.top] == [token for token, _ in expected.top]
        assert np.allclose([p for _, p in found.top], [p for _, p in expected.top], rtol=1e-12)
        assert math.isclose(found.logprob, expected.logprob, rel_tol=1e-12, abs_tol=1e-12)


def test_addresses_are_enough():
    logits = np.array([1, 2, 3], dtype=np.float32)
    history = np.array([2, 2, 2], dtype=np.int32)
    native = chain(presence(5), greedy()).compile(3)
    assert native is not None
    rng = Rng(0)
    assert native.sample(logits.ctypes.data, 3, 0, 0, rng) == 2
    assert native.sample(logits.ctypes.data, 3, history.ctypes.data, 3, rng) == 1
    assert rng.counter == 2


@pytest.mark.parametrize(
    ("logits", "history", "text"),
    [
        ([1, math.nan], [], "found nan at 1"),
        ([1, 2], [5], r"session\.tokens: expected ids from 0 to 1, found 5"),
    ],
)
def test_refusals_say_what_the_definition_says(logits, history, text):
    logits = np.array(logits, dtype=np.float32)
    history = np.array(history, dtype=np.int32)
    native = chain(presence(5)).compile(2)
    assert native is not None
    with pytest.raises(SamplerError, match=text):
        native.sample(logits.ctypes.data, 2, history.ctypes.data, history.size, Rng(0))


def test_the_size_of_the_vocabulary_is_checked():
    native = NativeChain([greedy()], 4)
    with pytest.raises(SamplerError, match="logits: expected 4, found 5"):
        native.sample(0, 5, 0, 0, Rng(0))


@pytest.mark.parametrize("n_vocab", [0, -1, 2**22 + 1])
def test_an_impossible_vocabulary_is_refused(n_vocab):
    with pytest.raises(SamplerError, match=f"n_vocab: expected 1 to .* found {n_vocab}"):
        NativeChain([], n_vocab)


@pytest.mark.parametrize(
    ("steps", "n_history"),
    [
        (chain(greedy()), 0),
        (chain(presence(1, 8), frequency(1, 20)), 20),
        (chain(repetition(2, -1)), -1),
    ],
)
def test_a_chain_says_how_much_history_it_needs(steps, n_history):
    native = steps.compile(10)
    assert native is not None
    assert native.n_history == n_history


def test_a_chain_with_a_custom_step_is_not_compiled():
    assert chain(lambda logits, session: logits, greedy()).compile(10) is None  # noqa: ARG005
