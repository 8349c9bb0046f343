"""No file can kill the process: each mutant of a model is refused by name, or generates."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmpy import errors
from tests.format.mutants import mutants

ALLOWED = {"ok", *errors.__all__}
WORKER = Path(__file__).with_name("hostile_worker.py")


@pytest.fixture(params=["cpu", "reference"])
def worker(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], str]]:
    """A process that loads a file and says what happened; replaced by a new one when it dies."""
    process: subprocess.Popen[str] | None = None

    def ask(path: Path) -> str:
        nonlocal process
        if process is None or process.poll() is not None:
            process = subprocess.Popen(
                [sys.executable, WORKER, request.param],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        return process.stdout.readline().strip() or f"the process died ({process.wait()})"

    yield ask
    if process is not None:
        process.communicate()


def test_mutants_of_a_model_are_refused_or_generate(
    worker: Callable[[Path], str], shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    data = shared_data("weights/stories260K/stories260K.gguf").read_bytes()
    outcomes: Counter[str] = Counter()
    wrong = {}
    path = tmp_path / "mutant.gguf"
    for label, mutant in mutants(data):
        path.write_bytes(mutant)
        found = worker(path)
        outcomes[found] += 1
        if found not in ALLOWED:
            wrong[label] = found
    assert not wrong
    assert outcomes.total() >= 1500
    assert outcomes["ok"] < outcomes.total() / 2


def test_real_files_that_are_no_models_of_ours_are_refused(
    worker: Callable[[Path], str], shared_data: Callable[[str], Path]
) -> None:
    files = [p for p in shared_data("legacy").iterdir() if p.is_file()]
    files += list(shared_data("vocab").glob("*.gguf"))
    files += list(shared_data("text").iterdir())
    outcomes = {path.name: worker(path) for path in files}
    assert set(outcomes.values()) <= {"ModelFileError", "UnsupportedModelError"}
