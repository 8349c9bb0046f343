"""Files, functions and module docstrings stay short; only tables of data may be long."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.repository import sources

LINES_OF_A_FILE = 600  # of meaning that belongs together; 350 is what to aim at
LINES_OF_A_FUNCTION = 60  # without its parameters and docstring
LINES_OF_AN_EXAMPLE = 40
LINES_OF_A_DECISION = 40
LINES_OF_A_DOCSTRING = 6  # of a module of the package
TABLES = {"tests/format/mutants.py"}  # files of data, by path from the root
DRAWN = {"src/llmpy/errors.py"}  # docstrings with a picture


def length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_a_file_is_short() -> None:
    files = [p for p in sources.project_files() if p.suffix in {".py", ".h", ".cpp", ".inl"}]
    long = {sources.name(p): length(p) for p in files if length(p) > LINES_OF_A_FILE}
    assert {p: n for p, n in long.items() if p not in TABLES} == {}


def test_functions_are_short() -> None:
    long = {}
    for path in sources.python_files():
        for node in ast.walk(sources.tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = node.body[0] if ast.get_docstring(node) else None
                lines = (node.end_lineno or 0) - node.body[0].lineno + 1
                lines -= (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
                if lines > LINES_OF_A_FUNCTION:
                    long[f"{sources.name(path)}: {node.name}"] = lines
    assert long == {}


def test_a_module_says_first_what_it_is() -> None:
    silent, long = [], {}
    for path in sources.python_files():
        docstring = ast.get_docstring(sources.tree(path))
        if docstring is None and sources.tree(path).body:
            silent.append(sources.name(path))
        elif docstring and path.is_relative_to(sources.PACKAGE):
            long[sources.name(path)] = len(docstring.splitlines())
    long = {p: n for p, n in long.items() if n > LINES_OF_A_DOCSTRING}
    assert silent == []
    assert long.keys() <= DRAWN, long


@pytest.mark.parametrize(
    ("folder", "pattern", "most"),
    [("examples", "*.py", LINES_OF_AN_EXAMPLE), ("docs/decisions", "*.md", LINES_OF_A_DECISION)],
)
def test_examples_and_decisions_are_short(folder: str, pattern: str, most: int) -> None:
    paths = list((sources.ROOT / folder).glob(pattern))
    assert paths
    assert {sources.name(p): length(p) for p in paths if length(p) > most} == {}
