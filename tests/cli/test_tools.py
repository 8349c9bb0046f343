"""--tools of `llmpy infer` and `llmpy chat`: calls as steps on stderr, the answer on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

TOOLS = '''
from json import dumps


def get_weather(city: str) -> str:
    """Return the weather forecast of a city.

    Args:
        city: the name of the city
    """
    return dumps({"city": city, "weather": "sunny"})


def _hidden():
    pass
'''
QUESTION = "What is the weather in Paris?"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tools.py"
    file.write_text(TOOLS)
    return file


@pytest.mark.parametrize("command", ["infer", "chat"])
def test_calls_are_steps(
    run: Callable[..., Result], smollm2: Path, file: Path, command: str
) -> None:
    fixed = (command, "-m", smollm2, "--temperature", 0, "-n", 60, "--tools", file)
    fixed += ("--tool-choice", "get_weather")
    result = run(*fixed, "-p", QUESTION)
    assert result.code == 0
    assert 'get_weather(city="Paris")\n-> {"city": "Paris", "weather": "sunny"}' in result.err
    assert result.out.strip()
    found = json.loads(run(*fixed, "-p", QUESTION, "--json").out)
    assert [m["role"] for m in found["messages"]][:3] == ["user", "assistant", "tool"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "expected functions, found none"),
        ("def f(:", "SyntaxError"),
        ("raise OSError('no')", "OSError: no"),
        ("def f(*a): pass", "expected one that can be given by name"),
        ("def f(a: complex): pass", "a type that JSON can express"),
    ],
)
def test_a_file_without_tools_is_refused(
    run: Callable[..., Result], smollm2: Path, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "tools.py"
    file.write_text(text)
    result = run("chat", "-m", smollm2, "-p", "Hi", "--tools", file)
    assert result.code == 2
    assert message in " ".join(result.err.split())


def test_constraints_are_for_answers_without_tools(
    run: Callable[..., Result], smollm2: Path, file: Path
) -> None:
    result = run("chat", "-m", smollm2, "-p", "Hi", "--tools", file, "--choices", "a")
    assert result.code == 2
    assert "--tools excludes" in result.err
    result = run("chat", "-m", smollm2, "-p", "Hi", "--tools", file, "--tool-choice", "x")
    assert "expected auto, required, none, get_weather" in " ".join(result.err.split())
    assert "needs --tools" in run("chat", "-m", smollm2, "--tool-choice", "x", "-p", "Hi").err
