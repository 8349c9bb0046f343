"""Rows to quantize and blocks to read, the same in the tests and for the other engine's goldens."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmpy.dtypes import BY_NAME

GOLDENS = Path(__file__).parent / "goldens.json"
FLAT_GOLDENS = Path(__file__).parent / "flat.json"
ROWS, COLUMNS = 64, 512

EXACT = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4")
SEARCHED = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS")
WEIGHTED = (*SEARCHED, "Q4_0", "Q4_1", "Q5_0", "Q5_1")
READ = [
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "IQ1_S",
    "IQ1_M",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ2_S",
    "IQ3_XXS",
    "IQ3_S",
    "IQ4_NL",
    "IQ4_XS",
    "TQ1_0",
    "TQ2_0",
    "MXFP4",
    "NVFP4",
    "Q1_0",
    "Q2_0",
]
KINDS = ("gaussian", "heavy", "laplace", "uniform", "positive", "outliers", "scaled")


def rows(kind: str) -> NDArray[np.float32]:
    """Values of one distribution, [ROWS, COLUMNS]."""
    random, shape = np.random.default_rng(KINDS.index(kind)), (ROWS, COLUMNS)
    normal = random.standard_normal(shape)
    values = {
        "gaussian": 0.02 * normal,
        "heavy": 0.02 * normal / np.sqrt(random.chisquare(4, shape) / 4),  # Student's t
        "laplace": random.laplace(0, 0.1, shape),
        "uniform": random.uniform(-1, 1, shape),
        "positive": np.abs(normal) + 0.5,
        "outliers": normal * (1 + 20 * (random.random(shape) < 0.005)),
        "scaled": normal * np.exp(random.standard_normal((ROWS, 1))),
    }
    return values[kind].astype(np.float32)


# Rows of nearly equal values c * (1 + r * noise), by c and r: groups of one integer.
FLAT = [
    (sign * 10.0**power, spread)
    for power in range(-4, 4)
    for sign in (1, -1)
    for spread in (0, 0.001, 0.01, 0.1, 0.3, 1)
]


def flat_rows() -> NDArray[np.float32]:
    """Eight rows for each of FLAT, [cases, 8, 256]."""
    noise = np.random.default_rng(7).standard_normal((len(FLAT), 8, 256))
    centre, spread = np.array(FLAT).T[:, :, None, None]
    return (centre * (1 + spread * noise)).astype(np.float32)


def flat_errors(made: NDArray[np.float32], w: NDArray[np.float32] | None) -> list[float]:
    """The error of each case."""
    return [weighted_error(a, x, w) for a, x in zip(made, flat_rows(), strict=True)]


def importance() -> NDArray[np.float32]:
    """What errors cost in each column."""
    return np.exp(1.5 * np.random.default_rng(99).standard_normal(COLUMNS)).astype(np.float32)


def hard_rows() -> NDArray[np.float32]:
    """Rows with zeros of both signs, ties, constants, tiny and large values."""
    x = rows("gaussian")
    x[0] = 0
    x[1] = -0.0
    x[2, ::3] = 0
    x[3] = np.abs(x[3])
    x[3, 3::32], x[3, 9::32] = -0.0, 0.0
    x[4] = 0.25
    x[5] = -np.abs(x[5])
    x[6] = np.round(x[6] * 400) / 8
    x[7] *= 1e-9
    x[8] *= 1e5
    x[9] = np.where(x[9] > 0, 1, -1)
    return x


def blocks(name: str) -> NDArray[np.uint8]:
    """Random blocks of a type, as nobody would make them."""
    random = np.random.default_rng(BY_NAME[name].id)
    return random.integers(0, 256, (257, BY_NAME[name].size), np.uint8)


def digest(data: NDArray[np.generic]) -> str:
    """Of the bytes; of floats with every NaN the same."""
    if data.dtype == np.float32:
        data = np.where(np.isnan(data), np.float32(0), data)
    return hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()[:32]


def weighted_error(
    made: NDArray[np.float32], x: NDArray[np.float32], w: NDArray[np.float32] | None
) -> float:
    """Root of the mean squared difference, weighed by column, over the root mean square of x."""
    lost = np.square(made.astype(np.float64) - x)
    mean = lost.mean() if w is None else (lost * (w / w.mean(dtype=np.float64))).mean()
    return float(np.sqrt(mean / np.square(x, dtype=np.float64).mean()))
