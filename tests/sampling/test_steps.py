"""Each built-in step against numbers worked by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.errors import SamplerError
from llmpy.sampling import (
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
from llmpy.sampling.weights import draw, log_sum, weights

INF = math.inf
SILENT = SimpleNamespace(tokens=[])


def f32(*values):
    return np.array(values, dtype=np.float32)


def run(step, *values, tokens=()):
    logits = f32(*values)
    before = logits.copy()
    result = step(logits, SimpleNamespace(tokens=list(tokens)))
    assert np.array_equal(logits, before), "a step must not change its input"
    assert result.dtype == np.float32
    return result.tolist()


def test_greedy_keeps_the_first_of_the_largest():
    assert run(greedy(), 1, 3, 3, 2) == [-INF, 3, -INF, -INF]


@pytest.mark.parametrize("value", [0, 0.0, 1e-9])
def test_temperature_zero_is_greedy(value):
    assert run(temperature(value), 1, 3, 3, 2) == [-INF, 3, -INF, -INF]


def test_temperature_divides():
    assert run(temperature(0.5), 1, -3, -INF) == [2, -6, -INF]


def test_top_k_keeps_exactly_k_with_lower_ids_first():
    assert run(top_k(2), 1, 5, 1, 1) == [1, 5, -INF, -INF]


@pytest.mark.parametrize("k", [0, 3, 4])
def test_top_k_off_or_large_keeps_all(k):
    assert run(top_k(k), 1, 5, 1) == [1, 5, 1]


def test_top_k_leaves_removed_tokens_removed():
    assert run(top_k(3), -INF, 5, -INF, 1) == [-INF, 5, -INF, 1]


def test_top_p_keeps_the_token_that_crosses():
    logs = [math.log(p) for p in (0.2, 0.5, 0.3)]
    assert np.isfinite(run(top_p(0.6), *logs)).tolist() == [False, True, True]


def test_top_p_that_is_reached_exactly_keeps_no_more():
    assert run(top_p(0.5), 0, 0, 0, 0) == [0, 0, -INF, -INF]


def test_top_p_keeps_at_least_one():
    assert run(top_p(1e-9), 0, 1, 0) == [-INF, 1, -INF]


def test_top_p_one_keeps_all():
    assert run(top_p(1), 0, 1, -100) == [0, 1, -100]


def test_top_p_measures_what_is_left():
    # 0.4, 0.3, 0.2, 0.1; of the two that top_k leaves, the first alone is 0.57 of them.
    logs = [math.log(p) for p in (0.4, 0.3, 0.2, 0.1)]
    left = top_p(0.55)(top_k(2)(f32(*logs), SILENT), SILENT)
    assert np.isfinite(left).tolist() == [True, False, False, False]


def test_min_p_is_relative_to_the_most_likely():
    logs = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]
    assert np.isfinite(run(min_p(0.25), *logs)).tolist() == [True, True, True, False]


def test_min_p_one_keeps_the_largest():
    assert run(min_p(1), 2, 1, 2) == [2, -INF, 2]


def test_min_p_zero_keeps_all():
    assert run(min_p(0), 2, -1000) == [2, -1000]


def test_repetition_divides_positive_and_multiplies_negative():
    assert run(repetition(2), 4, -4, 0, 4, tokens=[0, 1, 2, 0]) == [2, -8, 0, 4]


def test_frequency_subtracts_for_each_time():
    assert run(frequency(0.5), 4, 4, 4, tokens=[0, 1, 0]) == [3, 3.5, 4]


def test_presence_subtracts_once():
    assert run(presence(0.5), 4, 4, 4, tokens=[0, 1, 0]) == [3.5, 3.5, 4]


@pytest.mark.parametrize(
    ("last_n", "expected"), [(0, [4, 4, 4]), (1, [4, 4, 3]), (2, [4, 3, 3]), (-1, [3, 3, 3])]
)
def test_penalties_look_at_the_last_n(last_n, expected):
    assert run(presence(1, last_n), 4, 4, 4, tokens=[0, 1, 2]) == expected


def test_logit_bias_adds():
    assert run(logit_bias({2: -INF, 0: 1.5}), 1, 2, 3) == [2.5, 2, -INF]


def test_logit_bias_outside_the_vocabulary_is_named():
    with pytest.raises(SamplerError, match=r"n_vocab = 3, found 7"):
        logit_bias({7: 1.0})(f32(1, 2, 3), SILENT)


def test_a_penalty_names_a_token_outside_the_vocabulary():
    with pytest.raises(SamplerError, match=r"session\.tokens: expected ids from 0 to 2, found 9"):
        run(presence(1), 1, 2, 3, tokens=[1, 9])


NAN = math.nan


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: temperature(-1), r"temperature: expected a number >= 0 .* found -1"),
        (lambda: temperature(NAN), "temperature: .* found nan"),
        (lambda: temperature(INF), "temperature: .* found inf"),
        (lambda: temperature("hot"), "temperature: .* found 'hot'"),
        (lambda: temperature(True), "temperature: .* found True"),
        (lambda: top_k(-1), "top_k: expected an integer >= 0 .* found -1"),
        (lambda: top_k(2.5), "top_k: .* found 2.5"),
        (lambda: top_k(2**31), "top_k: .* found 2147483648"),
        (lambda: top_p(0), "top_p: expected .* found 0"),
        (lambda: top_p(1.01), "top_p: .* found 1.01"),
        (lambda: top_p(NAN), "top_p: .* found nan"),
        (lambda: min_p(-0.1), "min_p: .* found -0.1"),
        (lambda: min_p(1.1), "min_p: .* found 1.1"),
        (lambda: repetition(0), "repetition penalty: expected a number > 0 .* found 0"),
        (lambda: repetition(NAN), "repetition penalty: .* found nan"),
        (lambda: repetition(1.1, -2), "repetition last_n: .* found -2"),
        (lambda: frequency(INF), "frequency penalty: .* found inf"),
        (lambda: presence(NAN), "presence penalty: .* found nan"),
        (lambda: presence(1e39), r"presence penalty: .* found 1e\+39"),
        (lambda: logit_bias([1]), r"logit_bias: expected a mapping .* found \[1\]"),
        (lambda: logit_bias({-1: 1.0}), "logit_bias: expected token ids >= 0 or texts, found -1"),
        (lambda: logit_bias({"": 1.0}), "logit_bias: expected token ids >= 0 or texts, found .."),
        (lambda: logit_bias({2**22: 1.0}), "logit_bias: expected ids below"),
        (lambda: logit_bias({5: NAN}), "logit_bias of token 5: .* found nan"),
        (lambda: logit_bias({5: INF}), "logit_bias of token 5: .* found inf"),
    ],
)
def test_parameters_out_of_range_are_named(make, text):
    with pytest.raises(SamplerError, match=text):
        make()


def test_weights_are_the_softmax():
    logits = np.random.default_rng(0).standard_normal(1000).astype(np.float32) * 3
    expected = np.exp(logits.astype(np.float64) - logits.max()) * 2.0**40
    assert np.abs(weights(logits) - expected).max() < 0.6


@given(st.floats(-40, 0, width=32))
def test_a_weight_is_the_rounded_exponential(x):
    assert abs(int(weights(f32(x, 0))[0]) - math.exp(x) * 2.0**40) < 0.6


@pytest.mark.parametrize("shift", [0.0, 1000.0, -1000.0])
def test_log_sum_neither_overflows_nor_vanishes(shift):
    logits = f32(0, math.log(3), -INF) + np.float32(shift)
    assert math.isclose(log_sum(logits), math.log(4) + shift, rel_tol=1e-6)


@pytest.mark.parametrize(("u", "token"), [(0.0, 1), (0.49, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_draw_walks_the_ids_in_order(u, token):
    assert draw(f32(-INF, 2, -INF, 2), u) == token
