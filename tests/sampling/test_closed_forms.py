"""The newer samplers on distributions whose result is known, worked by hand or from the paper."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy.errors import SamplerError
from llmpy.sampling import (
    Rng,
    adaptive_p,
    chain,
    dry,
    dynamic_temperature,
    ignore_eos,
    locally_typical,
    logit_bias,
    min_p,
    mirostat1,
    mirostat2,
    sequence_repetition,
    tail_free,
    temperature,
    top_a,
    top_k,
    top_n_sigma,
    top_p,
    xtc,
)
from llmpy.sampling.state import ChainState
from llmpy.sampling.step import View
from llmpy.sampling.weights import exponential, ln, total_and_mean

SILENT = SimpleNamespace(tokens=[])


def of(*probabilities):
    return np.log(np.array(probabilities, np.float64)).astype(np.float32)


def left(step, logits, session=SILENT, state=(), seed=0):
    out = step(logits, View(session, Rng(seed), state or step.initial_state()))
    return np.flatnonzero(out > -np.inf).tolist()


# The first three are tests of llm-samplers, on which llm.rs is built.
@pytest.mark.parametrize(
    ("step", "probabilities", "kept"),
    [
        (locally_typical(0.5), (0.97, 0.01, 0.01, 0.01), [0]),
        (locally_typical(0.5), (0.4, 0.2, 0.2, 0.2), [1, 2, 3]),
        (top_a(0.45, 2.0), (2.0, 1.0, 0.5, 0.25, 0.1), [0, 1, 2]),
        (top_a(8.0, 2.0), (2.0, 1.0, 0.5, 0.25, 0.1), [0]),
        (top_a(0.0001, 2.0), (2.0, 1.0, 0.5, 0.25, 0.1), [0, 1, 2, 3, 4]),
        (top_a(0.0), (0.9, 0.1), [0, 1]),
        # Second differences 0.2, 0.05 and 0.05 of 0.3: shares of 2/3, 5/6 and 1.
        (tail_free(0.6), (0.5, 0.2, 0.15, 0.1, 0.05), [0]),
        (tail_free(0.9), (0.55, 0.25, 0.1, 0.05, 0.05), [0, 1]),
        (tail_free(1.0), (0.5, 0.5), [0, 1]),
        (tail_free(0.5), (0.25, 0.25, 0.25, 0.25), [0, 1, 2, 3]),
        (tail_free(0.0, 3), (0.5, 0.2, 0.15, 0.1, 0.05), [0, 1, 2]),
        (min_p(0.9, 2), (0.6, 0.3, 0.1), [0, 1]),
        (top_p(0.1, 2), (0.6, 0.3, 0.1), [0, 1]),
        (top_k(1, 2), (0.6, 0.3, 0.1), [0, 1]),
        (xtc(1.0, 0.15), (0.4, 0.3, 0.2, 0.1), [2, 3]),
        (xtc(1.0, 0.35), (0.4, 0.3, 0.2, 0.1), [0, 1, 2, 3]),
        (xtc(0.0, 0.1), (0.4, 0.3, 0.2, 0.1), [0, 1, 2, 3]),
        (xtc(1.0, 0.6), (0.7, 0.3), [0, 1]),
    ],
)
def test_which_tokens_are_left(step, probabilities, kept):
    assert left(step, of(*probabilities)) == kept


def test_top_n_sigma_measures_the_logits():
    logits = np.array([4.0, 3.0, 2.0, 1.0, 0.0], np.float32)  # their deviation is sqrt(2)
    assert left(top_n_sigma(1.0), logits) == [0, 1]
    assert left(top_n_sigma(1.5), logits) == [0, 1, 2]
    assert left(top_n_sigma(0.0), logits) == [0, 1, 2, 3, 4]
    gone = np.append(logits, np.float32(-np.inf))
    assert left(top_n_sigma(1.0), gone) == [0, 1]


@given(st.integers(2, 400), st.integers(0, 2**32), st.floats(0.01, 50), st.floats(0.1, 3))
@settings(max_examples=100)
def test_top_n_sigma_is_numpys_deviation(n, seed, scale, sigmas):
    logits = (np.random.default_rng(seed).standard_normal(n) * scale).astype(np.float32)
    bound = logits.max() - sigmas * logits.std(dtype=np.float64)
    out = top_n_sigma(sigmas)(logits, SILENT)
    near = np.abs(logits - bound) < 1e-3 * (logits.max() - logits.min())
    assert ((out > -np.inf) == (logits >= bound))[~near].all()


def test_xtc_has_the_chance_that_it_is_given():
    step, logits = xtc(0.3, 0.1), of(0.6, 0.3, 0.1)
    acted = sum(left(step, logits, seed=seed) != [0, 1, 2] for seed in range(3000))
    assert abs(acted / 3000 - 0.3) < 0.03


def test_xtcs_chance_is_not_that_of_the_draw():
    logits, rng = of(*([1.0] * 2)), Rng(0)
    steps = chain(xtc(0.5, 0.4))
    drawn = [steps.sample(logits, SILENT, rng) for _ in range(4000)]
    # Token 0 goes with a chance of 1/2, and is drawn with 1/2 else.
    assert abs(np.mean(drawn) - 0.75) < 0.03


def test_xtc_needs_random_numbers():
    with pytest.raises(SamplerError, match=r"use Chain\.sample"):
        xtc(1.0)(of(0.5, 0.5), SILENT)


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 1.5), (0.0, 1.5), (3.0, 1.5)])
def test_an_even_distribution_has_the_highest_temperature(exponent, expected):
    logits = np.zeros(8, np.float32)
    logits[0] = 1e-30
    out = dynamic_temperature(0.5, expected, exponent)(np.float32(2.0) + logits, SILENT)
    assert np.allclose(out, 2.0 / expected, rtol=1e-6)


def test_a_sure_distribution_has_the_lowest_temperature():
    logits = np.array([30.0, 0.0, 0.0], np.float32)
    assert dynamic_temperature(0.5, 1.5)(logits, SILENT)[0] == pytest.approx(60.0, rel=1e-6)


def test_the_temperature_follows_the_entropy():
    p = np.array([0.7, 0.2, 0.1])
    share = -(p * np.log(p)).sum() / math.log(3)
    out = dynamic_temperature(0.4, 1.4, 2.0)(of(*p), SILENT)
    assert np.allclose(out, np.log(p) / (0.4 + share**2), rtol=1e-5)


def test_dry_lowers_what_would_go_on_with_a_repetition():
    session = SimpleNamespace(tokens=[1, 2, 3, 9, 1, 2, 3])
    out = dry(0.5, 2.0, 2, -1, ())(np.zeros(10, np.float32), session)
    assert out.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 0, -1.0]  # 0.5 * 2 ** (3 - 2)
    assert not dry(0.5, 2.0, 4, -1, ())(np.zeros(10, np.float32), session).any()
    assert not dry(0.5, 2.0, 2, 4, ())(np.zeros(10, np.float32), session).any()


def test_dry_stops_at_its_breakers():
    session = SimpleNamespace(tokens=[1, 2, 3, 9, 1, 2, 3])
    zeros = np.zeros(10, np.float32)
    assert not dry(0.5, 2.0, 2, -1, (2,))(zeros, session).any()  # 3 alone follows one
    assert dry(0.5, 2.0, 2, -1, (1,))(zeros, session)[9] == -0.5  # 2 3 follow one
    assert not dry(0.5, 2.0, 2, -1, (9,))(zeros, session).any()  # and is never lowered itself


@pytest.mark.parametrize("tokens", [[7] * 3000, [1, 2] * 1500])
def test_dry_takes_its_time_on_no_text(tokens):
    native = chain(dry(breakers=())).compile(10)
    if native is None:
        pytest.skip("no compiled library")
    steps, session = chain(dry(breakers=())), SimpleNamespace(tokens=tokens * 30)
    assert 0 <= steps.sample(np.zeros(10, np.float32), session, Rng(0)) < 10


# The four tests of llm-samplers: 3 goes on with 0 1 2, as it did before.
@pytest.mark.parametrize(
    ("tokens", "step", "lowered"),
    [
        ([0, 1, 2, 3, 0, 1, 2], sequence_repetition(min_length=3), 0.0),
        ([0, 1, 2, 3, 0, 1, 2], sequence_repetition(5.0, min_length=3), -5.0),
        ([0, 1, 2, 3, 0, 1, 2], sequence_repetition(0.0, 1.25, min_length=3), -5.0),
        ([0, 4, 2, 3, 0, 1, 2], sequence_repetition(0.0, 1.25, min_length=3, tolerance=1), -5.0),
        ([0, 4, 2, 3, 0, 1, 2], sequence_repetition(0.0, 1.25, min_length=3), 0.0),
    ],
)
def test_repeated_sequences_as_in_llm_rs(tokens, step, lowered):
    out = step(np.zeros(5, np.float32), SimpleNamespace(tokens=tokens))
    assert out.tolist() == [0.0, 0.0, 0.0, lowered, 0.0]


def test_mirostat2_keeps_what_surprises_less_than_mu():
    logits = of(0.5, 0.25, 0.125, 0.125)  # 1, 2, 3 and 3 bits
    assert left(mirostat2(), logits, state=(2.5,)) == [0, 1]
    assert left(mirostat2(), logits, state=(3.5,)) == [0, 1, 2, 3]
    assert left(mirostat2(), logits, state=(0.1,)) == [0]


@pytest.mark.parametrize("step", [mirostat1(2.0, 0.1), mirostat2(2.0, 0.1)])
def test_mirostat_comes_to_its_target(step):
    logits = (np.random.default_rng(1).standard_normal(500) * 2).astype(np.float32)
    steps, rng, state = chain(step), Rng(1), ChainState(step.initial_state())
    surprises, mu = [], state.values[0]
    for _ in range(1500):
        steps.sample(logits, SILENT, rng, state)
        surprises.append((mu - state.values[0]) / 0.1 + 2.0)
        mu = state.values[0]
    assert np.mean(surprises[300:]) == pytest.approx(2.0, abs=0.1)


def test_adaptive_p_prefers_its_target_and_comes_to_it():
    logits = of(0.5, 0.3, 0.15, 0.05)
    out = adaptive_p(0.3)(logits, SILENT)
    assert out.argmax() == 1
    assert out[1] == pytest.approx(5.0)
    distance = abs(0.5 - 0.3) / 0.3
    assert out[0] == pytest.approx(5 - 10 * distance**2 / (1 + distance), abs=1e-4)
    steps, rng, state = chain(adaptive_p(0.3, 0.9)), Rng(1), None
    state = steps.initial_state()
    drawn = [steps.sample(logits, SILENT, rng, state) for _ in range(2000)]
    assert np.array([0.5, 0.3, 0.15, 0.05])[drawn].mean() == pytest.approx(0.3, abs=0.02)


class Vocabulary:
    """Three words, and an end."""

    n_embedded = 4
    end_ids = frozenset({3})
    words = ("yes", "no", " yes")

    def encode(self, text, *, bos=None, start=True):  # noqa: ARG002
        return [self.words.index(text)] if text in self.words else [0, 1]

    def piece(self, token):
        return [*self.words, "</s>"][token].encode()


def test_texts_become_tokens():
    bound = chain(logit_bias({" yes": 2.0, 1: -1.0}), ignore_eos()).bound(Vocabulary())
    assert bound(np.zeros(4, np.float32), SILENT).tolist() == [0.0, -1.0, 2.0, -math.inf]
    breakers = chain(dry(breakers=("yes", 1))).bound(Vocabulary()).steps[0].breakers
    assert breakers == (0, 1, 2)


def test_a_text_of_several_tokens_is_no_token():
    with pytest.raises(SamplerError, match=r"'maybe': expected a text of one token, found 2: "):
        chain(logit_bias({"maybe": 1.0})).bound(Vocabulary())


@pytest.mark.parametrize("step", [logit_bias({"yes": 1.0}), ignore_eos(), dry()])
def test_texts_want_a_session(step):
    with pytest.raises(SamplerError, match=r"give the chain to model\.session"):
        chain(step).sample(np.zeros(4, np.float32), SILENT, Rng(0))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tail_free(1.1), r"tail_free z: .* found 1\.1"),
        (lambda: locally_typical(0), "locally_typical p: .* found 0"),
        (lambda: top_a(-1), "top_a a1: .* found -1"),
        (lambda: top_n_sigma(math.nan), "top_n_sigma n: .* found nan"),
        (lambda: top_p(0.5, 0), "min_keep: expected an integer >= 1, found 0"),
        (lambda: xtc(2), "xtc probability: .* found 2"),
        (lambda: dynamic_temperature(0, 1), "low: expected a number > 0, found 0"),
        (lambda: dynamic_temperature(1, 0.5), "high: expected a number >= low, which is 1, found"),
        (lambda: dry(base=0.5), "dry base: .* found 0.5"),
        (lambda: dry(breakers="\n"), "dry breakers: expected texts or token ids"),
        (lambda: sequence_repetition(last_n=10**6), "last_n: expected an integer from 0 to 512"),
        (lambda: mirostat1(m=1), "mirostat1 m: .* found 1"),
        (lambda: mirostat2(tau=-1), "mirostat2 tau: .* found -1"),
        (lambda: adaptive_p(2), "adaptive_p target: .* found 2"),
    ],
)
def test_parameters_out_of_range_are_named(make, text):
    with pytest.raises(SamplerError, match=text):
        make()


@given(st.floats(1e-300, 1e300))
def test_the_logarithm_is_that_of_the_library(x):
    assert ln(x) == pytest.approx(math.log(x), rel=4e-16, abs=1e-15)


@given(st.floats(-700, 700))
def test_the_exponential_is_that_of_the_library(x):
    assert exponential(x) == pytest.approx(math.exp(x), rel=1e-13)


@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=50))
def test_entropy_comes_from_total_and_mean(values):
    logits = np.array(values, np.float32)
    p = np.exp(logits.astype(np.float64) - logits.max())
    p /= p.sum()
    total, mean = total_and_mean(logits)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum()
    assert ln(total) - mean == pytest.approx(entropy, abs=1e-9)


def test_a_neutral_chain_changes_nothing():
    logits = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    steps = (tail_free(1.0), locally_typical(1.0), top_a(0.0), top_n_sigma(0.0), temperature(1.0))
    assert np.array_equal(chain(*steps)(logits, SILENT), logits)
