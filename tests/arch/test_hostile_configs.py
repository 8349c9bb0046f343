"""Damaged configurations of checkpoints: each opens, or is refused with our error."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llmpy.arch.base import build
from llmpy.checkpoint.open import open_model
from llmpy.errors import LlmpyError
from tests.arch import checkpoints

STRANGE: list[Any] = [None, 0, -1, 7, 1 << 31, 1 << 70, 1.5, float("inf"), "x", [], [[1]], {"a": 1}]


def outcome(folder: Path) -> str:
    try:
        with warnings.catch_warnings(action="ignore"), open_model(folder) as file:
            build(file, {name: info.shape for name, info in file.tensors.items()})
        return "opened"
    except LlmpyError as error:
        str(error).encode()
        return "refused"


@pytest.mark.parametrize("name", ["apertus", "llama3", "mixtral", "phi3-long", "qwen35"])
def test_a_damaged_configuration_opens_or_is_refused(name: str, tmp_path: Path) -> None:
    golden = checkpoints.load_golden(name)
    weights = golden.weights(checkpoints.spec(name))
    folder = checkpoints.write(tmp_path / name, golden.about["config"], weights)
    config = json.loads((folder / "config.json").read_text())
    rope = config["rope_parameters"]
    found: Counter[str] = Counter()
    for new in STRANGE:
        for key in config:
            (folder / "config.json").write_text(json.dumps({**config, key: new}))
            found[outcome(folder)] += 1
        for key in rope:
            damaged = {**config, "rope_parameters": {**rope, key: new}}
            (folder / "config.json").write_text(json.dumps(damaged))
            found[outcome(folder)] += 1
    assert found["refused"] > 50
    assert found["opened"] > 50
