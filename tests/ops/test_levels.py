"""Which tests run again at each level: those whose results it may change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.ops.harness import LEVELS

FILES = ["tests/ops/test_recurrent.py", "tests/session/test_recurrent.py"]


def collected(level: str) -> list[str]:
    """The names of the tests there are with LLMPY_CPU."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *FILES]
    environment = {**os.environ, "LLMPY_CPU": level}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_with_a_level_other_backends_and_levels_are_left_out() -> None:
    every, again = collected(""), collected("portable")
    elsewhere = re.compile(rf"\b({'|'.join(['reference', 'array', 'gpu', *LEVELS])})\b")
    of_parameters = {name for name in every if elsewhere.search(name.partition("[")[2])}
    assert [name for name in every if name not in of_parameters] == again
    for there in (of_parameters, again):
        assert {name.partition("::")[0] for name in there} == set(FILES)
