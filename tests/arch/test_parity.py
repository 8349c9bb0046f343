"""The goldens, made again in the original implementations: `pytest -m parity`.

The Python of an environment with torch and transformers is this one, or the one that
LLMPY_TORCH_PYTHON names; with LLMPY_PEER_PYTHON, llama.cpp is asked too. LLMPY_LLAMA_CPP is a
folder with the sources of llama.cpp, whose converter then makes files of the same models.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
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
    command: list[str | Path] = [torch_python, ROOT / "tools" / "make_goldens.py", "--check", name]
    if peer := os.environ.get("LLMPY_PEER_PYTHON"):
        command += ["--peer-python", peer]
    elif checkpoints.spec(name).shapes:
        pytest.skip(f"only llama.cpp has {name} (set LLMPY_PEER_PYTHON)")
    done = run(command)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parity
@pytest.mark.parametrize("name", [n for n in checkpoints.names() if checkpoints.spec(n).causal])
def test_files_of_another_converter_give_the_same(name: str, torch_python: str) -> None:
    if not (sources := os.environ.get("LLMPY_LLAMA_CPP")):
        pytest.skip("no sources of llama.cpp (set LLMPY_LLAMA_CPP)")
    done = run([torch_python, ROOT / "tools" / "peer_files.py", sources, name])
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    if "not converted" in done.stdout:
        pytest.skip(done.stdout)  # by its own converter


@pytest.mark.parity
@pytest.mark.parametrize("name", checkpoints.names())
def test_the_array_backend_on_torch_gives_the_golden(name: str, torch_python: str) -> None:
    needed = [torch_python, "-c", "import array_api_compat"]
    if subprocess.run(needed, capture_output=True, check=False).returncode:
        pytest.skip(f"{torch_python} has no array_api_compat")
    done = run([torch_python, ROOT / "tools" / "check_array_backend.py", "torch", name])
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
