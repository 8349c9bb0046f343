"""Every operation at every level against the reference backend, at sizes around vectors'."""

from __future__ import annotations

import numpy as np
import pytest

from llmpy.graph import ELEMENTWISE as ELEMENTWISE_OPERATIONS
from llmpy.graph import Rope, Value, Weights
from tests.ops.harness import LEVELS, Model, Trace, backend, flatten, near, random

ROWS = 5
BLOCKS = [
    *("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
    *("IQ4_NL", "IQ4_XS", "MXFP4"),
]
WIDTHS = [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100]

levels = pytest.mark.parametrize("level", [*LEVELS, "array", "gpu"])


FUNCTIONS = [name for name in ELEMENTWISE_OPERATIONS if name != "silu"]
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
    "norm_without_weight": lambda x, _: x.rms_norm(None, 1e-5),
    "layer_norm": lambda x, w: x.layer_norm(w.norm, 1e-1),
    "layer_norm_without_weight": lambda x, _: x.layer_norm(None, 1e-1),
    **{name: lambda x, _, name=name: getattr(x, name)() for name in FUNCTIONS},
    **{
        f"gate_{name}": lambda x, _, name=name: getattr(x, name)() * x.scale(0.7)
        for name in FUNCTIONS
    },
    "relu_squared": lambda x, _: (lambda y: y * y)(x.relu()),
    "clamp": lambda x, _: x.clamp(-0.5, 1.5),
    "softcap": lambda x, _: x.softcap(2.0),
    "minus": lambda x, _: x.silu() - x,
    "add_weight": lambda x, w: x.add(w.norm),
    "mul_weight": lambda x, w: x.mul(w.norm).add(w.norm, "bias"),
    "times_one_value": lambda x, _: x * x.slice(x.shape[0] // 2, 1).sigmoid(),
    "slices_of_norm": lambda x, w: (
        x.rms_norm(w.norm, 1e-5).slice(0, 1).concat(x).slice(1, x.shape[0])
    ),
    "sum": lambda x, _: x * x.sum() + x.sum().concat(x).slice(0, x.shape[0]),
    "heads_of_one": lambda x, _: x.heads(x.shape[0]).rms_norm(None, 0.5).flatten(),
    "repeated": lambda x, _: x.heads(1).repeat(3).flatten(),
}


@levels
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str, level: str) -> None:
    for width in WIDTHS:
        weights = {f"norm.{kind}": ("F32", random(2, width)) for kind in ("weight", "bias")}
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


HEADS: dict[str, Trace] = {
    "norm by head": lambda x, w: x.rms_norm(w.by_head, 1e-5),
    "layer norm by head": lambda x, w: x.layer_norm(w.by_head, 1e-2),
    "one norm for all heads": lambda x, w: x.layer_norm(w.one, 1e-2),
    "weights by head": lambda x, w: x.add(w.by_head).mul(w.one),
    "sums": lambda x, _: x.sum() * x.slice(1, 1),
    "weights with axes of one": lambda x, w: x.add(w.axes).mul(w.axes),
    "a value a head": lambda x, _: x * x.slice(3, 1),
    "slice": lambda x, _: x.slice(2, 5),
    "concat": lambda x, _: x.slice(4, 3).concat(x),
    "repeat": lambda x, _: x.repeat(8),
    "split and swapped": lambda x, _: (lambda a, b: b.concat(a))(*x.split(3, 6)),
    "a function of heads": lambda x, _: x.tanh() * x,
}


@levels
@pytest.mark.parametrize("name", HEADS)
def test_by_head(name: str, level: str) -> None:
    shapes = {
        "by_head.weight": (4, 9),
        "by_head.bias": (4, 9),
        "one.weight": (9,),
        "axes.weight": (4, 1, 1, 9),
    }
    weights = {key: ("F32", random(i, *shape)) for i, (key, shape) in enumerate(shapes.items())}
    x = random(1, ROWS, 4 * 9)
    ours, reference = (
        Model(backend(b), x, lambda x, w: HEADS[name](x.heads(4), w).flatten(), weights).rows()
        for b in (level, "reference")
    )
    near(ours, reference, 5e-6)


@levels
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", *BLOCKS])
def test_embed_reads_the_rows_of_the_file(dtype: str, level: str) -> None:
    x = random(1, 9, 512)
    ours, reference = (
        Model(backend(b), x, lambda x, _: x.scale(1.0), x_dtype=dtype) for b in (level, "reference")
    )
    tokens = [3, 3, 8, 0, 7]
    np.testing.assert_array_equal(ours.read(tokens), reference.read(tokens))


