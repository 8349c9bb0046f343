"""Routing and experts by hand-worked numbers: the definition itself, and each compiled level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.ops.harness import LEVELS, Array, Model, backend

backends = pytest.mark.parametrize("name", ["reference", "array", "gpu", *LEVELS])
SIGMOID = [1 / (1 + math.exp(-x)) for x in range(5)]  # of 0 to 4


def router_weights(
    name: str, scores: list[float], bias: list[float] | None = None, **how: Any
) -> Any:
    """The router weights of experts with these scores."""
    weights = {"b.weight": ("F32", np.array(bias, np.float32))} if bias else {}
    how |= {"bias": "b.weight"} if bias else {}
    x = np.array([scores], np.float32)
    found = Model(backend(name), x, lambda x, _: x.route(**how), weights).rows()[0]
    return pytest.approx(found, abs=1e-6)


@backends
def test_the_best_experts_share_in_the_proportions_of_softmax(name: str) -> None:
    scores = [math.log(n) for n in (1, 2, 4, 1)]
    assert router_weights(name, scores, n_used=2) == [0, 1 / 3, 2 / 3, 0]
    assert router_weights(name, scores, n_used=2, normalize=False, factor=2.0) == [0, 0.5, 1, 0]


@backends
def test_a_bias_moves_the_choice_and_not_the_shares(name: str) -> None:
    found = router_weights(
        name, [0, 1, 2, 3], [2, 0, 0, 0], n_used=1, gating="sigmoid", normalize=False
    )
    assert [SIGMOID[0], 0, 0, 0] == found


@backends
def test_a_group_is_as_good_as_its_best_expert(name: str) -> None:
    scores = [math.log(n) for n in (1, 6, 5, 4)]  # the second group has the larger sum
    assert router_weights(name, scores, n_used=2, groups=(2, 1)) == [1 / 7, 6 / 7, 0, 0]


@backends
def test_with_a_bias_a_group_is_as_good_as_its_best_two(name: str) -> None:
    scores, bias = [4, 0, 0, 3, 2, 0], [0, 0, -1, 0, 0, -1]
    found = router_weights(
        name, scores, bias, n_used=2, gating="sigmoid", normalize=False, groups=(2, 1)
    )  # .98 + .5 of the first group, .95 + .88 of the second
    assert [0, 0, 0, SIGMOID[3], SIGMOID[2], 0] == found


@backends
def test_sparsemixer_shares_among_those_near_the_best(name: str) -> None:
    # 0.99 is within 2 percent of 1, 0.5 is not; then 0.99 is the best, and 1 does not count
    first = 1 / (1 + math.exp(-0.01))
    found = router_weights(name, [1, 0.99, 0.5, 0], n_used=2, gating="sparsemixer")
    assert [first, 1, 0, 0] == found


ACTIVATIONS = {
    "silu": lambda g, u: g / (1 + math.exp(-g)) * u,
    "gelu_exact": lambda g, u: g / 2 * (1 + math.erf(g / math.sqrt(2))) * u,
    "relu": lambda g, u: max(g, 0) * u,
    "swiglu_clamped": lambda g, u: (
        min(g, 7) / (1 + math.exp(-1.702 * min(g, 7))) * (max(-7, min(u, 7)) + 1)
    ),
}


@backends
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gate", [-3.0, 0.5, 9.0])
@pytest.mark.parametrize("biases", [False, True])
def test_an_expert_of_one_value(name: str, activation: str, gate: float, biases: bool) -> None:
    def matrix(a: float, b: float) -> tuple[str, Array]:
        return "F32", np.array([[[a]], [[b]]], np.float32)

    weights = {
        "gate.weight": matrix(1, gate),
        "up.weight": matrix(1, -8),
        "down.weight": matrix(1, 2),
    }
    added = (0.25, -1.0, 0.125) if biases else (0.0, 0.0, 0.0)
    if biases:
        for part, value in zip(("gate", "up", "down"), added, strict=True):
            weights[f"{part}.bias"] = ("F32", np.array([[9], [value]], np.float32))
    weights |= {"scores.weight": ("F32", np.array([[0], [math.log(3)]], np.float32))}
    x = np.array([[1.0]], np.float32)

    def trace(x: Any, w: Any) -> Any:
        scores = x.linear(w.scores).route(1, normalize=False)
        return x.moe(scores, w.gate, w.up, w.down, 1, activation)

    found = Model(backend(name), x, trace, weights).rows()[0, 0]
    value = ACTIVATIONS[activation](gate + added[0], -8 + added[1])
    assert found == pytest.approx(0.75 * (2 * value + added[2]), rel=2e-3, abs=1e-6)
