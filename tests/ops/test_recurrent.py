"""Operations with a memory: hand-worked numbers, levels against the reference, equal bits however
tokens are cut, and memory that forks and starts anew.
"""

from __future__ import annotations

import numpy as np
import pytest

from llmpy.graph import Value, Weights
from tests.ops.harness import LEVELS, Array, Model, Trace, backend, flatten, random

ROWS = 9
levels = pytest.mark.parametrize("level", [*LEVELS, "array", "gpu"])
backends = pytest.mark.parametrize("name", ["reference", "array", "gpu", *LEVELS])

Stored = dict[str, tuple[str, Array]]


def stored(**arrays: Array) -> Stored:
    """Weights by their attribute; "__" at the end of a name stands for no ".weight"."""
    plain = {
        k.removesuffix("__") + ("" if k.endswith("__") else ".weight"): a for k, a in arrays.items()
    }
    return {name: ("F32", np.asarray(array, np.float32)) for name, array in plain.items()}


def projections(width: int, **n_out: int) -> dict[str, Array]:
    return {name: random(i, n, width) / width**0.5 for i, (name, n) in enumerate(n_out.items())}


def conv(n: int, width: int) -> tuple[Trace, Stored, int]:
    weights = stored(w=random(1, n, width)) | {"w.bias": ("F32", random(2, n))}
    return lambda x, w: x.conv(w.w), weights, n


def scan(h: int, d: int, n: int, groups: int, a_width: int) -> tuple[Trace, Stored, int]:
    def trace(x: Value, w: Weights) -> Value:
        dt, b, c = x.linear(w.dt).silu(), x.linear(w.b).heads(groups), x.linear(w.c).heads(groups)
        return flatten(x.heads(h).scan(dt, b, c, w.a, w.d))

    weights = stored(
        a__=-np.exp(random(7, h, a_width)), d__=random(8, h, 1),
        **projections(h * d, dt=h, b=groups * n, c=groups * n),
    )  # fmt: skip
    return trace, weights, h * d


def delta_rule(h: int, d_k: int, d_v: int, w_width: int) -> tuple[Trace, Stored, int]:
    def trace(x: Value, w: Weights) -> Value:
        part = {name: x.linear(getattr(w, name)) for name in ("decay", "k", "v", "a", "b")}
        decay, k, v, a, b = (part[name].heads(h) for name in part)
        return flatten(x.heads(h).delta_rule(decay, k, v, a, b))

    n = h * d_k
    weights = projections(n, decay=h * w_width, k=n, v=h * d_v, a=n, b=n)
    return trace, stored(**{k: w / n**0.25 for k, w in weights.items()}), n


def wkv4(n: int) -> tuple[Trace, Stored, int]:
    weights = stored(decay=-np.exp(random(1, n)), first=random(2, n), v=random(3, n, n))
    return lambda x, w: x.wkv4(x.linear(w.v), w.first, w.decay), weights, n


CASES = {
    "previous": (lambda x, _: x.previous(), {}, 37),
    **{f"conv {n} {width}": conv(n, width) for n in (1, 15, 16, 33) for width in (2, 3, 4)},
    "scan as in Mamba": scan(20, 1, 16, 1, 16),
    "scan as in Mamba 2": scan(6, 8, 32, 2, 1),
    "scan of odd sizes": scan(3, 5, 19, 3, 19),
    "scan of one": scan(1, 1, 1, 1, 1),
    "delta rule as in RWKV-7": delta_rule(3, 16, 16, 16),
    "delta rule as in gated delta nets": delta_rule(2, 32, 24, 1),
    "delta rule of odd sizes": delta_rule(3, 7, 5, 7),
    **{f"wkv4 {n}": wkv4(n) for n in (1, 16, 35)},
}
cases = pytest.mark.parametrize("case", CASES)


def model(case: str, engine: str) -> Model:
    trace, weights, width = CASES[case]
    return Model(backend(engine), random(9, ROWS, width), trace, weights)


@levels
@cases
def test_every_level_equals_the_reference(case: str, level: str) -> None:
    ours, reference = (model(case, name).rows() for name in (level, "reference"))
    np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-5 * float(np.abs(reference).max()))


@backends
@cases
def test_any_chunks_and_mixtures_give_the_same_bits(case: str, name: str) -> None:
    ours, tokens, others = model(case, name), [0, 3, 1, 8, 2, 2, 7], [5, 5, 0, 4]
    whole = ours.read(tokens)
    for chunk in (1, 2, 3):
        np.testing.assert_array_equal(ours.read(tokens, chunk), whole)
    a, b = ours.state(), ours.state()
    ours.step([(a, 0, tokens[:2])], [])
    mixed = ours.step([(b, 0, others), (a, 2, tokens[2:])])
    np.testing.assert_array_equal(mixed, np.concatenate([ours.read(others), whole[2:]]))


