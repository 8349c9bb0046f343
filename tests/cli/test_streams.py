"""Commands whose standard streams are closed, full, or what no text can be read from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy.cli import COMMANDS
from tests.cli.conftest import BACKEND

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
ENDLESS = ("app", "discord", "ps", "rm", "serve", "stop")  # serve, or cannot be done twice
CLOSED = {"no stdout": ">&-", "no stderr": "2>&-", "none": "<&- >&- 2>&-"}
ALONE = [name for name in COMMANDS if name not in ENDLESS]
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
Done = subprocess.CompletedProcess[str]
Arguments = dict[str, tuple[object, ...]]


def shell(*arguments: object, redirected: str = "") -> Done:
    """Run `llmpy` in a shell, with redirections."""
    line = 'exec "$0" -m llmpy "$@" ' + redirected
    command = ["sh", "-c", line, sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def arguments(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    """Each command doing something."""
    tmp_path = tmp_path_factory.mktemp("streams")
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a little girl. " * 40, encoding="utf-8")
    chain = tmp_path / "chain.yaml"
    chain.write_text("steps:\n- complete: '{{text}}'\n  max_tokens: 2\n", encoding="utf-8")
    flow = tmp_path / "flow.json"
    nodes = [
        {"id": "a", "type": "text", "data": {"text": "Once"}},
        {"id": "b", "type": "output"},
    ]
    wire = {"source": "a", "sourceHandle": "value", "target": "b", "targetHandle": "value"}
    flow.write_text(json.dumps({"nodes": nodes, "edges": [wire]}), encoding="utf-8")
    model = ("-m", stories)
    llmpy.copy_model(stories, "streams")
    engine = ("--backend", BACKEND)
    return {
        "anywhere": ("anywhere", "--config", tmp_path / "anywhere.toml", "--check"),
        "bench": ("bench", *model, *engine, "-p", 4, "-n", 2, "-r", 1),
        "chat": ("chat", *model, *engine, "--template", "alpaca", "-p", "Once", "-n", 2, "--stats"),
        "convert": ("convert", stories, tmp_path / "out.gguf"),
        "cp": ("cp", "streams", "streams:2"),
        "dates": ("dates", "Spring 1915"),
        "default": ("default", "streams"),
        "doctor": ("doctor",),
        "embed": ("embed", *model, *engine, "Once"),
        "flow": ("flow", "run", flow),
        "imatrix": ("imatrix", *model, *engine, "-f", text, "-c", 64, "--windows", 1,
                    "-o", tmp_path / "out.gguf"),
        "infer": ("infer", *model, *engine, "-p", "Once", "-n", 2, "--stats"),
        "info": ("info", *model),
        "ls": ("ls",),
        "perplexity": ("perplexity", *model, *engine, "-f", text, "-c", 64, "--windows", 1),
        "plan": ("plan", stories),
        "pull": ("pull", stories, "--as", "streams"),
        "quantize": ("quantize", stories, tmp_path / "out.gguf", "f16"),
        "repl": ("repl", *model, *engine, "--template", "alpaca", "-p", "Once", "-n", 2),
        "run-chain": ("run-chain", *model, chain, "Once"),
        "show": ("show", "streams"),
        "tokens": ("tokens", *model, "Once upon a time"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def usual(arguments: Arguments) -> Callable[[str], Done]:
    """What a command does with all streams open."""
    return cache(lambda command: shell(*arguments[command]))


@pytest.mark.parametrize("redirected", CLOSED.values(), ids=CLOSED.keys())
@pytest.mark.parametrize("command", ALONE)
def test_a_command_works_without_a_stream(
    arguments: Arguments, usual: Callable[[str], Done], command: str, redirected: str
) -> None:
    expected, done = usual(command), shell(*arguments[command], redirected=redirected)
    assert done.returncode == expected.returncode == 0
    assert "Traceback" not in done.stderr
    assert (done.stdout == "") == (">&-" in redirected.split() or expected.stdout == "")


@pytest.mark.parametrize("redirected", CLOSED.values(), ids=CLOSED.keys())
@pytest.mark.parametrize("wrong", [("nosuch",), ("info", "-m", "missing.gguf")], ids=str)
def test_a_failure_has_its_exit_code_without_a_stream(
    wrong: tuple[str, ...], redirected: str
) -> None:
    expected, done = shell(*wrong), shell(*wrong, redirected=redirected)
    assert done.returncode == expected.returncode > 0
    assert done.stderr in (expected.stderr, "")


@pytest.mark.parametrize("command", ["chat", "infer", "tokens"])
def test_a_prompt_from_a_closed_stdin_is_a_failure(stories: Path, command: str) -> None:
    prompt = ("-",) if command == "tokens" else ("-p", "-")
    done = shell(command, "-m", stories, *prompt, redirected="<&-")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "llmpy: stdin: expected a text, found it closed\n"


def test_a_file_that_is_written_never_becomes_a_closed_stream(
    arguments: Arguments,
) -> None:
    """Otherwise what is said on stderr would be in the model."""
    out = Path(str(arguments["convert"][2]))
    shell(*arguments["convert"])
    expected = out.read_bytes()
    shell(*arguments["convert"], redirected=CLOSED["none"])
    assert out.read_bytes() == expected


@full
@pytest.mark.parametrize("command", ["chat", "convert", "imatrix", "infer", "quantize"])
def test_a_full_stderr_stops_nothing(
    arguments: Arguments, usual: Callable[[str], Done], command: str
) -> None:
    expected = usual(command)
    done = shell(*arguments[command], redirected="2> /dev/full")
    assert done.returncode == expected.returncode == 0
    assert len(done.stdout.splitlines()) == len(expected.stdout.splitlines())


@full
@pytest.mark.parametrize("command", ["chat", "infer", "info"])
def test_a_full_stdout_is_a_failure_in_one_line(arguments: Arguments, command: str) -> None:
    done = shell(*arguments[command], redirected="> /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("llmpy: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["infer", "chat"])
def test_a_pipe_comes_after_the_prompt(stories: Path, command: str, tmp_path: Path) -> None:
    """As a pipe, a file, or written into -p: the same; an empty pipe and a device add nothing."""
    options = ["--template", "alpaca"] if command == "chat" else []
    fixed = [sys.executable, "-m", "llmpy", command, "-m", str(stories), "-n", "20"]
    fixed += ["--temperature", "0", *options, "-p"]

    def output_of(prompt: str, **redirected: Any) -> bytes:
        options = {"capture_output": True, "timeout": 60, "check": True} | redirected
        done: subprocess.CompletedProcess[bytes] = subprocess.run([*fixed, prompt], **options)
        return done.stdout

    file = tmp_path / "text"
    file.write_bytes(b"One day a cat\n")
    expected = output_of("Once upon\n\nOne day a cat", stdin=subprocess.DEVNULL)
    assert output_of("Once upon", input=b"One day a cat\n") == expected
    with file.open("rb") as stdin:
        assert output_of("Once upon", stdin=stdin) == expected
    alone = output_of("Once upon", stdin=subprocess.DEVNULL)
    assert alone != expected
    assert output_of("Once upon", input=b"\n") == alone
    assert output_of("-", input=b"Once upon\n") == alone
