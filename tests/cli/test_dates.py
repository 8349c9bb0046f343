"""`llmpy dates`: lines in, lines out; what they say is the model's matter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmpy.apps import dates
from llmpy.cli import dates as program
from tests.apps.dates.stand_in import write_random

TEXTS = ["15 August 1769", "c. 450\u2013438 BC", "", "15 August 1769", "no date", "fl. 1180"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dates") / "random.gguf"
    write_random(path)
    return path


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("".join(text + "\n" for text in TEXTS), encoding="utf-8")
    return path


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_text_becomes_a_line(run, model: Path) -> None:
    done = run("dates", "-m", model, *TEXTS)
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == len(TEXTS)


def test_arguments_a_file_and_stdin_have_the_same_answers(run, model: Path, lines: Path) -> None:
    from_arguments = run("dates", "-m", model, "--json", *TEXTS)
    from_stdin = run("dates", "-m", model, "--json", stdin=lines.read_bytes())
    from_file = run("dates", "-m", model, "--json", "-f", lines)
    assert from_arguments.out == from_stdin.out == from_file.out
    assert [found["text"] for found in objects(from_file.out)] == TEXTS
    assert "6 lines (100% read)" in from_file.err


def test_an_answer_is_written_with_what_is_said_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(values: list[str], confidence: float = 0.9, **fields: str) -> str:
        found = [dates.from_edtf(value) for value in values]
        for value in found:
            for name, field in fields.items():
                object.__setattr__(value, name, field)
        return program._in_words(dates.Answer("", found, confidence), sys.stdout)

    assert shown(["1180"], kind="flourished") == "1180  flourished"
    assert shown(["11XX"], kind="flourished", part="late") == "11XX  flourished, late"
    assert shown(["1848", "1871"]) == "1848 ; 1871"
    assert shown([]) == "no date"
    assert shown(["1450"], 0.41) == "1450  ?  (confidence 0.41)"
    assert shown(["1918/1914"]) == "1918/1914  ?  (confidence 0.90)"
    capsys.readouterr()


def test_lines_of_any_length_and_any_bytes_are_answered(run, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\xef\xbb\xbf1914\r\n" + b"9" * 300_000 + b"\n\xff1918\n\n1939\xe2\x80\xa8x")
    done = run("dates", "-m", model, "--json", "-f", path)
    found = objects(done.out)
    assert [len(one["text"]) for one in found] == [4, program.LONGEST, 5, 0, 6]
    assert [found[0]["text"], found[2]["text"], found[4]["text"]] == [
        "1914",
        "\ufffd1918",
        "1939\u2028x",
    ]
    assert "1 lines are not UTF-8" in done.err


@pytest.mark.parametrize("n_bytes", [0, 1, 200, -1, None])
def test_a_file_is_resumed_behind_its_last_whole_line(
    run, model: Path, lines: Path, tmp_path: Path, n_bytes: int | None
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    run("dates", "-m", model, "--json", "-f", lines, "-o", whole)
    expected = whole.read_bytes()
    assert expected.count(b"\n") == len(TEXTS)
    out.write_bytes(expected[:n_bytes])
    n_whole = out.read_bytes().count(b"\n")
    done = run("dates", "-m", model, "--json", "-f", lines, "-o", out, "--resume")
    assert out.read_bytes() == expected
    assert (f"{n_whole} lines are done already" in done.err) == (n_whole > 0)


def test_without_resume_a_file_is_written_anew(
    run, model: Path, lines: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.write_text("as before")
    run("dates", "-m", model, "-f", lines, "-o", out)
    assert len(out.read_text().splitlines()) == len(TEXTS)
    assert "as before" not in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", "x", "1914"], "expected TEXT or -f, found both"),
        (["--resume", "1914"], "--resume needs -f and -o"),
        (["--resume", "-f", "x"], "--resume needs -f and -o"),
    ],
)
def test_wrong_usage(run, model: Path, arguments: list[str], message: str) -> None:
    done = run("dates", "-m", model, *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_missing_file_and_another_model_are_errors(run, model: Path, stories: Path) -> None:
    assert run("dates", "-m", model, "-f", "nowhere").code == 1
    done = run("dates", "-m", stories, "1914")
    assert done.code == 1
    assert "expected a model of dates" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_leaves_whole_lines_that_are_resumed(model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "lines", tmp_path / "out"
    source.write_text("".join(f"{i} AD\n" for i in range(100_000)))
    arguments = ["dates", "-m", str(model), "--json", "-f", str(source), "-o", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "llmpy", *arguments], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1] == "llmpy: interrupted"
    data = out.read_bytes()
    assert data.endswith(b"\n")
    n_lines = data.count(b"\n")
    assert objects(data.decode())[-1]["text"] == f"{n_lines - 1} AD"
