"""Attention of every kind at every level against the reference backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmpy.graph import Value, Weights
from tests.ops.harness import LEVELS, Model, Trace, backend, cpu_backend, near, random

levels = pytest.mark.parametrize("level", [*LEVELS, "array", "gpu"])
stored = pytest.mark.parametrize(
    ("kv_dtype", "level"),
    [(kv, level) for level in LEVELS for kv in ("f32", "auto", "q8_0", "f16", "q4_0")]
    + [(kv, level) for level in ("array", "gpu") for kv in ("f32", "f16")],
)


def attention(n_head: int, n_kv: int, window: int = 0, scale: float | None = None) -> Trace:
    def trace(x: Value, w: Weights) -> Value:
        q, k, v = (x.linear(part).heads(n) for part, n in ((w.q, n_head), (w.k, n_kv), (w.v, n_kv)))
        return q.attend(k.cached(), v.cached(), window=window, scale=scale)

    return trace


@stored
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
        near(ours, reference, {"f32": 5e-6, "q8_0": 2.5e-2, "q4_0": 2.5e-2}.get(kv_dtype, 2e-3))


KINDS: dict[str, dict[str, Any]] = {
    "alibi": {"alibi": 8.0},
    "softcap": {"softcap": 3.0},
    "sinks": {"sinks": True},
    "all of them": {"alibi": 4.0, "softcap": 2.0, "sinks": True, "window": 80},
    "both ways": {"causal": False},
    "both ways in a window": {"causal": False, "window": 30},
    "both ways with all": {"causal": False, "alibi": 8.0, "softcap": 2.0, "sinks": True},
}


def any_kind(n_head: int, n_kv: int, d: int, d_value: int, **kind: Any) -> Trace:
    def trace(x: Value, w: Weights) -> Value:
        q, k, v = x.split(n_head * d, n_kv * d, n_kv * d_value)
        sinks = w.sinks if kind.pop("sinks", False) else None
        k, v = k.heads(n_kv).cached(), v.heads(n_kv).cached()
        return q.heads(n_head).attend(k, v, sinks=sinks, **kind)

    return trace


@stored
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_attention(kind: str, kv_dtype: str, level: str) -> None:
    for n_head, n_kv, d, d_value, n in [(6, 2, 8, 5, 70), (3, 3, 17, 16, 150)]:
        x = random(1, n, n_head * d + n_kv * (d + d_value)) * 2
        weights = {"sinks.weight": ("F32", random(2, n_head))}
        models = [
            Model(
                backend(b), x, any_kind(n_head, n_kv, d, d_value, **KINDS[kind]), weights, kv_dtype
            )
            for b in (level, "reference")
        ]
        ours, reference = (model.rows() for model in models)
        near(ours, reference, {"f32": 1e-5, "q8_0": 5e-2, "q4_0": 5e-2}.get(kv_dtype, 2e-3))
        if "causal" not in KINDS[kind]:
            for chunk in (1, 33):
                np.testing.assert_array_equal(models[0].read(range(n), chunk), ours)


@levels
def test_many_queries_of_one_wide_key(level: str) -> None:
    n_head, d, d_value, n = 64, 72, 48, 40
    x = random(1, n, n_head * d + d)

    def trace(x: Value, _: Weights) -> Value:
        q, k = x.split(n_head * d, d)
        key = k.heads(1).cached()
        return q.heads(n_head).attend(key, k.slice(0, d_value).heads(1).cached())

    ours, reference = (Model(backend(b), x, trace) for b in (level, "reference"))
    near(ours.rows(), reference.rows(), 1e-5)
    np.testing.assert_array_equal(ours.read(range(n), chunk=1), ours.rows())


@pytest.mark.parametrize("level", LEVELS)
def test_threads_share_all_kinds(level: str) -> None:
    """Past 512 tokens one token's attention is shared between threads by segments."""
    n_head, d, n = 16, 64, 1100
    x = random(1, n, n_head * d + 2 * d)
    weights = {"sinks.weight": ("F32", random(2, n_head))}
    trace = [any_kind(n_head, 1, d, d, **KINDS["all of them"] | {"window": 900}) for _ in range(2)]
    alone = Model(cpu_backend(level), x, trace[0], weights)
    shared = Model(cpu_backend(level, n_threads=2), x, trace[1], weights)
    a, b = alone.state(), shared.state()
    for at in range(0, 1000, 500):
        tokens = range(at, at + 500)
        np.testing.assert_array_equal(alone.step([(a, at, tokens)]), shared.step([(b, at, tokens)]))
    for at, count in ((1000, 1), (1001, 3), (1004, 20)):
        tokens = range(at, at + count)
        np.testing.assert_array_equal(alone.step([(a, at, tokens)]), shared.step([(b, at, tokens)]))


@levels
def test_sessions_seen_both_ways_do_not_see_each_other(level: str) -> None:
    x = random(1, 90, 3 * 16)
    model = Model(backend(level), x, any_kind(2, 2, 8, 8, causal=False))
    first, second = range(70), range(80, 90)
    alone = [model.read(tokens) for tokens in (first, second)]
    a, b = model.state(), model.state()
    together = model.step([(a, 0, first), (b, 0, second)])
    np.testing.assert_array_equal(together, np.concatenate(alone))
    some = model.step([(a, 0, first), (b, 0, second)], [3, 72])
    np.testing.assert_array_equal(some, together[[3, 72]])


def test_what_sees_both_ways_must_be_read_at_once() -> None:
    model = Model(backend(LEVELS[-1]), random(1, 90, 3 * 16), any_kind(2, 2, 8, 8, causal=False))
    state = model.state()
    model.step([(state, 0, range(5))])
    for tokens in (range(5, 6), range(5, 8)):
        with pytest.raises(ValueError, match="first position"):
            model.step([(state, 5, tokens)])
