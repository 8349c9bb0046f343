"""Writes the tables of docs/quantization.md: bits, errors, and what two models lose.

    python tools/quantization_table.py TEXT --small stories260K.gguf --large 1b-f16.gguf

Rows of stories260K have 64 values, so each matrix is quantized as one long row, and the model that
computes has the values that come back, in F32. The large one is of tools/random_gguf.py; it is
quantized by `quantize`, and computes as it would for any user.
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
MIXTURES = (
    "q8_0", "q6_k", "q5_k_m", "q5_1", "q5_0", "q4_k_m", "iq4_nl", "iq4_xs", "q4_1", "q4_0", "mxfp4",
    "q3_k_m", "q2_k",
)  # fmt: skip
WINDOWS = 20
LARGE_WINDOWS = 2


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


def small_table(model: Path, text: str, folder: Path) -> list[str]:
    """Every type, on stories260K."""
    with llmpy.load(model, kv_dtype="f32") as base:
        found = llmpy.perplexity(base, text, n_windows=WINDOWS)
        return [
            "| type | bits | error | to the other's | perplexity | divergence | same top |",
            "|---|---|---|---|---|---|---|",
            f"| F32 | 32 | 0 | - | {found.value:.2f} | 0 | 100% |",
            *(row(name, base, model, text, folder) for name in TYPES),
        ]


def large_table(model: Path, text: str, folder: Path) -> list[str]:
    """Every mixture, on a large model with random weights."""
    lines = ["| mixture | file | divergence | same top |", "|---|---|---|---|"]
    made = folder / "large.gguf"
    with llmpy.load(model, n_ctx=512) as base:
        for kind in MIXTURES:
            made.unlink(missing_ok=True)
            llmpy.quantize(model, made, kind)
            with llmpy.load(made, n_ctx=512) as smaller:
                apart = llmpy.divergence(smaller, base, text, n_windows=LARGE_WINDOWS)
            size = made.stat().st_size / 2**20
            lines.append(f"| {kind} | {size:.0f} MiB | {apart.mean:.5f} | {apart.same_top:.1%} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--small", type=Path, metavar="MODEL")
    parser.add_argument("--large", type=Path, metavar="MODEL")
    given = parser.parse_args()
    text = given.text.read_bytes()[:60000].decode()
    for name, model, make in (
        ("table", given.small, small_table),
        ("large", given.large, large_table),
    ):
        if model is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows = make(model, text, Path(folder))
        page = PAGE.read_text(encoding="utf-8")
        table = f"<!-- {name} -->\n" + "\n".join(rows) + "\n<!-- end -->"
        PAGE.write_text(
            re.sub(rf"<!-- {name} -->.*?<!-- end -->", table, page, flags=re.S), "utf-8"
        )


if __name__ == "__main__":
    main()
