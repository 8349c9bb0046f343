"""Measures how unequal the inputs of a real model's products are, for random_gguf.py --outliers.

    llmpy imatrix -m MODEL.gguf -f TEXT -o imatrix.gguf --output
    python tools/measure_outliers.py imatrix.gguf outliers.json

For each kind of product: quantiles of the channels' root mean squares over the median one, the
median over layers. The first is the quietest channel, the last the loudest outlier.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from llmpy.quantization.importance import read_importance

QUANTILES = 65
# Products of one input are measured once.
KINDS = ("attn_q", "attn_output", "ffn_gate", "ffn_down", "output")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imatrix", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    importance = read_importance(given.imatrix)
    found: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    for name in importance.sums:
        kind = name.removesuffix(".weight").rpartition(".")[2]
        squares = importance.of(name)
        if kind in found and squares is not None:
            sizes = np.sqrt(squares.reshape(-1))
            at = np.quantile(sizes / np.median(sizes), np.linspace(0, 1, QUANTILES))
            found[kind].append(at.tolist())
    medians = {
        kind: np.median(rows, axis=0).round(4).tolist() for kind, rows in found.items() if rows
    }
    given.out.write_text(json.dumps(medians, indent=1) + "\n")


if __name__ == "__main__":
    main()
