"""The packed layout that docs/architecture.md explains is the library's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmpy import dtypes, quant
from llmpy.ffi import library, view

packing = pytest.importorskip("llmpy.backends.cpu.packing")

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
Q4_0 = dtypes.BY_NAME["Q4_0"]


@pytest.fixture(scope="module")
def page() -> dict[str, Callable[..., Any]]:
    """The functions of the page's example."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    functions: dict[str, Any] = {}
    exec(code, functions)
    return functions


def blocks(n_in: int, seed: int) -> np.ndarray[Any, Any]:
    weights = np.random.default_rng(seed).normal(size=(16, n_in)).astype(np.float32)
    return np.frombuffer(quant.quantize(Q4_0, weights), np.uint8).reshape(16, -1)


@pytest.mark.parametrize("n_in", [32, 96, 256, 512, 608])
def test_packed_bytes_are_those_of_the_library(page: dict[str, Any], n_in: int) -> None:
    data = blocks(n_in, n_in)
    weights = packing.Weights("w", Q4_0.id, (16, n_in), data)
    weights.pack(0, 1)
    size = library().llmpy_packed_bytes(Q4_0.id, 16, n_in)
    packed = view(weights._memory.address, (size,), np.uint8).tobytes()
    expected = page["pack"](data.reshape(16, -1, 18))
    assert packed[: len(expected)] == expected
    assert size - len(expected) < 64  # groups end at whole cache lines


def test_the_kernel_of_the_page_multiplies(page: dict[str, Any]) -> None:
    data = blocks(512, 1)
    x = np.random.default_rng(2).normal(size=512).astype(np.float32)
    exact = quant.dequantize(Q4_0, data, (16, 512)) @ x
    found = page["multiply"](page["pack"](data.reshape(16, -1, 18)), x)
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()
