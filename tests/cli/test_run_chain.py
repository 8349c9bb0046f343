"""`llmpy run-chain`: a chain of a file, its values, its text as it comes, its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

CHAIN = """
steps:
- call: double
  read: [text]
- complete: "{{text}} {{end}}"
  max_tokens: 6
  temperature: 0
"""
FUNCTIONS = '''
def double(text: str) -> str:
    """Return the text twice."""
    return f"{text} {text}"
'''


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "chain.yaml").write_text(CHAIN)
    return tmp_path / "chain.yaml"


def test_the_text_of_the_last_step_is_printed(
    run: Callable[..., Result], stories: Path, chain: Path
) -> None:
    functions = chain.with_name("functions.py")
    options = ("run-chain", "-m", stories, "--functions", functions, "--set", "end=girl", chain)
    result = run(*options, "Once")
    assert (result.code, result.err) == (0, "")
    assert result.out == run(*options, "-", stdin=b"Once\n").out
    value = json.loads(run(*options, "--json", "Once").out)
    assert result.out == f"{value}\n"
    assert value == run("infer", "-m", stories, "-p", "Once Once girl", "--temperature", 0, "-n", 6,
                        "--hide-prompt").out.rstrip("\n")  # fmt: skip


def test_show_prints_the_chain_and_runs_nothing(run: Callable[..., Result], chain: Path) -> None:
    result = run("run-chain", "--show", chain)
    assert result.code == 0
    assert result.out.splitlines()[0] == "steps (text: any, end: any)"


def test_the_trace_and_the_cache_are_files(
    run: Callable[..., Result], stories: Path, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("complete: '{{text}}'\nmax_tokens: 5\n")
    options = ("run-chain", "-m", stories, "--cache", tmp_path / "c.db", "--trace", tmp_path / "t")
    outs = {run(*options, tmp_path / "c.yaml", "Once").out for _ in range(2)}
    assert len(outs) == 1
    events = [json.loads(line)["event"] for line in (tmp_path / "t").read_text().splitlines()]
    assert events == ["start", "value", "cached"]


def test_a_conversation_goes_on_from_its_file(
    run: Callable[..., Result], smollm2: Path, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("converse: '{{text}}'\nmax_tokens: 8\n")
    memory = tmp_path / "memory.json"
    for text in ("Hello.", "And now?"):
        options = ("run-chain", "-m", smollm2, "-c", 512, "--memory", memory)
        assert run(*options, tmp_path / "c.yaml", text).code == 0
    messages = json.loads(memory.read_text())["messages"]
    assert [message["content"] for message in messages[::2]] == ["Hello.", "And now?"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "the chain reads text, end: give TEXT, --set end=VALUE"),
        (["a"], 2, "the chain reads text, end: give --set end=VALUE"),
        (["--set", "end", "a"], 2, "--set: expected NAME=VALUE, found 'end'"),
        (["--set", "end=b", "--set", "x=b", "a"], 2, "reads text, end, found a value for 'x'"),
        (["--set", "end=b", "a"], 1, "function 'double' is none of the runner's (there is none)"),
        (["--set", "end=@nowhere.txt", "a"], 1, "nowhere.txt"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    run: Callable[..., Result], stories: Path, chain: Path, arguments: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    result = run("run-chain", "-m", stories, chain, *arguments)
    assert result.code == code
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_file_that_is_no_chain_is_named(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("hello")
    result = run("run-chain", tmp_path / "c.yaml")
    assert result.code == 1
    assert "c.yaml: chain: expected a mapping with a step, found str" in result.err
