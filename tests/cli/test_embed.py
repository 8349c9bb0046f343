"""`llmpy embed`: the vectors of `Model.embed`, printed or written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import llmpy

TEXTS = ["Once upon a time", "a cat"]


@pytest.fixture(scope="module")
def expected(stories: Path):
    with llmpy.load(stories) as model:
        yield model.embed(TEXTS)


def test_each_text_becomes_a_line(run, stories: Path, expected) -> None:
    done = run("embed", "-m", stories, *TEXTS)
    assert done.code == 0
    found = [[float(x) for x in line.split()] for line in done.out.splitlines()]
    np.testing.assert_array_equal(np.array(found, np.float32), expected)


def test_lines_of_stdin_or_a_file_are_texts(run, stories: Path, expected, tmp_path: Path) -> None:
    lines = "\n".join(TEXTS) + "\n"
    (tmp_path / "texts").write_text(lines)
    from_stdin = run("embed", "-m", stories, "--json", stdin=lines.encode())
    from_file = run("embed", "-m", stories, "--json", "-f", tmp_path / "texts")
    assert from_stdin.out == from_file.out
    np.testing.assert_array_equal(np.array(json.loads(from_stdin.out), np.float32), expected)


def test_vectors_are_written_as_an_array(run, stories: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.npy"
    done = run("embed", "-m", stories, "-o", out, "--no-normalize", "--pooling", "mean", *TEXTS)
    assert done.out == ""
    with llmpy.load(stories) as model:
        wanted = model.embed(TEXTS, normalize=False, pooling="mean")
    np.testing.assert_array_equal(np.load(out), wanted)


def test_texts_and_a_file_are_one_too_many(run, stories: Path) -> None:
    done = run("embed", "-m", stories, "-f", stories, "text")
    assert done.code == 2
    assert "expected TEXT or -f, found both" in done.err
