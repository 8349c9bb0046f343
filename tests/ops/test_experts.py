"""Routing and mixtures of experts at every level against the reference backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmpy.graph import Value, Weights
from tests.ops.harness import LEVELS, Model, Trace, backend, near, random

levels = pytest.mark.parametrize("level", [*LEVELS, "array", "gpu"])


def moe(n_used: int) -> Trace:
    return lambda x, w: x.moe(x.linear(w.router).route(n_used), w.gate, w.up, w.down, n_used)


@levels
@pytest.mark.parametrize("n_used", [1, 2, 5])
def test_moe(n_used: int, level: str) -> None:
    n_expert, n_embd, n_ff = 5, 40, 24
    weights = {
        "router.weight": ("F32", random(2, n_expert, n_embd)),
        "gate.weight": ("F16", random(3, n_expert, n_ff, n_embd) / 6),
        "up.weight": ("F32", random(4, n_expert, n_ff, n_embd) / 6),
        "down.weight": ("BF16", random(5, n_expert, n_embd, n_ff) / 6),
    }
    x = random(1, 37, n_embd)
    models = [Model(backend(b), x, moe(n_used), weights) for b in (level, "reference")]
    near(*(model.rows() for model in models), tolerance=1e-3)  # products of 16 bits
    single = models[0].read(range(37), chunk=1)
    np.testing.assert_array_equal(single, models[0].rows())


ACTIVATIONS = ["silu", "gelu", "gelu_exact", "relu", "swiglu_clamped"]


@levels
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("biased", [False, True])
def test_experts_with_activations_and_biases(biased: bool, activation: str, level: str) -> None:
    n_expert, n_embd, n_ff = 4, 33, 20
    shapes = {"gate": (n_ff, n_embd), "up": (n_ff, n_embd), "down": (n_embd, n_ff)}
    weights = {
        f"{part}.weight": ("F32", random(i, n_expert, *shape) / 3)
        for i, (part, shape) in enumerate(shapes.items())
    }
    if biased:
        weights |= {
            f"{part}.bias": ("F16", random(10 + i, n_expert, shape[0]))
            for i, (part, shape) in enumerate(shapes.items())
        }

    def trace(x: Value, w: Weights) -> Value:
        values, scores = x.split(n_embd, n_expert)
        return values.moe(scores.route(2), w.gate, w.up, w.down, 2, activation)

    x = random(1, 20, n_embd + n_expert) * 3
    ours, reference = (Model(backend(b), x, trace, weights).rows() for b in (level, "reference"))
    near(ours, reference, 1e-5)


ROUTES: dict[str, dict[str, Any]] = {
    "softmax": {},
    "not normalized": {"normalize": False, "factor": 2.5},
    "sigmoid": {"gating": "sigmoid"},
    "bias": {"gating": "sigmoid", "bias": "bias.weight", "factor": 0.5},
    "bias of softmax": {"bias": "bias.weight", "normalize": False},
    "groups": {"groups": (4, 2)},
    "groups and bias": {"gating": "sigmoid", "groups": (6, 2), "bias": "bias.weight"},
    "groups of one": {"groups": (12, 4), "bias": "bias.weight"},
    "sparsemixer": {"gating": "sparsemixer"},
}


@levels
@pytest.mark.parametrize("kind", ROUTES)
def test_route(kind: str, level: str) -> None:
    weights = {"bias.weight": ("F32", random(2, 12))}
    x = random(1, 40, 12) * 2
    for n_used in (1, 3, 4):
        ours, reference = (
            Model(backend(b), x, lambda x, _: x.route(n_used, **ROUTES[kind]), weights).rows()  # noqa: B023
            for b in (level, "reference")
        )
        near(ours, reference)
        assert ((ours > 0).sum(axis=1) == n_used).all()


@levels
def test_route_of_equal_scores(level: str) -> None:
    for kind in ("softmax", "sigmoid", "sparsemixer"):
        x = np.zeros((2, 9), np.float32)
        ours, reference = (
            Model(backend(b), x, lambda x, _: x.route(2, gating=kind)).rows()  # noqa: B023
            for b in (level, "reference")
        )
        near(ours, reference)
        assert (ours[:, :2] > 0).all()


@levels
def test_equal_scores_choose_the_lower_expert(level: str) -> None:
    n_embd = 16
    weights = {
        "router.weight": ("F32", np.zeros((4, n_embd), np.float32)),
        **{
            f"{part}.weight": ("F32", random(i, 4, n_embd, n_embd))
            for i, part in enumerate(["gate", "up", "down"])
        },
    }
    x = random(1, 3, n_embd)
    ours, reference = (Model(backend(b), x, moe(2), weights).rows() for b in (level, "reference"))
    near(ours, reference, 1e-5)
