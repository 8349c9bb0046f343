"""The examples of docs/chains.md run, and what the page shows is what is printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmpy import chains
from tests.repository import sources

PAGE = (sources.ROOT / "docs" / "chains.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
PYTHON = [code for kind, code in BLOCKS if kind == "python"]


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_an_example_runs(code: str, smollm2: Path, minilm: Path, tmp_path: Path) -> None:
    shutil.copytree(sources.ROOT / "docs" / "decisions", tmp_path / "docs" / "decisions")
    code = code.replace('"MODEL.gguf"', repr(str(smollm2))).replace('"EMBEDDER"', repr(str(minilm)))
    code = code.replace("runner=runner", "runner=runner, store='store.db'")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_page_shows_how_a_chain_prints() -> None:
    (shown,) = [code for kind, code in BLOCKS if kind == "text"]
    names: dict[str, chains.Step] = {}
    exec(PYTHON[0].split("print(chain)")[0], {}, names)
    assert f"{names['chain']}\n" == shown


def test_the_file_of_the_page_runs(smollm2: Path, tmp_path: Path) -> None:
    (file,) = [code for kind, code in BLOCKS if kind == "yaml"]
    (tmp_path / "chain.yaml").write_text(file.replace("smollm2", str(smollm2)))
    (lines,) = [code for kind, code in BLOCKS if kind == "sh"]
    for line in lines.splitlines():
        command = [sys.executable, "-m", *line.split()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
