"""llmpy.quant against the gguf package, type by type, bit by bit."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf import quants as oracle

from llmpy.dtypes import BY_NAME
from llmpy.quant import dequantize, quantize, readable, writable

ORACLE_READS = sorted(
    name
    for name in readable - {"F64", "Q1_0", "Q8_1", "Q8_K"}
    if hasattr(gguf.GGMLQuantizationType, name)
)
ORACLE_WRITES = ["BF16", "F16", "F32", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal, where any NaN equals any other and -0 differs from 0."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    nan = np.isnan(a)
    return bool((nan == np.isnan(b)).all() and (a[~nan].view("u4") == b[~nan].view("u4")).all())


def random_blocks(name: str, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, BY_NAME[name].size), np.uint8)


def test_every_type_with_a_kernel_is_readable():
    plain, blocks = {"F32", "F16", "BF16"}, {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"}
    assert plain | blocks | {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"} <= readable


@pytest.mark.parametrize("name", ORACLE_READS)
def test_random_bytes_mean_what_gguf_says(name):
    data = random_blocks(name, 700, 1)
    n = 700 * BY_NAME[name].block
    with np.errstate(all="ignore"):
        expected = oracle.dequantize(data, gguf.GGMLQuantizationType[name]).reshape(-1)
    assert same_bits(dequantize(BY_NAME[name], data, (n,)), expected)


@pytest.mark.parametrize("name", ORACLE_READS)
def test_large_tensors_in_pieces_are_the_same(name):
    block = BY_NAME[name].block
    data = random_blocks(name, (1 << 20) // block + 3, 2)
    whole = dequantize(BY_NAME[name], data, (len(data), block))
    tail = dequantize(BY_NAME[name], data[-5:], (5, block))
    assert same_bits(whole[-5:], tail)


def test_q8_1_is_scale_times_integer():
    block = np.zeros(1, [("d", "<f2"), ("s", "<f2"), ("q", "i1", 32)])
    block["d"], block["q"] = 0.5, np.arange(-16, 16)
    assert (dequantize("Q8_1", block, (32,)) == np.arange(-16, 16) * 0.5).all()


def test_q8_k_is_scale_times_integer():
    block = np.zeros(1, [("d", "<f4"), ("q", "i1", 256), ("s", "<i2", 16)])
    block["d"], block["q"] = 0.25, np.arange(-128, 128)
    assert (dequantize("Q8_K", block, (256,)) == np.arange(-128, 128) * 0.25).all()


def test_f64_is_rounded_to_float32():
    values = np.array([1 / 3, 1e-50, -2.0])
    assert (dequantize("F64", values, (3,)) == values.astype(np.float32)).all()


@pytest.mark.parametrize("name", ORACLE_WRITES)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e4])
def test_quantize_makes_the_bytes_of_gguf(name, scale):
    values = (np.random.default_rng(3).standard_normal((50, 96)) * scale).astype(np.float32)
    values[1] = 0
    values[2, :32] = 0.75
    values[3, 32:64] = -values[3, 32:64].clip(0)
    if name == "F16" and scale > 1:
        values = values.clip(-65504, 65504)
    with np.errstate(all="ignore"):
        expected = oracle.quantize(values, gguf.GGMLQuantizationType[name])
    assert (quantize(name, values) == np.ascontiguousarray(expected).view(np.uint8)).all()


def test_bf16_keeps_nan():
    assert np.isnan(
        dequantize("BF16", quantize("BF16", np.full(2, np.nan, np.float32)), (2,))
    ).all()


STEP = {"Q4_0": 1 / 8, "Q4_1": 2 / 15, "Q5_0": 1 / 16, "Q5_1": 2 / 31, "Q8_0": 1 / 127}


@pytest.mark.parametrize("name", sorted(STEP))
def test_rounding_error_is_within_one_step(name):
    values = np.random.default_rng(4).uniform(-1, 1, (64, 64)).astype(np.float32)
    error = np.abs(dequantize(name, quantize(name, values), values.shape) - values)
    assert 0 < error.max() <= STEP[name] * 1.01


def test_everything_written_can_be_read():
    assert writable <= readable


def test_an_unreadable_type_is_named():
    with pytest.raises(ValueError, match="I32 is not readable"):
        dequantize("I32", np.zeros(4, np.uint8), (1,))


def test_an_unwritable_type_is_named():
    with pytest.raises(ValueError, match="IQ1_S is not writable"):
        quantize("IQ1_S", np.zeros(256, np.float32))


def test_a_wrong_size_is_named_with_numbers():
    with pytest.raises(ValueError, match="takes 36 bytes, found 35"):
        dequantize("Q4_0", np.zeros(35, np.uint8), (2, 32))


def test_a_broken_row_is_refused():
    with pytest.raises(ValueError, match="no whole number of Q4_0 blocks"):
        quantize("Q4_0", np.zeros((2, 48), np.float32))


def test_no_values_are_no_bytes():
    assert dequantize("Q4_K", np.zeros(0, np.uint8), (0, 256)).shape == (0, 256)
