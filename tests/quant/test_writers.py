"""Quantizing: another engine's bytes where there is no choice, no larger errors where there is."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy import ffi, quant
from llmpy.dtypes import BY_NAME
from tests.quant import samples

GOLDENS = json.loads(samples.GOLDENS.read_text(encoding="utf-8"))
FLAT_GOLDENS = json.loads(samples.FLAT_GOLDENS.read_text(encoding="utf-8"))
HALF = 2.0**-11  # what rounding a scale to a half can cost by itself
WEIGHTS = samples.importance()


@pytest.mark.parametrize("name", samples.READ)
def test_blocks_mean_what_the_other_engine_reads(name: str) -> None:
    blocks = samples.blocks(name)
    values = quant.dequantize(name, blocks, (len(blocks), BY_NAME[name].block))
    assert samples.digest(values) == GOLDENS["read"][name]


@pytest.mark.parametrize("name", samples.EXACT)
def test_types_without_a_choice_have_the_other_engines_bytes(name: str) -> None:
    assert samples.digest(quant.quantize(name, samples.hard_rows())) == GOLDENS["written"][name]


@pytest.mark.parametrize("case", GOLDENS["errors"])
def test_searched_types_lose_no_more_than_the_other_engines(case: str) -> None:
    name, kind, *weighted = case.split()
    x, w = samples.rows(kind), WEIGHTS if weighted else None
    made = quant.dequantize(name, quant.quantize(name, x, w), x.shape)
    assert samples.weighted_error(made, x, w) <= GOLDENS["errors"][case]


@pytest.mark.parametrize("case", FLAT_GOLDENS)
def test_rows_of_nearly_equal_values_lose_no_more_than_the_other_engines(case: str) -> None:
    name, *weighted = case.split()
    x, w = samples.flat_rows(), WEIGHTS[:256] if weighted else None
    made = quant.dequantize(name, quant.quantize(name, x, w), x.shape)
    for error, peer in zip(samples.flat_errors(made, w), FLAT_GOLDENS[case], strict=True):
        assert error <= 1.05 * peer + HALF


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"])
def test_groups_of_one_value_beside_others_stay_numbers(name: str) -> None:
    rising, ramp = np.linspace(-0.02, 0.02, 224), np.linspace(1, 2, 256)
    x = np.stack([np.append(rising, np.full(32, 0.02)), ramp, np.ones(256)]).astype(np.float32)
    made = quant.dequantize(name, quant.quantize(name, x), x.shape)
    assert max(samples.weighted_error(a, b, None) for a, b in zip(made, x, strict=True)) < 0.35


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
@pytest.mark.parametrize("name", sorted(quant.writable))
@pytest.mark.parametrize("weighted", [False, True])
def test_native_code_writes_the_same_bytes_at_every_level(name: str, weighted: bool) -> None:
    flat = samples.flat_rows().reshape(-1, samples.COLUMNS)[::3]
    x, w = np.concatenate([samples.hard_rows(), flat]), WEIGHTS if weighted else None
    expected = quant.quantize(name, x, w).reshape(-1)
    made = quant.dequantize(name, expected, x.shape).astype(np.float64)
    for level in _levels():
        found, lost, squares = quant.quantize_tensor(
            BY_NAME[name], BY_NAME["F32"], x.view(np.uint8).reshape(-1), x.shape[1], w, level=level
        )
        assert (found == expected).all()
        assert lost == pytest.approx(np.square(made - x).sum(), rel=1e-4, abs=1e-20)
        assert squares == pytest.approx(np.square(x, dtype=np.float64).sum(), rel=1e-4)


def _levels() -> list[int]:
    from llmpy.ffi import level_names, library

    return [i for i in range(len(level_names())) if library().llmpy_level_runs_here(i)]


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
@pytest.mark.parametrize("source", ["F16", "BF16"])
@pytest.mark.parametrize("name", ["Q8_0", "Q4_K", "IQ4_NL", "F32"])
def test_halves_are_widened_first(source: str, name: str) -> None:
    data = quant.quantize(source, samples.rows("heavy"))
    wide = quant.dequantize(source, data, (samples.ROWS, samples.COLUMNS))
    found = quant.quantize_tensor(
        BY_NAME[name], BY_NAME[source], data.reshape(-1), samples.COLUMNS
    )[0]
    assert (found == quant.quantize(name, wide).reshape(-1)).all()


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
def test_threads_change_nothing() -> None:
    x = np.tile(samples.rows("laplace"), (9, 1))  # several chunks
    raw = x.view(np.uint8).reshape(-1)
    one, two = (
        quant.quantize_tensor(BY_NAME["Q3_K"], BY_NAME["F32"], raw, x.shape[1], n_threads=n)
        for n in (1, 2)
    )
    assert (one[0] == two[0]).all()
    assert one[1:] == two[1:]


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
@pytest.mark.parametrize(
    ("columns", "source", "message"),
    [(48, "F32", "multiple of 32"), (32, "Q8_0", "F32, F16 or BF16"), (7, "F32", "multiple")],
)
def test_sizes_are_checked_before_native_code(columns: int, source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quant.quantize_tensor(
            BY_NAME["Q4_0"], BY_NAME[source], np.zeros(96 * 34, np.uint8), columns
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_importance_must_be_finite_and_positive(bad: float) -> None:
    weights = WEIGHTS.copy()
    weights[3] = bad
    with pytest.raises(ValueError, match="finite numbers of 0 or more"):
        quant.quantize("Q4_K", samples.rows("gaussian"), weights)


def test_importance_has_one_number_for_each_column() -> None:
    with pytest.raises(ValueError, match="expected 512 numbers"):
        quant.quantize("Q4_K", samples.rows("gaussian"), WEIGHTS[:-1])


def test_no_importance_at_all_is_the_same_everywhere() -> None:
    x = samples.rows("gaussian")
    same = quant.quantize("Q4_K", x, np.zeros(samples.COLUMNS, np.float32))
    assert (same == quant.quantize("Q4_K", x, np.ones(samples.COLUMNS, np.float32))).all()


# Half a step, for values from -1 to 1, and what rounding the scales adds.
BOUNDS = {
    "Q8_0": 0.0045, "Q6_K": 0.03, "Q5_K": 0.08, "Q5_0": 0.07, "Q5_1": 0.04, "Q4_K": 0.15,
    "Q4_0": 0.14, "Q4_1": 0.08, "IQ4_NL": 0.18, "IQ4_XS": 0.2, "MXFP4": 0.27, "Q3_K": 0.35,
    "Q2_K": 0.6, "F16": 0.0005, "BF16": 0.004,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BOUNDS))
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 1e3))
def test_errors_are_bounded(name: str, seed: int, scale: float) -> None:
    x = np.random.default_rng(seed).uniform(-1, 1, (2, 256)).astype(np.float32)
    x *= np.float32(scale)
    made = quant.dequantize(name, quant.quantize(name, x), x.shape)
    assert np.abs(made - x).max() <= BOUNDS[name] * scale


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4", "IQ4_NL"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_was_written_can_be_written_again(name: str, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((4, 64)).astype(np.float32)
    once = quant.dequantize(name, quant.quantize(name, x), x.shape)
    twice = quant.dequantize(name, quant.quantize(name, once), x.shape)
    assert np.abs(twice - once).max() <= 2e-2 * np.abs(x).max()


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(quant.writable)),
    data=st.binary(min_size=1024, max_size=1024),
)
def test_no_values_are_too_wild(name: str, data: bytes) -> None:
    x = np.frombuffer(data, "<f4").reshape(1, 256)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quant.quantize(name, x).shape == (1, BY_NAME[name].row_bytes(256))
        if ffi.available():
            quant.quantize_tensor(BY_NAME[name], BY_NAME["F32"], x.view(np.uint8).reshape(-1), 256)
