"""Run every architecture from its golden on the array backend over a namespace.

    python tools/check_array_backend.py torch
    python tools/check_array_backend.py torch:cuda:0 llama qwen3

Prints the distance of each, relative to the largest logit, all tokens at once and one after the
other; ends with 1 where one is too large.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

from tests.arch import checkpoints  # noqa: E402
from tests.arch.steps import load, make_backend  # noqa: E402

NEAR, PEER = 2e-4, 5e-4  # as in tests/arch/test_goldens.py


def check(name: str, namespace: str, folder: Path) -> bool:
    """Whether an architecture gives what its golden has."""
    golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
    checkpoints.write(folder, golden.about["config"], golden.weights(spec), spec.relative)
    runner = load(folder, make_backend(f"array:{namespace}"))
    embedding = next(n for n in runner.graph.nodes if n.op == "embed").weights[0]
    tokens = list(checkpoints.prompt(runner.graph.shapes[embedding][0]))
    rows = [runner.whole(tokens)]
    if spec.causal:
        rows.append(runner.read(tokens, [1] * len(tokens)))
    far = [float(np.abs(r - golden.logits).max() / np.abs(golden.logits).max()) for r in rows]
    good = bool(np.max(far) < (PEER if "original" in golden.about else NEAR))
    distances = " ".join(f"{distance:.1e}" for distance in far)
    print(f"{name:24} {distances}{'' if good else '  TOO FAR'}", flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("namespace", help="numpy, torch, jax, cupy or mlx, and :DEVICE")
    parser.add_argument("names", nargs="*", help="goldens; default: all")
    given = parser.parse_args()
    results = []
    for name in given.names or checkpoints.goldens():
        with tempfile.TemporaryDirectory() as folder:
            results.append(check(name, given.namespace, Path(folder) / name))
    print(f"{sum(results)} of {len(results)}")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
