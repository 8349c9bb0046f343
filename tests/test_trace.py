"""Logging and the times of operations."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import llmpy

STORIES = Path(__file__).with_name("data") / "weights" / "stories260K" / "stories260K.gguf"


@pytest.fixture
def model() -> Iterator[llmpy.Model]:
    pytest.importorskip("llmpy.backends.cpu.backend")
    with llmpy.load(STORIES, n_ctx=128, backend="cpu") as model:
        yield model


def test_each_matmul_is_counted_once_for_each_token(model: llmpy.Model) -> None:
    with model.session(sampler=llmpy.greedy(), seed=0) as session, model.trace() as trace:
        session.feed("Once upon a time")
        n_prompt, n_decoded = len(session.tokens) - 1, 7
        for _ in range(n_decoded):
            session.next_token()
    sizes = {"all": 0, "output": 0}
    for node in model.graph.nodes:
        if node.op == "linear":
            n_out, n_in = model.tensors[node.weights[0]].shape
            sizes[node.rows] += n_out * n_in
    expected = (n_prompt + n_decoded) * sizes["all"] + n_decoded * sizes["output"]
    assert sum(row.macs for row in trace.operations) == expected


def test_operations_come_with_the_longest_first(model: llmpy.Model) -> None:
    with model.trace() as trace:
        model.generate("Once", max_tokens=5, seed=1)
    seconds = [row.seconds for row in trace.operations]
    assert seconds == sorted(seconds, reverse=True)
    assert sum(seconds) > 0


def test_what_runs_after_a_trace_is_not_in_it(model: llmpy.Model) -> None:
    with model.trace() as trace:
        model.generate("Once", max_tokens=2, seed=1)
    before = trace.operations
    model.generate("Once", max_tokens=2, seed=1)
    assert trace.operations == before


def test_a_traced_model_generates_the_same(model: llmpy.Model) -> None:
    plain = model.generate("Once upon", max_tokens=20, seed=3).text
    with model.trace():
        assert model.generate("Once upon", max_tokens=20, seed=3).text == plain


def test_a_second_trace_inside_one_is_refused(model: llmpy.Model) -> None:
    with (
        model.trace(),
        pytest.raises(RuntimeError, match="traced already"),
        model.trace(),
    ):
        pass


def test_a_backend_without_times_says_so() -> None:
    with (
        llmpy.load(STORIES, n_ctx=128, backend="reference") as model,
        pytest.raises(llmpy.BackendError, match="cannot time"),
        model.trace(),
    ):
        pass


def test_the_table_says_what_ran_and_what_it_moved(model: llmpy.Model) -> None:
    with model.trace() as trace:
        model.generate("Once", max_tokens=3, seed=1)
    text = str(trace)
    assert text.startswith("cpu backend, ")
    assert "GB/s" in text
    assert "ffn_gate ffn_up F32" in text


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", code, str(STORIES)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )


GENERATE = """
import sys, llmpy
model = llmpy.load(sys.argv[1], n_ctx=128, backend="cpu")
model.generate("Once", max_tokens=3, seed=1)
"""


def test_llmpy_trace_prints_times_when_a_program_ends_without_closing() -> None:
    done = python(GENERATE, LLMPY_TRACE="1")
    assert "GMAC/s" in done.stderr
    assert done.stdout == ""


def test_nothing_is_logged_without_a_handler() -> None:
    assert python(GENERATE, LLMPY_TRACE="0").stderr == ""


def test_loading_is_logged_at_info(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "llmpy"):
        llmpy.load(STORIES, n_ctx=128, backend="reference").close()
    assert [record.message.split()[0] for record in caplog.records] == ["loaded", "closed"]


def test_a_sequence_that_loses_its_cache_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "llmpy"),
        llmpy.load(STORIES, n_ctx=64, backend="reference", max_total_tokens=64) as model,
        model.session() as first,
        model.session() as second,
    ):
        first.feed("Once upon a time")
        second.feed("There was a dog")
    assert any("gives up the KV cache" in record.message for record in caplog.records)


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert llmpy.__version__ == version("llmpy")
