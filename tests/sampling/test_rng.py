"""The generator: its values are part of what a seed means, so they are pinned."""

from __future__ import annotations

import pytest

from llmpy.errors import SamplerError
from llmpy.sampling import Rng


def test_values_never_change():
    rng = Rng(7)
    assert [rng.uniform() for _ in range(3)] == [
        0.7215081806049702,
        0.6497043364684557,
        0.5493743249193239,
    ]


def test_two_integers_are_the_whole_state():
    rng = Rng(3)
    rng.uniform()
    copy = Rng(rng.seed, rng.counter)
    assert copy.uniform() == rng.uniform()


def test_peek_takes_nothing():
    rng = Rng(3)
    assert rng.peek() == rng.uniform()
    assert rng.counter == 1


def test_no_seed_is_a_new_one_each_time():
    assert Rng().seed != Rng().seed


def test_neighbouring_seeds_and_counters_are_uniform():
    values = [Rng(seed, counter).uniform() for seed in range(100) for counter in range(100)]
    assert all(0.0 <= u < 1.0 for u in values)
    tenths = [sum(int(u * 10) == tenth for u in values) for tenth in range(10)]
    assert max(abs(n - 1000) for n in tenths) < 120  # four standard deviations


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7"])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(SamplerError, match="seed: expected an integer from 0"):
        Rng(seed)


def test_the_largest_seed_and_counter_work():
    rng = Rng(2**64 - 1, 2**64 - 1)
    assert 0.0 <= rng.uniform() < 1.0
    assert rng.counter == 0


@pytest.mark.parametrize("counter", [0, 7, 2**64 - 2])
def test_coming_numbers_are_those_that_are_drawn_then(counter: int) -> None:
    rng = Rng(3, counter)
    ahead = rng.ahead(4)
    assert rng.counter == counter
    assert ahead == [rng.uniform() for _ in range(4)]
