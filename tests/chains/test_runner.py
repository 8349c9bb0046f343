"""Runs of chains: cancelled, cached by content, traced; from threads and in asyncio."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy import chains
from llmpy.chains.step import Run

SHORT = chains.Ask("Name {{what}}.", temperature=1.0, max_tokens=8)


def stories(n: int, **options: Any) -> chains.Step:
    return chains.Complete("Once upon a time", max_tokens=n, **options)


def listen(runner: chains.Runner, step: chains.Step, kind: str, n: int) -> list[chains.Event]:
    """The events of a run that is cancelled at the n-th event of a kind."""
    events: list[chains.Event] = []

    def run() -> None:
        for event in runner.stream(step):
            events.append(event)
            if [e.kind for e in events].count(kind) == n:
                runner.cancel()

    with pytest.raises(llmpy.Cancelled):
        run()
    return events


def test_cancel_ends_a_run_at_its_next_token(runner: chains.Runner) -> None:
    events = listen(runner, stories(400), "text", 5)
    assert [event.kind for event in events] == ["start", *["text"] * 5]


def test_cancel_ends_the_reading_of_a_prompt(
    runner: chains.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, check = [], Run.check
    monkeypatch.setattr(Run, "check", lambda run, *at: (progress.append(at), check(run, *at)))
    listen(runner, chains.Ask("some words " * 450), "start", 1)
    read, total = progress[-1]
    assert read < total


def test_a_loop_that_is_left_early_ends_all_items_of_a_map(
    model: llmpy.Model, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    with chains.Runner(model, trace=trace) as runner:
        for event in runner.stream(chains.Map(stories(400), parallel=3), parts=["a", "b", "c"]):
            if event.kind == "text":
                break
        lines = [json.loads(line) for line in trace.read_text().splitlines()]
    ended = [line["step"] for line in lines if line["event"] == "cancelled"]
    assert sorted(ended) == ["1 complete", "2 complete", "3 complete", "map"]


def test_a_runner_runs_after_a_cancel(runner: chains.Runner) -> None:
    runner.cancel()
    assert runner.run(stories(4))


def test_equal_steps_with_equal_input_are_computed_once(model: llmpy.Model, tmp_path: Path) -> None:
    with chains.Runner(model, cache=tmp_path / "cache.db") as runner:
        first = runner.run(SHORT, what="a city")
        events = list(runner.stream(SHORT, what="a city", other="which no step reads"))
    assert [event.kind for event in events] == ["cached"]
    assert events[0].value == first


def test_the_cache_outlives_the_runner(model: llmpy.Model, tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        with chains.Runner(model, cache=tmp_path / "cache.db") as runner:
            found.append(runner.run(SHORT, what="a river"))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("step", "values"),
    [
        (SHORT, {"what": "a town"}),
        (chains.Ask("Name {{what}}.", temperature=0.9, max_tokens=8), {"what": "a city"}),
        (chains.Ask("Name  {{what}}.", temperature=1.0, max_tokens=8), {"what": "a city"}),
    ],
)
def test_other_content_is_computed(
    model: llmpy.Model, tmp_path: Path, step: chains.Step, values: dict[str, Any]
) -> None:
    with chains.Runner(model, cache=tmp_path / "cache.db") as runner:
        runner.run(SHORT, what="a city")
        assert next(runner.stream(step, **values)).kind == "start"


def test_values_of_a_type_come_out_of_the_cache_as_that_type(
    model: llmpy.Model, tmp_path: Path
) -> None:
    step = chains.Ask("A number.", schema=list[int] | None, seed=1, max_tokens=200)
    with chains.Runner(model, cache=tmp_path / "cache.db") as runner:
        first, second = runner.run(step), runner.run(step)
    assert first == second
    assert type(first) is type(second)


def test_the_trace_has_a_line_for_each_start_and_result(model: llmpy.Model, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    chain = chains.Ask("Name {{what}}.", max_tokens=4) | chains.Ask("{{text}}?", max_tokens=4)
    with chains.Runner(model, trace=trace) as runner:
        value = runner.run(chain, what="a city")
    lines = [json.loads(line) for line in trace.read_text("utf-8").splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [
        ("start", "steps"),
        ("start", "1 ask"),
        ("value", "1 ask"),
        ("start", "2 ask"),
        ("value", "2 ask"),
        ("value", "steps"),
    ]
    assert lines[0]["value"] == {"what": "a city"}
    assert lines[2]["n_generated"] == 4
    assert lines[-1]["value"] == value
    assert len({line["run"] for line in lines}) == 1


def test_errors_are_in_the_trace(tmp_path: Path) -> None:
    def fail(text: str) -> str:
        raise KeyError(text)

    trace = tmp_path / "trace.jsonl"
    with chains.Runner(trace=trace) as runner, pytest.raises(KeyError):
        runner.run(chains.Call(fail), text="abc")
    last = json.loads(trace.read_text().splitlines()[-1])
    assert (last["event"], last["text"]) == ("error", "KeyError: 'abc'")


def test_runs_in_asyncio_give_the_same(runner: chains.Runner) -> None:
    async def both() -> list[str]:
        calls = [runner.arun(stories(12, temperature=0.0)) for _ in range(2)]
        return list(await asyncio.gather(*calls))

    assert asyncio.run(both()) == [runner.run(stories(12, temperature=0.0))] * 2


def test_cancelling_a_task_ends_its_run(model: llmpy.Model, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"

    async def cancelled(runner: chains.Runner) -> None:
        started = asyncio.Event()

        async def run() -> None:
            async for event in runner.astream(stories(900)):
                if event.kind == "text":
                    started.set()

        task = asyncio.create_task(run())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with chains.Runner(model, trace=trace) as runner:
        asyncio.run(cancelled(runner))
        assert json.loads(trace.read_text().splitlines()[-1])["event"] == "cancelled"


def test_a_model_is_loaded_once_by_its_name(smollm2: Path) -> None:
    chain = chains.Sequential((chains.Split(5), chains.Split(5)), model=str(smollm2))
    with chains.Runner(n_ctx=256) as runner:
        assert runner.run(chain, text="Some text.") == ["Some text."]
        assert runner.model(str(smollm2)) is runner.model(str(smollm2))
        assert runner.model(str(smollm2)).n_ctx == 256


@pytest.mark.usefixtures("nothing_installed")
def test_without_any_model_the_error_says_what_to_do() -> None:
    with (
        chains.Runner() as runner,
        pytest.raises(llmpy.ModelNotFound, match="llmpy pull smollm2"),
    ):
        runner.run(SHORT, what="a city")


def test_a_search_without_an_embedder_says_what_to_do(tmp_path: Path) -> None:
    with chains.Runner() as runner, pytest.raises(ValueError, match="give embedder=NAME"):
        runner.run(chains.Search(tmp_path), question="Who?")