@cases
def test_threads_change_no_bit(case: str) -> None:
    trace, weights, width = CASES[case]
    x, tokens = random(9, ROWS, width), np.arange(300) % ROWS
    from tests.ops.harness import cpu_backend

    one, two = (Model(cpu_backend(n_threads=n), x, trace, weights).read(tokens) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


@backends
@cases
def test_a_fork_and_its_origin_go_separate_ways(case: str, name: str) -> None:
    ours = model(case, name)
    origin = ours.state()
    ours.step([(origin, 0, [1, 2, 3])], [])
    branch = origin.fork()
    for state, rest in ((origin, [4, 5]), (branch, [6, 7])):
        np.testing.assert_array_equal(
            ours.step([(state, 3, rest)]), ours.read([1, 2, 3, *rest])[3:]
        )
    assert branch.keep(5) == 5
    assert branch.keep(4) == 0
    np.testing.assert_array_equal(ours.step([(branch, 0, [8, 1])]), ours.read([8, 1]))


def reference(trace: Trace, x: list[list[float]], weights: Stored) -> Array:
    return Model(backend("reference"), np.array(x, np.float32), trace, weights).rows()


def test_previous_by_hand() -> None:
    assert reference(lambda x, _: x.previous(), [[1, 2], [3, 4]], {}).tolist() == [[0, 0], [1, 2]]


def test_conv_by_hand() -> None:
    weights = stored(w=np.array([[2, 3, 5]])) | {"w.bias": ("F32", np.array([1], np.float32))}
    found = reference(lambda x, w: x.conv(w.w), [[1], [10], [100], [0]], weights)
    assert found.ravel().tolist() == [6, 1 + 3 + 50, 1 + 2 + 30 + 500, 1 + 20 + 300]


def test_scan_by_hand() -> None:
    weights = stored(
        one=np.eye(2), b=np.array([[1, 0], [0, 2]]), half__=np.full((2, 1), -np.log(2)),
        d__=np.array([[10], [100]]),
    )  # fmt: skip

    def trace(x: Value, w: Weights) -> Value:
        b = x.linear(w.b).heads(1)
        return flatten(x.heads(2).scan(x.linear(w.one), b, b, w.half, w.d))

    # S = [[x0 x0 b], [x1 x1 b]] with steps dt = x, then halved dt times
    first = [1 * (1 + 16) + 10, 4 * (1 + 16) + 200]
    second = [(0.5 * 1 + 1 * 1) * 1 + 10, (1 * 4) * 1 + 0]
    assert reference(trace, [[1, 2], [1, 0]], weights).tolist() == [first, second]


def test_delta_rule_by_hand() -> None:
    weights = stored(
        half=np.eye(2) / 2, one=np.eye(2), swap=np.array([[0, 1], [1, 0]]), v=np.array([[1, 1]])
    )

    def trace(x: Value, w: Weights) -> Value:
        decay, k, v = x.linear(w.half).heads(1), x.linear(w.one).heads(1), x.linear(w.v).heads(1)
        other = x.linear(w.swap).heads(1)
        return flatten(x.heads(1).delta_rule(decay, k, v, k, other))

    # S = [3, 6]: v k; then S diag(w) = [3, 3], S a = 12, b = [1, 2], v k = [6, 3]
    assert reference(trace, [[1, 2], [2, 1]], weights).tolist() == [[15], [21 * 2 + 30]]


def test_wkv4_by_hand_and_far_from_zero() -> None:
    def trace(x: Value, w: Weights) -> Value:
        return x.wkv4(x.linear(w.v), w.first, w.decay)

    weights = stored(v=[[2.0]], first=[np.log(3)], decay=[-np.log(2)])
    found = reference(trace, [[0], [np.log(4)], [1000], [-1000]], weights)
    second = (1 * 0 + 3 * 4 * 2 * np.log(4)) / (1 + 12)
    np.testing.assert_allclose(found.ravel(), [0, second, 2000, 2000], rtol=1e-6)


@backends
@cases
def test_tokens_whose_logits_nobody_wants_are_remembered(case: str, name: str) -> None:
    ours, tokens = model(case, name), [0, 3, 1, 8, 2]
    whole, state = ours.read(tokens), ours.state()
    np.testing.assert_array_equal(ours.step([(state, 0, tokens[:4])], [1, 3]), whole[[1, 3]])
    np.testing.assert_array_equal(ours.step([(state, 4, tokens[4:])]), whole[4:])
