"""docs/dates.md: what it says that is printed is printed."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llmpy.apps import dates
from tests.repository import sources

PAGE = (sources.ROOT / "docs" / "dates.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
COMMANDS = [
    (line[2:], "".join(f"{text}\n" for text in said))
    for kind, code in BLOCKS
    if kind == "sh"
    for line, *said in [part.splitlines() for part in re.split(r"^(?=\$ )", code, flags=re.M)[1:]]
]


def test_there_are_examples() -> None:
    assert len(COMMANDS) >= 4


def test_each_command_prints_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("since June 1990\n1914-18\n", encoding="utf-8")
    for command, expected in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "llmpy"
        done = subprocess.run(
            [sys.executable, "-X", "utf8", "-m", "llmpy", *arguments],
            cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=300,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, expected), done.stderr
    assert len((tmp_path / "dates.jsonl").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("code", [code for kind, code in BLOCKS if kind == "python"])
def test_each_line_of_python_gives_what_the_page_says(code: str) -> None:
    test = doctest.DocTestParser().get_doctest(code, {}, "docs/dates.md", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(test).failed == 0


def test_the_object_is_the_answer() -> None:
    (code,) = [code for kind, code in BLOCKS if kind == "json"]
    shown = json.loads(code)
    found = dates.parse(shown["text"]).as_dict()
    assert found | {"confidence": shown["confidence"]} == shown
