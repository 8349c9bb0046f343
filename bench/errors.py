"""How far products are from float64's, on activations like those of real models.

Relative root mean square error of `linear` for each storage type, from the product of the same
dequantized weights with the same activations in float64: so it is what an engine adds by rounding
activations. Beside it the same error if activations had an 8-bit scale for each 32 (as llama.cpp
has it) or for each 256 inputs, computed in NumPy.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from kernels import TYPES, Small
from numpy.typing import NDArray
from table import short, write

from llmpy import quant
from llmpy.backends.cpu.backend import CpuBackend

WIDTH, ROWS, TOKENS = 1536, 512, 64
OUTLIERS = Path(__file__).parents[1] / "tools" / "outliers_smollm2.json"
HEADING = "| weights | Gaussian | behind a norm | behind a gate |\n|---|---|---|---|"

Array = NDArray[np.float32]


def activations() -> dict[str, Array]:
    """Three kinds, [TOKENS, WIDTH]: plain, channels as unequal as SmolLM2's, and gated."""
    rng = np.random.default_rng(5)
    quantiles = json.loads(OUTLIERS.read_text(encoding="utf-8"))

    def gaussian() -> Array:
        return rng.standard_normal((TOKENS, WIDTH), np.float32)

    def channels(kind: str) -> Array:
        known = quantiles[kind]
        at = (rng.permutation(WIDTH) + 0.5) / WIDTH
        return np.interp(at, np.linspace(0, 1, len(known)), known).astype(np.float32)

    gate = gaussian()
    gated = gate / (1 + np.exp(-gate)) * gaussian() * channels("ffn_down")
    return {
        "Gaussian": gaussian(),
        "behind a norm": gaussian() * channels("attn_q"),
        "behind a gate": gated.astype(np.float32),
    }


def rounded(x: Array, block: int) -> Array:
    """`x` with a scale for each `block` inputs and 8 bits."""
    blocks = x.reshape(len(x), -1, block)
    scale = np.abs(blocks).max(axis=2, keepdims=True) / 127
    result: Array = (np.rint(blocks / scale) * scale).reshape(x.shape)
    return result


def error(found: NDArray, exact: NDArray) -> float:
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))


def errors_of(engine: CpuBackend, dtype: str, inputs: dict[str, Array]) -> list[float]:
    """The error of products with weights of one type, for each kind of activations."""
    values = np.random.default_rng(6).standard_normal((ROWS, WIDTH), np.float32)
    weights = np.ascontiguousarray(quant.quantize(dtype, values)).reshape(-1).view(np.uint8)
    exact = quant.dequantize(dtype, weights, (ROWS, WIDTH)).astype(np.float64)
    found = []
    for x in inputs.values():
        small = Small(
            engine, WIDTH, lambda x, w: x.linear(w.up), dtype, {"up": (ROWS, WIDTH)},
            data={"up.weight": weights, "x.weight": x.reshape(-1).view(np.uint8)},
        )  # fmt: skip
        found.append(error(small.outputs(TOKENS), x.astype(np.float64) @ exact.T))
        small.plan.close()
    return found


def lines() -> list[str]:
    engine = CpuBackend(n_threads=1, max_tokens=TOKENS)
    inputs = activations()
    found = [(dtype, errors_of(engine, dtype, inputs)) for dtype in TYPES]
    weights = np.random.default_rng(6).standard_normal((ROWS, WIDTH))
    for block in (32, 256):
        name = f"any, activations in 8 bits with a scale for {block}"
        products = [(rounded(x, block) @ weights.T, x @ weights.T) for x in inputs.values()]
        found.append((name, [error(*both) for both in products]))
    return [f"| {name} | " + " | ".join(short(e) for e in each) + " |" for name, each in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--write", type=Path, help="put the table into this page, between its marks"
    )
    arguments = parser.parse_args()
    text = "\n".join([HEADING, *lines()])
    print(text)
    if arguments.write:
        write(arguments.write, "errors.py", text)


if __name__ == "__main__":
    sys.exit(main())
