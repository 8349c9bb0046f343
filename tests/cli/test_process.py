"""The command as a process: interrupted, cut off, and called for help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import llmpy
from llmpy.cli import COMMANDS
from tests.repository import sources

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
LLMPY = [sys.executable, "-m", "llmpy"]


@posix
def test_an_interrupt_keeps_the_text_so_far(start) -> None:
    process = start("-p", "Once upon a time")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    text = out.decode()
    assert process.returncode == 130
    assert text.startswith("Once upon a time, there")
    assert text.endswith("\n")
    assert len(text) < 200
    assert err == b"llmpy: interrupted\n"


@posix
def test_an_interrupt_with_json_gives_the_text_so_far(start) -> None:
    process = start("-p", "Once upon a time", "--json")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    found = json.loads(out)
    assert process.returncode == 130
    assert found["finish_reason"] == "interrupted"
    assert found["text"].startswith("Once upon a time")
    assert err == b"llmpy: interrupted\n"


@posix
def test_a_reader_that_has_seen_enough_causes_no_noise(start) -> None:
    process = start("-p", "Once upon a time")
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) == 1


@posix
def test_a_long_list_can_be_cut_off(stories: Path) -> None:
    command = [*LLMPY, "info", "-k", "-t", "-m", str(stories)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=str)
def test_help_is_printed_on_stdout(run, command: tuple[str, ...]) -> None:
    done = run(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(" ".join(["Usage: llmpy", *command]))
    assert all(name in done.out for name in COMMANDS) or command


def test_the_version_is_that_of_the_package(run) -> None:
    try:
        version = metadata.version("llmpy")
    except metadata.PackageNotFoundError:
        pytest.skip("llmpy runs from its sources here, not installed")
    assert run("--version").out.split() == ["llmpy,", "version", version]


def test_warnings_are_one_line_without_a_place_in_the_code(stories: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LLMPY_LIBRARY": str(tmp_path / "none.so")}
    done = subprocess.run(
        [*LLMPY, "infer", "-m", str(stories), "-p", "Once", "-n", "1"],
        capture_output=True,
        env=environment,
        text=True,
        check=True,
    )
    assert done.stderr.startswith("llmpy: warning: ")
    assert done.stderr.count("\n") == 1
    assert ".py" not in done.stderr


def test_an_interrupt_while_imports_go_on_is_one_line() -> None:
    early = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(name, path, target=None):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt)\n"
        "from llmpy.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", early], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"llmpy: interrupted\n")


def test_the_entry_point_is_there_before_anything_slow_is_imported() -> None:
    """An interrupt before it would print Python's traceback."""
    package = Path(llmpy.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(package)!r}); before = set(sys.modules)\n"
    code += "import llmpy.__main__; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, check=True)
    assert done.stdout.split() == [b"__future__", b"llmpy", b"llmpy.__main__"]


def test_the_command_begins_at_the_entry_point() -> None:
    project = tomllib.loads((sources.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"llmpy": "llmpy.__main__:main"}
