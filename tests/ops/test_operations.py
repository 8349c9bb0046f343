"""Every operation at every level against the reference backend, at sizes around vectors'."""

from __future__ import annotations

import numpy as np
import pytest

from llmpy.graph import Rope, Value, Weights
from tests.ops.harness import LEVELS, Array, Model, Trace, backend, flat, random

ROWS = 5
WIDTHS = [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100]

levels = pytest.mark.parametrize("level", LEVELS)


def near(ours: Array, reference: Array, tolerance: float = 2e-6) -> None:
    assert ours.shape == reference.shape
    np.testing.assert_allclose(
        ours, reference, rtol=0, atol=tolerance * max(1.0, float(np.abs(reference).max()))
    )


ELEMENTWISE: dict[str, Trace] = {
    "add": lambda x, _: x.scale(2.0) + x,
    "add_itself": lambda x, _: x + x,
    "mul": lambda x, _: x.scale(2.0) * x,
    "scale": lambda x, _: x.scale(-0.3),
    "silu": lambda x, _: x.silu(),
    "silu_used_twice": lambda x, _: (lambda y: y * x + y)(x.silu()),
    "gate": lambda x, _: x.silu() * x.scale(3.0),
    "gate_on_the_right": lambda x, _: x.scale(3.0) * x.silu(),
    "two_gates": lambda x, _: x.silu() * x.scale(2.0).silu(),
    "rms_norm": lambda x, w: x.rms_norm(w.norm, 1e-5),
    "norm_of_a_sum": lambda x, w: (x + x.silu()).rms_norm(w.norm, 1e-5) + x,
}


@levels
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str, level: str) -> None:
    for width in WIDTHS:
        weights = {"norm.weight": ("F32", random(2, width))} if "norm" in name else {}
        x = random(1, ROWS, width) * 3
        ours, reference = (
            Model(backend(b), x, ELEMENTWISE[name], weights).rows() for b in (level, "reference")
        )
        near(ours, reference)


@levels
def test_extreme_values_of_silu(level: str) -> None:
    x = np.array([[-1e30, -200, -90, -88, -1e-30, 0, 1e-30, 88, 90, 1e30]], np.float32)
    ours, reference = (
        Model(backend(b), x, lambda x, _: x.silu()).rows() for b in (level, "reference")
    )
    np.testing.assert_allclose(ours, reference, rtol=2e-6, atol=1e-36)


@levels
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K"])
def test_embed_reads_the_rows_of_the_file(dtype: str, level: str) -> None:
    x = random(1, 9, 512)
    ours, reference = (
        Model(backend(b), x, lambda x, _: x.scale(1.0), x_dtype=dtype) for b in (level, "reference")
    )
    tokens = [3, 3, 8, 0, 7]
    np.testing.assert_array_equal(ours.read(tokens), reference.read(tokens))


@levels
@pytest.mark.parametrize(
    "rope",
    [
        Rope(16),
        Rope(16, neox=True),
        Rope(6, 500_000.0),
        Rope(2, neox=True),
        Rope(10, scaling="yarn", factor=4.0, original_context=32, attention_factor=0.9),
    ],
    ids=str,
)
def test_rope(rope: Rope, level: str) -> None:
    x = random(1, 40, 3 * 16)
    ours, reference = (
        Model(backend(b), x, lambda x, _: flat(x.heads(3).rope(rope))).rows()
        for b in (level, "reference")
    )
    near(ours, reference)


@levels
def test_rope_with_factors_and_two_tables(level: str) -> None:
    def trace(x: Value, w: Weights) -> Value:
        turned = x.heads(2).rope(Rope(8), w.factors).rope(Rope(4, neox=True))
        return flat(turned.rope(Rope(8)))

    weights = {"factors.weight": ("F32", np.array([1, 2, 4, 8], np.float32))}
    x = random(1, 40, 2 * 8)
    ours, reference = (Model(backend(b), x, trace, weights).rows() for b in (level, "reference"))
    near(ours, reference)


FLOATS = {"F32": 2e-6, "F16": 2e-6, "BF16": 2e-6}
BLOCKS = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]


def product(x: Value, w: Weights) -> Value:
    return x.linear(w.a)