@levels
@pytest.mark.parametrize("dtype", ["F32", "F16", "Q8_0", "TQ2_0"])
@pytest.mark.filterwarnings("ignore:no kernel")
def test_rows_of_positions_and_of_kinds(dtype: str, level: str) -> None:
    def trace(x: Value, w: Weights) -> Value:
        tokens = x.graph.tokens()
        return x + tokens.embed_position(w.at, offset=2) + tokens.embed_row(w.kind, 1)

    weights = {"at.weight": (dtype, random(2, 20, 256)), "kind.weight": (dtype, random(3, 2, 256))}
    x = random(1, 18, 256)
    ours, reference = (Model(backend(b), x, trace, weights).rows() for b in (level, "reference"))
    near(ours, reference, 1e-3 if dtype == "TQ2_0" else 2e-6)


def test_no_position_reads_behind_its_table() -> None:
    def trace(x: Value, w: Weights) -> Value:
        return x + x.graph.tokens().embed_position(w.at, offset=2)

    model = Model(
        backend(LEVELS[-1]), random(1, 9, 8), trace, {"at.weight": ("F32", random(2, 7, 8))}
    )
    state = model.state()
    model.step([(state, 0, range(5))])
    for tokens in ([5], [5, 6]):
        with pytest.raises(ValueError, match=r"position: expected 0 to 4, found [56]"):
            model.step([(state, 5, tokens)])


@levels
@pytest.mark.parametrize(
    "rope",
    [
        Rope(16),
        Rope(16, neox=True),
        Rope(6, 500_000.0),
        Rope(2, neox=True),
        Rope(8, growth=0.5, growth_every=3),
        Rope(10, scaling="yarn", factor=4.0, original_context=32, attention_factor=0.9),
    ],
    ids=str,
)
def test_rope(rope: Rope, level: str) -> None:
    x = random(1, 40, 3 * 16)
    ours, reference = (
        Model(backend(b), x, lambda x, _: flatten(x.heads(3).rope(rope))).rows()
        for b in (level, "reference")
    )
    near(ours, reference)


@levels
def test_rope_grows_with_each_stretch_of_positions(level: str) -> None:
    x = np.tile(random(1, 1, 8), (8, 1))
    still, grown = (
        Model(backend(level), x, lambda x, _, r=r: flatten(x.heads(1).rope(r))).rows()
        for r in (Rope(8), Rope(8, growth=0.5, growth_every=3))
    )
    steps = np.log([1, 1, 1, 2, 2, 2, 3, 3])[:, None]
    near(grown, still * (1 + 0.5 * steps).astype(np.float32))


@levels
def test_rope_with_factors_and_two_tables(level: str) -> None:
    def trace(x: Value, w: Weights) -> Value:
        turned = x.heads(2).rope(Rope(8), w.factors).rope(Rope(4, neox=True))
        return flatten(turned.rope(Rope(8)))

    weights = {"factors.weight": ("F32", np.array([1, 2, 4, 8], np.float32))}
    x = random(1, 40, 2 * 8)
    ours, reference = (Model(backend(b), x, trace, weights).rows() for b in (level, "reference"))
    near(ours, reference)


FLOATS = {"F32": 2e-6, "F16": 1e-4, "BF16": 1e-4}  # of 16 bits: both factors are rounded to them


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
    near(ours, reference, 1e-3)  # four products in a row, of 16 bits


@levels
@pytest.mark.parametrize("dtype", ["F32", "BF16", "Q8_0", "Q6_K"])
def test_linear_heads(dtype: str, level: str) -> None:
    for heads, n_out, n_in in [(1, 16, 256), (3, 5, 256), (70, 17, 256)]:
        weights = {"a.weight": (dtype, random(2, heads, n_out, n_in))}
        x = random(1, 5, heads * n_in)
        models = [
            Model(backend(b), x, lambda x, w: x.heads(heads).linear_heads(w.a).flatten(), weights)  # noqa: B023
            for b in (level, "reference")
        ]
        ours, reference = (model.rows() for model in models)
        error = np.sqrt(np.mean((ours - reference) ** 2) / np.mean(reference**2))
        assert error < {"F32": 2e-6, "BF16": 2e-4}.get(dtype, 0.015)
        np.testing.assert_array_equal(models[0].read(range(5), chunk=1), ours)
