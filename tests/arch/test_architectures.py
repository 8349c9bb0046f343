"""Every tiny variant of every architecture, on every backend: against the original implementation,
against the reference backend, and against itself however the tokens are cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy.backends.base import PAGE_TOKENS
from llmpy.backends.reference import moe, tools
from llmpy.graph import show
from tests.arch import tiny
from tests.arch.steps import Logits, Runner

Load = Callable[..., Runner]

BACKENDS = ["reference", "cpu", "array"]
SNAPSHOTS = Path(__file__).parents[1] / "snapshots" / "tiny"
TOKENS = tiny.prompt()
NEAR = 5e-5  # relative to the largest logit; float32 gives about 2e-6
LONG = tiny.prompt(PAGE_TOKENS * 2 + 19, seed=1)  # crosses two borders between pages
# weight type -> how far a backend that rounds activations to 8 bits may be from the reference
ROUNDED = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]
PLAIN = ["F16", "BF16"]
K_BLOCKS = ["Q4_K", "Q5_K", "Q6_K"]

variants = pytest.mark.parametrize("variant", tiny.VARIANTS.values(), ids=lambda v: v.name)
backends = pytest.mark.parametrize("backend", BACKENDS)


def golden(variant: tiny.Variant) -> Logits:
    with np.load(tiny.GOLDEN / f"{variant.name}.npz") as file:
        assert file["weights"] == tiny.fingerprint(variant), "made from other weights: make it anew"
        return np.array(file["logits"])


def distance(a: Logits, b: Logits) -> float:
    """The largest difference, relative to the largest of `b`."""
    assert a.shape == b.shape
    assert np.isfinite(a).all()
    return float(np.abs(a - b).max() / np.abs(b).max())


@backends
@variants
def test_a_whole_prompt_gives_the_original_logits(
    variant: tiny.Variant, backend: str, loaded: Load
) -> None:
    assert distance(loaded(variant, backend).whole(TOKENS), golden(variant)) < NEAR


@backends
@variants
def test_token_by_token_gives_the_original_logits(
    variant: tiny.Variant, backend: str, loaded: Load
) -> None:
    logits = loaded(variant, backend).read(TOKENS, [1] * len(TOKENS))
    assert distance(logits, golden(variant)) < NEAR


@backends
@variants
def test_half_precision_keys_and_values_stay_near_the_original(
    variant: tiny.Variant, backend: str, loaded: Load
) -> None:
    logits = loaded(variant, backend, kv_dtype="auto").whole(TOKENS)
    assert distance(logits, golden(variant)) < 5e-3


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@variants
def test_eight_bit_keys_and_values_stay_near_the_original(
    variant: tiny.Variant, backend: str, loaded: Load
) -> None:
    """Most tokens do: rounding may send one to another expert."""
    logits, original = loaded(variant, backend, kv_dtype="q8_0").whole(TOKENS), golden(variant)
    rows = [distance(a, b) for a, b in zip(logits, original, strict=True)]
    assert np.median(rows) < 3e-2
    assert not np.array_equal(logits, loaded(variant, backend).whole(TOKENS))


@variants
def test_cpu_equals_reference(variant: tiny.Variant, loaded: Load) -> None:
    ours, reference = (loaded(variant, b).whole(TOKENS) for b in ("cpu", "reference"))
    assert distance(ours, reference) < NEAR


def rounded(x: Logits) -> Logits:
    """Round activations as native/src/kernels/linear/linear_prepare.inl does.

    int8 with one scale for 256 values, times a power of two for each 32; the few that are much
    larger than the others stay as they are and count for no scale.
    """
    y = x.reshape(-1, x.shape[-1]).copy()
    for row in y:
        for i in range(0, len(row), 256):
            group = row[i : i + 256]
            rest = group.copy()
            rest[_apart(group)] = 0
            most = np.abs(rest).max()
            if most > 0:
                units = most / np.float32(127 * 8) * _powers(rest, most)
                group[:] = np.where(rest == group, np.rint(rest / units) * units, group)
    return y.reshape(x.shape)


def _apart(group: Logits) -> list[int]:
    """Which of up to 256 values are kept apart: more than 10 times the mean, one for each 64."""
    sizes = np.abs(group)
    large = np.flatnonzero(sizes > sizes.mean() * np.float32(10))
    return sorted(large, key=lambda at: -sizes[at])[: -(-len(group) * 4 // 256)]


def _powers(group: Logits, most: np.float32) -> Logits:
    """The power of two of each value: the least of 1 to 8 with which its 32 fit into int8."""
    of_32 = np.abs(group).reshape(-1, 32).max(axis=1)
    powers = 8 / 2.0 ** sum((of_32 <= most / 2**n).astype(int) for n in (1, 2, 3))
    return np.repeat(powers, 32).astype(np.float32)


def median_distance(ours: Runner, alike: Runner) -> float:
    """Over tokens that each are a text of their own.

    A value halfway between two integers may be rounded to either. That is seldom: most tokens meet
    none, and alone they do not pass it on to others.
    """
    pairs = [(ours.whole([t]), alike.whole([t])) for t in TOKENS]
    return float(np.median([distance(a, b) for a, b in pairs]))


@pytest.mark.parametrize("dtype", ROUNDED)
@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_cpu_differs_from_reference_by_the_rounding_of_activations_alone(
    name: str, dtype: str, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = tools.product

    def round_first(w: Logits, x: Logits) -> Logits:
        router = len(w) < 32  # which stays in F32
        return product(w, x if router else rounded(x))

    monkeypatch.setattr(tools, "product", round_first)
    monkeypatch.setattr(moe, "product", round_first)
    variant = tiny.VARIANTS[name]
    assert median_distance(*(loaded(variant, b, dtype) for b in ("cpu", "reference"))) < NEAR


@pytest.mark.parametrize("dtype", PLAIN)
@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_cpu_equals_reference_on_half_precision_weights(
    name: str, dtype: str, loaded: Load
) -> None:
    ours, exact = (
        loaded(tiny.VARIANTS[name], b, dtype).whole(TOKENS) for b in ("cpu", "reference")
    )
    assert distance(ours, exact) < 2e-3  # weights and activations of 16 bits, in every product


@backends
@variants
def test_any_chunks_give_the_same_bits(variant: tiny.Variant, backend: str, loaded: Load) -> None:
    runner = loaded(variant, backend)
    whole = runner.whole(LONG)
    for chunks in ([1] * len(LONG), [63, 2, 62, 20], [7, 1, 19, 13, 107], [146, 1]):
        np.testing.assert_array_equal(runner.read(LONG, chunks), whole)


@backends
@pytest.mark.parametrize("dtype", [*ROUNDED, *PLAIN])
def test_any_chunks_give_the_same_bits_on_stored_types(
    dtype: str, backend: str, loaded: Load
) -> None:
    for name in ("llama", "mixtral"):
        runner = loaded(tiny.VARIANTS[name], backend, dtype, "auto")
        whole = runner.whole(LONG)
        for chunks in ([1] * len(LONG), [63, 2, 62, 20]):
            np.testing.assert_array_equal(runner.read(LONG, chunks), whole, name)


@settings(max_examples=15)
@given(st.lists(st.integers(1, len(LONG) - 1), max_size=9))
def test_random_chunks_give_the_same_bits(loaded: Load, cuts: list[int]) -> None:
    borders = sorted({0, *cuts, len(LONG)})
    runner = loaded(tiny.VARIANTS["mistral"], "reference")
    chunks = np.diff(borders).tolist()
    np.testing.assert_array_equal(runner.read(LONG, chunks), runner.whole(LONG))


@backends
@variants
def test_output_rows_are_those_of_all_rows(
    variant: tiny.Variant, backend: str, loaded: Load
) -> None:
    runner = loaded(variant, backend)
    whole = runner.whole(TOKENS)
    for output_rows in ([39], [0, 17, 38], []):
        logits = runner.step([(runner.state(), 0, TOKENS)], output_rows)
        np.testing.assert_array_equal(logits, whole[output_rows])


@backends
@variants
def test_sessions_in_one_batch_are_as_alone(
    variant: tiny.Variant, backend: str, loaded: Load
) -> None:
    runner = loaded(variant, backend)
    first, second, third = TOKENS, tiny.prompt(70, seed=2), tiny.prompt(3, seed=3)
    alone = [runner.whole(tokens) for tokens in (first, second, third)]
    a, b, c = runner.state(), runner.state(), runner.state()
    runner.step([(b, 0, second[:60])], [])
    mixed = runner.step([(a, 0, first[:30]), (b, 60, second[60:69])], np.arange(39))
    np.testing.assert_array_equal(mixed, np.concatenate([alone[0][:30], alone[1][60:69]]))
    last = runner.step([(b, 69, second[69:]), (c, 0, third), (a, 30, first[30:])], np.arange(14))
    np.testing.assert_array_equal(last, np.concatenate([alone[1][69:], alone[2], alone[0][30:]]))


@backends
def test_rows_of_two_sessions_may_alternate(backend: str, loaded: Load) -> None:
    runner = loaded(tiny.VARIANTS["mistral"], backend)
    other = tiny.prompt(len(TOKENS), seed=2)
    alone = [runner.whole(tokens) for tokens in (TOKENS, other)]
    states = [runner.state(), runner.state()]
    for state in states:
        state.prepare(0, len(TOKENS))
    places = np.arange(2 * len(TOKENS))
    logits = runner.run(
        states, np.stack([TOKENS, other], 1).ravel(), places // 2, places % 2, places
    )
    np.testing.assert_array_equal(logits[::2], alone[0])
    np.testing.assert_array_equal(logits[1::2], alone[1])


@backends
def test_a_fork_and_its_origin_go_separate_ways(backend: str, loaded: Load) -> None:
    runner = loaded(tiny.VARIANTS["llama"], backend)
    ends = [LONG[70:90], LONG[90:110]]
    alone = [runner.whole(np.concatenate([LONG[:70], end]))[70:] for end in ends]
    origin = runner.state()
    runner.step([(origin, 0, LONG[:70])], [])
    branch = origin.fork()
    for state, end, expected in zip([origin, branch], ends, alone, strict=True):
        np.testing.assert_array_equal(runner.step([(state, 70, end)], np.arange(20)), expected)


@backends
def test_going_back_forgets(backend: str, loaded: Load) -> None:
    runner = loaded(tiny.VARIANTS["llama"], backend)
    state = runner.state()
    runner.step([(state, 0, LONG)], [])
    state.keep(40)
    again = runner.step([(state, 40, TOKENS[:30])], np.arange(30))
    fresh = runner.whole(np.concatenate([LONG[:40], TOKENS[:30]]))
    np.testing.assert_array_equal(again, fresh[40:])


@variants
def test_the_number_of_threads_changes_no_bit(variant: tiny.Variant, loaded: Load) -> None:
    one, two = (loaded(variant, "cpu", n_threads=n).whole(LONG) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", K_BLOCKS)
def test_cpu_differs_by_the_rounding_of_activations_alone_on_k_blocks(
    dtype: str, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = tools.product
    monkeypatch.setattr(tools, "product", lambda w, x: product(w, rounded(x)))
    assert median_distance(*(loaded(tiny.WIDE, b, dtype) for b in ("cpu", "reference"))) < NEAR


@backends
@pytest.mark.parametrize("dtype", K_BLOCKS)
def test_any_chunks_give_the_same_bits_on_k_blocks(dtype: str, backend: str, loaded: Load) -> None:
    runner = loaded(tiny.WIDE, backend, dtype, "auto")
    whole = runner.whole(LONG)
    for chunks in ([1] * len(LONG), [63, 2, 62, 20]):
        np.testing.assert_array_equal(runner.read(LONG, chunks), whole)


@variants
def test_the_printed_graph_is_the_committed_one(variant: tiny.Variant, loaded: Load) -> None:
    snapshot = SNAPSHOTS / f"{variant.name}.txt"
    assert show(loaded(variant, "reference").graph) + "\n" == snapshot.read_text("utf-8"), (
        "if the change is meant, run: python tests/snapshots/rewrite.py"
    )


def test_each_variant_has_its_snapshot_and_its_golden_and_no_other_lies_there() -> None:
    assert {p.stem for p in SNAPSHOTS.glob("*.txt")} == set(tiny.VARIANTS)
    assert {p.stem for p in tiny.GOLDEN.glob("*.npz")} == set(tiny.VARIANTS)