@levels
@pytest.mark.parametrize("dtype", FLOATS)
def test_linear_of_floats(dtype: str, level: str) -> None:
    for n_in, n_out in [
        (1, 1),
        (3, 2),
        (8, 15),
        (17, 16),
        (33, 17),
        (64, 33),
        (172, 64),
        (300, 31),
    ]:
        weights = {
            "a.weight": (dtype, random(2, n_out, n_in)),
            "a.bias": ("F32", random(3, n_out)),
        }
        x = random(1, 7, n_in)
        ours, reference = (
            Model(backend(b), x, product, weights).rows() for b in (level, "reference")
        )
        near(ours, reference, FLOATS[dtype] * n_in**0.5)


@levels
@pytest.mark.parametrize("dtype", BLOCKS)
def test_linear_of_blocks_is_as_near_as_eight_bits_allow(dtype: str, level: str) -> None:
    for n_in, n_out in [(256, 33), (512, 16), (1024, 5)]:
        weights = {"a.weight": (dtype, random(2, n_out, n_in))}
        x = random(1, 7, n_in)
        ours, reference = (
            Model(backend(b), x, product, weights).rows() for b in (level, "reference")
        )
        error = np.sqrt(np.mean((ours - reference) ** 2) / np.mean(reference**2))
        assert error < 0.015


def products(x: Value, w: Weights) -> Value:
    """All that can be fused: a group of three types, a residual sum, sums of two products."""
    a, b, c = x.linear(w.a), x.linear(w.b), x.linear(w.c)
    y = x + (a.silu() * b).linear(w.d)
    y = y.linear(w.a) + c.linear(w.d)
    return x.linear(w.d) + y + y.linear(w.b)


@levels
def test_products_in_all_combinations(level: str) -> None:
    n = 64
    types = {"a": "F32", "b": "F16", "c": "BF16", "d": "F32"}
    weights = {f"{k}.weight": (t, random(i, n, n) / 8) for i, (k, t) in enumerate(types.items())}
    weights["a.bias"] = ("F32", random(9, n))
    x = random(1, 7, n)
    ours, reference = (Model(backend(b), x, products, weights).rows() for b in (level, "reference"))
    near(ours, reference, 2e-5)


def attention(n_head: int, n_kv: int, window: int = 0, scale: float | None = None) -> Trace:
    def trace(x: Value, w: Weights) -> Value:
        q, k, v = (x.linear(part).heads(n) for part, n in ((w.q, n_head), (w.k, n_kv), (w.v, n_kv)))
        return q.attend(k.cached(), v.cached(), window=window, scale=scale)

    return trace


@levels
@pytest.mark.parametrize("kv_dtype", ["f32", "f16"])
def test_attend(kv_dtype: str, level: str) -> None:
    for n_head, n_kv, d, window, n in [
        (4, 2, 16, 0, 150),
        (3, 1, 5, 0, 66),
        (6, 6, 24, 70, 140),
        (8, 2, 33, 3, 65),
        (2, 1, 80, 64, 130),
    ]:
        x = random(1, n, 20)
        weights = {
            f"{part}.weight": ("F32", random(i, heads * d, 20) / 4)
            for i, (part, heads) in enumerate([("q", n_head), ("k", n_kv), ("v", n_kv)])
        }
        trace = attention(n_head, n_kv, window, 0.3)
        ours, reference = (
            Model(backend(b), x, trace, weights, kv_dtype).rows() for b in (level, "reference")
        )
        near(ours, reference, 5e-6 if kv_dtype == "f32" else 2e-3)


def mixture(n_used: int) -> Trace:
    return lambda x, w: x.mixture(x.linear(w.router), w.gate, w.up, w.down, n_used)


@levels
@pytest.mark.parametrize("n_used", [1, 2, 5])
def test_mixture(n_used: int, level: str) -> None:
    n_expert, n_embd, n_ff = 5, 40, 24
    weights = {
        "router.weight": ("F32", random(2, n_expert, n_embd)),
        "gate.weight": ("F16", random(3, n_expert, n_ff, n_embd) / 6),
        "up.weight": ("F32", random(4, n_expert, n_ff, n_embd) / 6),
        "down.weight": ("BF16", random(5, n_expert, n_embd, n_ff) / 6),
    }
    x = random(1, 37, n_embd)
    models = [Model(backend(b), x, mixture(n_used), weights) for b in (level, "reference")]
    near(*(model.rows() for model in models), tolerance=1e-5)
    single = models[0].read(range(37), chunk=1)
    np.testing.assert_array_equal(single, models[0].rows())


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
    ours, reference = (
        Model(backend(b), x, mixture(2), weights).rows() for b in (level, "reference")
    )
    near(ours, reference, 1e-5)
