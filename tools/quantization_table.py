"""Writes the table of docs/quantization.md: bits, errors, and what a small model loses.

    python tools/quantization_table.py MODEL.gguf TEXT

MODEL is stories260K in F32. Its rows have 64 values, so each matrix is quantized as one long row,
and the model that computes has the values that come back, in F32.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import llmpy  # noqa: E402
from llmpy import quant  # noqa: E402
from llmpy.dtypes import BY_NAME  # noqa: E402
from llmpy.format import Typed, write_gguf  # noqa: E402
from llmpy.quant.recipe import kept_as_it_is  # noqa: E402
from tests.quant import samples  # noqa: E402

PAGE = ROOT / "docs" / "quantization.md"
TYPES = (
    "BF16", "F16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "IQ4_NL", "IQ4_XS", "Q4_1",
    "Q4_0", "MXFP4", "Q3_K", "Q2_K",
)  # fmt: skip
WINDOWS = 20


def changed(model: Path, name: str, out: Path) -> None:
    """The model with matrices that were stored as `name` in between."""
    tensors: list[Any] = []
    with llmpy.open_gguf(model) as file:
        keys = {key: Typed(file.kinds[key], value) for key, value in file.metadata.items()}
        for info in file.tensors.values():
            values = quant.dequantize(info.dtype, file.data(info.name), info.shape)
            if not kept_as_it_is(info.name, info.shape):
                row = values.reshape(1, -1)
                values = quant.dequantize(name, quant.quantize(name, row), row.shape)
            tensors.append((info.name, BY_NAME["F32"], info.shape, values))
    write_gguf(out, keys, tensors)


def gaussian_error(name: str) -> float:
    """On values of a normal distribution, over their size."""
    x = np.random.default_rng(0).standard_normal((256, 1024)).astype(np.float32)
    y = quant.dequantize(name, quant.quantize(name, x), x.shape)
    return float(np.sqrt(np.square(x - y).mean() / np.square(x).mean()))


def ratio(name: str) -> str:
    """Our error over the other engine's, on the rows of the tests."""
    goldens = json.loads(samples.GOLDENS.read_text(encoding="utf-8"))["errors"]
    theirs = goldens.get(f"{name} gaussian")
    if theirs is None:
        return "1 (same bytes)"
    x = samples.rows("gaussian")
    made = quant.dequantize(name, quant.quantize(name, x), x.shape)
    return f"{samples.weighted_error(made, x, None) / theirs:.3f}"


def row(name: str, base: llmpy.Model, model: Path, text: str, folder: Path) -> str:
    changed(model, name, folder / "model.gguf")
    with llmpy.load(folder / "model.gguf", kv_dtype="f32") as made:
        apart = llmpy.divergence(made, base, text, n_windows=WINDOWS)
    dtype = BY_NAME[name]
    return (
        f"| {name} | {8 * dtype.size / dtype.block:.4g} | {gaussian_error(name):.4%} "
        f"| {ratio(name)} "
        f"| {apart.perplexity.value:.2f} | {apart.mean:.5f} | {apart.same_top:.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    given = parser.parse_args()
    text = given.text.read_bytes()[:60000].decode()
    with llmpy.load(given.model, kv_dtype="f32") as base, tempfile.TemporaryDirectory() as folder:
        found = llmpy.perplexity(base, text, n_windows=WINDOWS)
        rows = [
            "| type | bits | error | to the other's | perplexity | divergence | same top |",
            "|---|---|---|---|---|---|---|",
            f"| F32 | 32 | 0 | - | {found.value:.2f} | 0 | 100% |",
            *(row(name, base, given.model, text, Path(folder)) for name in TYPES),
        ]
    page = PAGE.read_text(encoding="utf-8")
    table = "<!-- table -->\n" + "\n".join(rows) + "\n<!-- end -->"
    PAGE.write_text(re.sub(r"<!-- table -->.*?<!-- end -->", table, page, flags=re.S), "utf-8")


if __name__ == "__main__":
    main()
