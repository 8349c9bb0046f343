"""Chains: order, custom steps, log-probabilities, and what they refuse."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from llmpy.errors import SamplerError
from llmpy.sampling import (
    Rng,
    chain,
    default_chain,
    frequency,
    greedy,
    logit_bias,
    min_p,
    presence,
    repetition,
    temperature,
    top_k,
    top_p,
)
from tests.threads import finish

INF = math.inf
SILENT = SimpleNamespace(tokens=[])


@pytest.fixture(params=["numpy", "native"])
def either(request, monkeypatch):
    """Runs a test once without and once with the compiled library."""
    if request.param == "numpy":
        monkeypatch.setattr("llmpy.sampling.chains.available", lambda: False)
    else:
        request.getfixturevalue("compiled")


def f32(*values):
    return np.array(values, dtype=np.float32)


def normal(n, seed=0):
    return (np.random.default_rng(seed).standard_normal(n) * 3).astype(np.float32)


@pytest.mark.usefixtures("either")
class TestSample:
    def test_same_seed_same_tokens(self):
        one, two = Rng(5), Rng(5)
        steps = default_chain()
        logits = normal(1000)
        first = [steps.sample(logits, SILENT, one) for _ in range(20)]
        assert first == [steps.sample(logits, SILENT, two) for _ in range(20)]
        assert len(set(first)) > 1

    def test_each_token_takes_one_number(self):
        rng = Rng(5)
        chain(greedy()).sample(normal(10), SILENT, rng)
        chain().sample(normal(10), SILENT, rng)
        assert rng.counter == 2

    def test_a_refused_call_takes_none(self):
        rng = Rng(5)
        with pytest.raises(SamplerError):
            chain().sample(f32(math.nan), SILENT, rng)
        assert rng.counter == 0

    def test_the_empty_chain_draws_from_the_model(self):
        rng = Rng(1)
        logits = np.log(f32(0.1, 0.2, 0.7))
        drawn = [chain().sample(logits, SILENT, rng) for _ in range(4000)]
        shares = np.bincount(drawn) / 4000
        assert np.abs(shares - [0.1, 0.2, 0.7]).max() < 0.03

    def test_one_token(self):
        assert chain(top_k(1), top_p(0.5)).sample(f32(-3), SILENT, Rng(0)) == 0

    def test_order_is_kept(self):
        # Cooling first leaves one token to top_p; truncating first leaves two.
        logits = f32(1.0, 0.9, -9)
        rng = Rng(0)
        cold_first = chain(temperature(0.05), top_p(0.8))
        cold_last = chain(top_p(0.8), temperature(0.05))
        assert {cold_first.sample(logits, SILENT, rng) for _ in range(100)} == {0}
        assert {cold_last.sample(logits, SILENT, rng) for _ in range(100)} == {0, 1}

    def test_penalties_read_the_tokens(self):
        steps = chain(presence(2), greedy())
        assert steps.sample(f32(1, 2), SimpleNamespace(tokens=[1]), Rng(0)) == 0

    def test_tokens_may_be_an_array(self):
        session = SimpleNamespace(tokens=np.array([1], dtype=np.int32))
        assert chain(presence(2), greedy()).sample(f32(1, 2), session, Rng(0)) == 0

    def test_the_input_stays_as_it_is(self):
        logits = normal(300)
        before = logits.copy()
        default_chain(repeat_penalty=1.3, logit_bias={3: 1}).sample(
            logits, SimpleNamespace(tokens=[1, 2]), Rng(0)
        )
        assert np.array_equal(logits, before)

    def test_strided_logits(self):
        logits = normal(400)[::2]
        assert chain(greedy()).sample(logits, SILENT, Rng(0)) == logits.argmax()

    @pytest.mark.parametrize(
        ("logits", "text"),
        [
            (f32(1, math.nan, 2), "found nan at 1"),
            (f32(1, 2, INF), "found inf at 2"),
            (f32(-INF, -INF), "found only -inf"),
            (np.zeros(3), r"found float64 of shape \(3,\)"),
            (np.zeros((1, 3), dtype=np.float32), r"of shape \(1, 3\)"),
            (np.zeros(0, dtype=np.float32), r"of shape \(0,\)"),
            ([1.0, 2.0], "of type list"),
        ],
    )
    @pytest.mark.parametrize("steps", [chain(), chain(greedy()), default_chain()])
    def test_bad_logits_are_refused(self, steps, logits, text):
        with pytest.raises(SamplerError, match=text):
            steps.sample(logits, SILENT, Rng(0))

    def test_a_bias_may_not_forbid_every_token(self):
        steps = chain(top_k(1), logit_bias({1: -INF}))
        with pytest.raises(SamplerError, match="found only -inf"):
            steps.sample(f32(1, 2), SILENT, Rng(0))

    def test_a_bias_outside_the_vocabulary_is_named(self):
        with pytest.raises(SamplerError, match="n_vocab = 2, found 5"):
            chain(logit_bias({5: 1})).sample(f32(1, 2), SILENT, Rng(0))

    @pytest.mark.parametrize("token", [-1, 2, 2**40])
    def test_a_token_outside_the_vocabulary_is_named(self, token):
        with pytest.raises(SamplerError, match=r"session\.tokens"):
            chain(repetition(2)).sample(f32(1, 2), SimpleNamespace(tokens=[token]), Rng(0))

    def test_custom_steps_stand_anywhere(self):
        def reverse(logits, session):  # noqa: ARG001
            return logits[::-1]

        rng = Rng(0)
        assert chain(reverse, greedy()).sample(f32(1, 2, 3), SILENT, rng) == 0
        assert chain(top_k(2), temperature(2), reverse).sample(f32(1, 8, 99), SILENT, rng) in (0, 1)
        assert chain(temperature(2), reverse, top_k(1)).sample(f32(1, 2, 3), SILENT, rng) == 0

    def test_a_custom_step_sees_the_session(self):
        def not_the_last(logits, session):
            logits[session.tokens[-1]] = -INF
            return logits

        logits = f32(1, 2, 3)
        session = SimpleNamespace(tokens=[0, 2])
        assert chain(not_the_last, greedy()).sample(logits, session, Rng(0)) == 1
        assert logits.tolist() == [1, 2, 3]

    def test_two_threads_share_a_chain(self):
        steps = default_chain(repeat_penalty=1.1)
        session = SimpleNamespace(tokens=[1, 2, 3])
        logits = normal(5000)

        def tokens():
            rng = Rng(9)
            return [steps.sample(logits, session, rng) for _ in range(100)]

        expected, found = tokens(), []
        threads = [threading.Thread(target=lambda: found.append(tokens())) for _ in range(4)]
        for thread in threads:
            thread.start()
        finish(*threads)
        assert found == [expected] * 4


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (lambda x: x.astype(np.float64), r"sampler bad: expected float32 .* found float64"),
        (lambda x: x[:-1], r"expected float32 of shape \(3,\), found float32 of shape \(2,\)"),
        (lambda x: x.tolist(), "sampler bad: .* found an object of type list"),
        (lambda x: None, "sampler bad: .* found an object of type NoneType"),  # noqa: ARG005
        (lambda x: x * np.float32(math.nan), "sampler bad returned logits: .* found nan at 0"),
        (lambda x: np.full_like(x, -INF), "sampler bad returned logits: .* found only -inf"),
    ],
)
def test_what_a_custom_step_may_not_return(result, text):
    def bad(logits, session):  # noqa: ARG001
        return result(logits)

    bad.__qualname__ = "bad"
    with pytest.raises(SamplerError, match=text):
        chain(bad, greedy()).sample(f32(1, 2, 3), SILENT, Rng(0))


def test_an_error_of_a_custom_step_passes_through():
    def broken(logits, session):  # noqa: ARG001
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        chain(broken).sample(f32(1), SILENT, Rng(0))


@pytest.mark.parametrize(("step", "text"), [(40, "found 40"), (greedy, "class Greedy")])
def test_a_chain_holds_only_samplers(step, text):
    with pytest.raises(SamplerError, match=f"step 1: expected a sampler, found .*{text[6:]}"):
        chain(top_k(1), step)


def test_chains_nest():
    inner = chain(top_k(3), top_p(0.5))
    assert chain(temperature(1), inner).steps == (temperature(1), top_k(3), top_p(0.5))


def test_a_chain_is_a_sampler():
    assert chain(top_k(1))(f32(1, 2), SILENT).tolist() == [-INF, 2]


def test_chains_copy_and_pickle():
    steps = default_chain(logit_bias={1: 2.0})
    assert copy.deepcopy(steps).steps == steps.steps
    assert pickle.loads(pickle.dumps(steps)).steps == steps.steps


def test_the_default_chain_is_in_the_order_of_the_flags():
    steps = default_chain(
        temperature=0.5,
        top_k=3,
        top_p=0.4,
        min_p=0.2,
        repeat_penalty=1.1,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        logit_bias={1: 2},
        last_n=9,
    )
    assert steps.steps == (
        repetition(1.1, 9),
        frequency(0.1, 9),
        presence(0.2, 9),
        logit_bias({1: 2}),
        top_k(3),
        top_p(0.4),
        min_p(0.2),
        temperature(0.5),
    )


def test_the_default_chain_leaves_out_what_does_nothing():
    assert default_chain(temperature=1, top_k=0, top_p=1, min_p=0).steps == ()
    assert default_chain().steps == (top_k(40), top_p(0.95), min_p(0.05), temperature(0.8))
    assert default_chain(temperature=0, presence_penalty=1).steps == (presence(1), greedy())


def test_the_default_chain_checks_even_what_it_leaves_out():
    with pytest.raises(SamplerError, match="top_p"):
        default_chain(temperature=0, top_p=2)


def test_logprobs_are_the_models_own():
    logits = np.log(f32(0.1, 0.2, 0.3, 0.4))
    result = chain(top_k(1)).sample_with_logprobs(logits, SILENT, Rng(0), 2)
    assert result.token == 3
    assert math.isclose(result.logprob, math.log(0.4), rel_tol=1e-6)
    assert [token for token, _ in result.top] == [3, 2]
    assert math.isclose(result.top[1][1], math.log(0.3), rel_tol=1e-6)


@pytest.mark.parametrize(("n", "expected"), [(0, []), (3, [2, 0, 1]), (9, [2, 0, 1, 3])])
def test_top_logprobs_break_ties_by_id(n, expected):
    result = chain().sample_with_logprobs(f32(1, 1, 2, 0), SILENT, Rng(0), n)
    assert [token for token, _ in result.top] == expected


def test_a_negative_count_of_logprobs_is_refused():
    with pytest.raises(SamplerError, match="logprobs: expected a count >= 0, found -1"):
        chain().sample_with_logprobs(f32(1), SILENT, Rng(0), -1)
