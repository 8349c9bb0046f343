"""Rotary embedding: frequencies against those of the original implementation (made by
tools/make_goldens.py), and parameters that make no sense.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.errors import GraphError
from llmpy.graph import Rope

TABLE = json.loads(Path(__file__).with_name("rope_frequencies.json").read_text("utf-8"))


def name(row: dict[str, Any]) -> str:
    spec = row["rope"]
    return f"{spec['scaling']}-{spec['n_dims']}-{spec['factor']:g}-{spec['base']:g}"


@pytest.mark.parametrize("row", TABLE, ids=name)
def test_frequencies_are_the_original_ones(row: dict[str, Any]) -> None:
    np.testing.assert_allclose(Rope(**row["rope"]).frequencies(), row["frequencies"], rtol=2e-6)


@pytest.mark.parametrize("row", TABLE, ids=name)
def test_the_magnitude_is_the_original_one(row: dict[str, Any]) -> None:
    assert Rope(**row["rope"]).magnitude() == pytest.approx(row["magnitude"], rel=1e-12)


def test_the_table_has_pairs_between_stretched_and_not() -> None:
    """Else YaRN's ramp would not be tested."""
    for row in TABLE:
        spec = row["rope"]
        if spec["scaling"] == "yarn" and spec["factor"] > 1 and spec["n_dims"] > 8:
            ratio = Rope(spec["n_dims"], spec["base"]).frequencies() / row["frequencies"]
            between = (ratio > 1.01) & (ratio < 0.99 * spec["factor"])
            assert between.sum() >= 3, spec


def test_no_scaling_ignores_the_factor() -> None:
    plain = Rope(16).frequencies()
    np.testing.assert_array_equal(Rope(16, factor=8.0).frequencies(), plain)


def test_linear_scaling_divides_every_frequency() -> None:
    plain = Rope(16).frequencies()
    stretched = Rope(16, scaling="linear", factor=8.0).frequencies()
    np.testing.assert_array_equal(stretched, plain / 8)


def test_the_attention_factor_multiplies_yarn_and_all_else() -> None:
    yarn = Rope(16, scaling="yarn", factor=4.0, original_context=64, attention_factor=1.5)
    assert yarn.magnitude() == pytest.approx(1.5 * (1 + 0.1 * math.log(4)))
    assert Rope(16, attention_factor=1.5).magnitude() == 1.5
    assert Rope(16, scaling="linear", factor=4.0, attention_factor=1.5).magnitude() == 1.5


@given(
    st.integers(1, 128),
    st.floats(1.5, 1e7),
    st.floats(1.0, 64.0),
    st.integers(1, 1 << 20),
    st.sampled_from(["none", "linear", "yarn"]),
)
def test_scaling_slows_down_and_at_most_by_the_factor(
    half: int, base: float, factor: float, context: int, scaling: str
) -> None:
    rope = Rope(2 * half, base, scaling=scaling, factor=factor, original_context=context)
    plain, found = Rope(2 * half, base).frequencies(), rope.frequencies()
    assert found.shape == (half,)
    assert (found <= plain * (1 + 1e-12)).all()
    assert (found >= plain / factor * (1 - 1e-12)).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scaling": "longrope"}, "none, linear or yarn, found 'longrope'"),
        ({"base": 0.0}, "positive base"),
        ({"base": -1.0}, "found -1.0"),
        ({"base": math.nan}, "found nan"),
        ({"factor": 0.0}, "positive base and factor"),
        ({"factor": -2.0}, "-2.0"),
        ({"factor": math.nan}, "nan"),
        ({"scaling": "yarn", "factor": 2.0}, "original context"),
        ({"scaling": "yarn", "factor": 2.0, "original_context": -1}, "-1"),
        ({"scaling": "yarn", "factor": 2.0, "original_context": 64, "base": 1.0}, "base above 1"),
    ],
)
def test_parameters_without_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError) as caught:
        Rope(16, **wrong)
    assert message in str(caught.value)
