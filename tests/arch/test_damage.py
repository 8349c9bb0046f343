"""Whatever metadata and shapes say, an architecture gives a graph or a typed error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from llmpy.arch.base import build
from llmpy.checkpoint.open import open_model
from llmpy.errors import ModelFileError
from tests.arch import checkpoints

N_MUTANTS = 25
VALUES: list[Any] = [
    *(0, -1, 1, 3, 7, 2**31 - 1, 2**40, -(2**63), 0.0, 1e-300, 1e38, float("nan"), float("inf")),
    *("x", "", b"x", True, False, None, [], [1, 2], [0], [[1]], ["a"], [True, False], {}),
    *(np.array([1, 2]), np.array([], np.int32)),
]
SIZES = [1, 2, 3, 63, 64, 65, 10**6]
SHAPES = [(1,), (64,), (64, 64), (3, 4, 5), (2, 2, 2, 2)]


@dataclass
class Source:
    """Metadata without a file."""

    metadata: Mapping[str, Any]
    path: str = "mutant"

    def where(self, key: str) -> int | None:
        return 0 if key in self.metadata else None


def mutate(random: Random, metadata: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    """One value, key, dimension, shape or tensor is not what it was."""
    key = random.choice([k for k in metadata if not k.startswith(("tokenizer.", "general."))])
    name = random.choice(list(shapes))
    kind = random.choice(["value", "value", "value", "no key", "size", "shape", "no tensor"])
    if kind == "value":
        metadata[key] = random.choice(VALUES)
    elif kind == "no key":
        del metadata[key]
    elif kind == "size":
        sizes = list(shapes[name])
        sizes[random.randrange(len(sizes))] = random.choice(SIZES)
        shapes[name] = tuple(sizes)
    elif kind == "shape":
        shapes[name] = random.choice(SHAPES)
    else:
        del shapes[name]


@pytest.mark.parametrize("name", checkpoints.goldens())
def test_a_damaged_file_is_refused_or_makes_a_graph(name: str, tmp_path: Path) -> None:
    spec, golden = checkpoints.spec(name), checkpoints.load_golden(name)
    weights = golden.weights(spec)
    checkpoints.write(tmp_path / "model", golden.about["config"], weights, spec.relative)
    with open_model(tmp_path / "model") as file:
        metadata = dict(file.metadata)
        shapes = {name: info.shape for name, info in file.tensors.items()}
    random, refused = Random(name), 0  # seeded
    for _ in range(N_MUTANTS):
        keys, sized = dict(metadata), dict(shapes)
        for _ in range(random.choice([1, 1, 2])):
            mutate(random, keys, sized)
        try:
            build(Source(keys), sized, random.choice([0, 0, 10**6]))
        except ModelFileError:
            refused += 1
    assert refused > N_MUTANTS // 4
