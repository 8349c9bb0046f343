"""`llmpy flow`: what it prints, and what it says of wrong usage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmpy.apps.flow import save
from llmpy.cli import main
from tests.apps.flow.conftest import made


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    flow = made({"t": ("text", {"text": "owls"}), "p": ("prompt", {"template": "Of {{text}}"}),
                 "o": "output"}, "t.value -> p.text", "p.text -> o.value")  # fmt: skip
    flow.nodes[0].title = "topic"
    save(flow, tmp_path / "f.json")
    return tmp_path / "f.json"


def ran(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["flow", *arguments])
    return int(str(ended.value.code))


def test_run_prints_the_output(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("run", str(file)) == 0
    assert capsys.readouterr().out == "Of owls\n"


def test_set_gives_values_by_title_and_from_files(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.with_name("in.txt").write_text("two\nlines")
    assert ran("run", str(file), "--set", "topic=bats", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"Output": "Of bats"}
    assert ran("run", str(file), "--set", f"topic=@{file.with_name('in.txt')}") == 0
    assert capsys.readouterr().out == "Of two\nlines\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run"], 2, "expected llmpy flow [FILE], or llmpy flow run FILE"),
        (["run", "f.json", "g.json"], 2, "expected llmpy flow [FILE]"),
        (["run", "f.json", "--set", "topic"], 2, "--set: expected NAME=VALUE, found 'topic'"),
        (["run", "f.json", "--set", "z=1"], 1, "no input of the flow has the name 'z'"),
        (["run", "none.json"], 1, "none.json"),
        (["run", "bad.json"], 1, "bad.json: expected JSON"),
        (["bad.json", "--no-browser"], 1, "bad.json: expected JSON"),
        (["f.json", "--json"], 2, "--set, --json and --cache are for llmpy flow run FILE"),
        (["--files", "none"], 2, "none"),
        (["--host", "0.0.0.0", "--no-browser"], 1, "a key is needed"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(
    arguments: list[str], code: int, said: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.with_name("bad.json").write_text("{")
    assert ran(*arguments) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_node_that_fails_is_one_line_and_exit_code_1(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(made({"f": ("file", {"path": "../x"})}), file)
    assert ran("run", str(file)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("llmpy: File: ../x: only files below")


def test_the_page_begins_and_ends(file: Path) -> None:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "llmpy", "flow", "--no-browser", "--port", "0", str(file)],
        stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stderr is not None
    assert "flows are on http://127.0.0.1:" in process.stderr.readline()
    process.terminate()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
