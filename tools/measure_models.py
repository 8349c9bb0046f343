"""Measures how far each tiny model of tests/arch is from its golden, for docs/models.md.

    PYTHONPATH=src:. python tools/measure_models.py [NAME ...]

NAME is that of a golden (all, if none is given). The largest difference to the logits of the
original implementation, as a part of the largest logit, on both backends, and what is in the graph
are kept in the golden. make_goldens.py does the same for a new one. Needs no torch.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llmpy.checkpoint.open import open_model
from llmpy.graph import Graph, is_encoder
from tests.arch import checkpoints
from tests.arch.steps import Runner, load, make_backend
from tools import generate_docs

OPERATIONS = {
    "moe": "experts",
    "linear_heads": "latent attention",
    "scan": "state spaces",
    "delta_rule": "delta rule",
    "wkv4": "recurrent",
    "conv": "convolution",
    "rope": "rotation",
    "embed_position": "learned positions",
}
ATTENTION = {"alibi": "ALiBi", "window": "sliding window", "softcap": "capped scores"}


def features(graph: Graph) -> list[str]:
    """What a graph has, in the words of the table."""
    found = [word for op, word in OPERATIONS.items() if any(n.op == op for n in graph.nodes)]
    attends = [node for node in graph.nodes if node.op == "attend"]
    found += [
        word for key, word in ATTENTION.items() if any(getattr(n.attrs, key) for n in attends)
    ]
    if any(node.weights for node in attends):
        found.append("attention sinks")
    if is_encoder(graph):
        found.append("encoder")
    return found


def error(runner: Runner, golden: checkpoints.Golden, causal: bool) -> float:
    """Of all tokens at once and, where tokens see only earlier ones, of one after another."""
    embedding = next(n for n in runner.graph.nodes if n.op == "embed").weights[0]
    tokens = list(checkpoints.prompt(runner.graph.shapes[embedding][0]))
    read = [runner.whole(tokens)]
    if causal:
        read.append(runner.read(tokens, [1] * len(tokens)))
    scale = np.abs(golden.logits).max()
    return max(float(np.abs(logits - golden.logits).max() / scale) for logits in read)


def measure(spec: checkpoints.Spec, golden: checkpoints.Golden) -> dict[str, Any]:
    """One model, written as a checkpoint and loaded from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoints.write(
            Path(folder, "model"), golden.about["config"], golden.weights(spec), spec.relative
        )
        with open_model(path) as file:
            found: dict[str, Any] = {"architecture": file.metadata["general.architecture"]}
        for backend in ("reference", "cpu"):
            runner = load(path, make_backend(backend))
            found["features"] = features(runner.graph)
            found[backend] = rounded(error(runner, golden, spec.causal))
    return found


def measured(spec: checkpoints.Spec, golden: checkpoints.Golden) -> checkpoints.Golden:
    """The same golden with what `measure` finds now."""
    return replace(golden, about={**golden.about, "measured": measure(spec, golden)})


def rounded(number: float) -> float:
    """To one digit, so that the page does not change with every machine."""
    return float(f"{number:.0e}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*")
    for name in parser.parse_args().names or checkpoints.goldens():
        golden = measured(checkpoints.spec(name), checkpoints.load_golden(name))
        checkpoints.save_golden(name, golden)
        print(name, golden.about["measured"], flush=True)
    generate_docs.write()


if __name__ == "__main__":
    main()
