"""The goldens, made again in the original implementations: `pytest -m parity`.

The Python of an environment with torch and transformers is this one, or the one that
LLMPY_TORCH_PYTHON names; with LLMPY_PEER_PYTHON, llama.cpp is asked too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arch import checkpoints

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("LLMPY_TORCH_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def torch_python() -> str:
    command = [PYTHON, "-c", "import torch, transformers"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"{PYTHON} has no torch and transformers (set LLMPY_TORCH_PYTHON)")
    return PYTHON


@pytest.mark.parity
@pytest.mark.parametrize("name", checkpoints.names())
def test_the_original_still_says_the_same(name: str, torch_python: str) -> None:
    command = [torch_python, ROOT / "tools" / "make_goldens.py", "--check", name]
    if peer := os.environ.get("LLMPY_PEER_PYTHON"):
        command += ["--peer-python", peer]
    elif checkpoints.spec(name).shapes:
        pytest.skip(f"only llama.cpp has {name} (set LLMPY_PEER_PYTHON)")
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
