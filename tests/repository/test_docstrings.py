"""Docstrings begin with what a thing does or is, not with a question word or "Of"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.repository import sources

QUESTION = re.compile(r"(What|Which|How|Where|Who|Whose|Whom|Of)\b")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def questions(tree: ast.Module) -> list[str]:
    """The first lines of docstrings that begin otherwise."""
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    return [text.splitlines()[0] for text in found if text and QUESTION.match(text)]


@pytest.mark.parametrize("path", sources.python_files("src"), ids=sources.name)
def test_docstrings_begin_with_what_the_thing_does(path: Path) -> None:
    assert questions(sources.tree(path)) == []


@pytest.mark.parametrize("text", ["What it is.", "Of each tensor.", "How many there are."])
def test_other_beginnings_are_found(text: str) -> None:
    assert questions(ast.parse(f'def f():\n    """{text}"""')) == [text]


@pytest.mark.parametrize("text", ["Return it.", "Whatever comes.", "Offsets of tensors."])
def test_words_that_begin_alike_are_not(text: str) -> None:
    assert questions(ast.parse(f'"""{text}"""')) == []
