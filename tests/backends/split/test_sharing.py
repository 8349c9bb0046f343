"""Options that share a model out: which layers lie where, what is planned, what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import llmpy
from llmpy.backends.gpu import find
from llmpy.backends.split.needs import SLACK
from llmpy.cli import group
from tests.backends.gpu.recording import RecordingDevice
from tests.session.conftest import STORIES

SENTENCE = "Once upon a time, there was a little girl"
N_LAYERS = 5
N_CTX = 256


@pytest.fixture
def stories(shared_data: Callable[[str], Path]) -> Path:
    return shared_data(STORIES)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> dict[str, RecordingDevice]:
    """The devices that were opened, by name."""
    opened: dict[str, RecordingDevice] = {}

    def open_device(which: str = "") -> Any:
        device = opened.setdefault(which, RecordingDevice())
        device.name = f"NumPy {which}"
        return device

    monkeypatch.setattr(find, "open_device", open_device)
    return opened


def text(model: llmpy.Model) -> str:
    session = model.session(sampler=llmpy.greedy())
    session.infer(SENTENCE, max_tokens=20)
    return session.text


@pytest.mark.parametrize("n", [1, 3, N_LAYERS, 99])
def test_layers_lie_where_they_were_asked_to(
    n: int, stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    with llmpy.load(stories, n_ctx=N_CTX, backend="cpu", kv_dtype="f32") as model:
        expected = text(model)
    options: Any = {"n_gpu_layers": n, "n_ctx": N_CTX, "kv_dtype": "f32"}
    with llmpy.load(stories, **options) as model:
        assert text(model) == expected
        places = {place.name: (place.first, place.end) for place in model.plan().places}
    (name,) = devices
    at = max(0, N_LAYERS - n)
    assert places[f"NumPy {name}"] == (at, N_LAYERS)
    assert ("cpu" in places) == (at > 0)
    assert devices[name].ran


def test_no_layer_needs_no_device(stories: Path, devices: dict[str, RecordingDevice]) -> None:
    with llmpy.load(stories, n_ctx=N_CTX, n_gpu_layers=0) as model:
        assert text(model)
    assert devices == {}


@pytest.mark.parametrize("given", [{"device": "a,b"}, {"backend": "gpu:a, b"}])
def test_several_devices_share_the_layers(
    given: Any, stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    with llmpy.load(stories, n_ctx=N_CTX, n_gpu_layers=4, **given) as model:
        assert text(model)
        found = [(place.name, place.first, place.end) for place in model.plan().places]
    assert found == [("cpu", 0, 1), ("NumPy a", 1, 3), ("NumPy b", 3, 5)]
    assert devices["a"].ran
    assert devices["b"].ran


SMALL: Any = {"n_ctx": N_CTX, "n_batch": 32}  # whose activations are no large part


def whole(stories: Path, **options: Any) -> llmpy.MemoryPlan:
    return llmpy.plan_memory(stories, backend="gpu", **SMALL, **options)


def test_what_fits_into_the_memory_goes_there(
    stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    plan = whole(stories)
    limit = (plan.total - plan.tokenizer) * 3 // 4
    shared = whole(stories, device_memory=limit)
    here, there = shared.places
    assert (here.name, here.first, there.end) == ("cpu", 0, N_LAYERS)
    assert 1 <= there.first == here.end < N_LAYERS
    assert there.total <= limit == there.available
    one_more = whole(stories, n_gpu_layers=N_LAYERS - there.first + 1).places[-1]
    assert one_more.total > limit
    with llmpy.load(stories, **SMALL, device_memory=limit) as model:
        session = model.session()
        session.infer([5] * (N_CTX - 1), max_tokens=1)
        taken = devices[""].allocated
        assert model.plan().places[-1] == there
    assert 0.95 * there.total <= taken <= limit


@pytest.mark.parametrize("tenths", range(4, 10))
def test_no_more_is_taken_at_any_time(
    tenths: int, stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    """Staging is more than all that comes after it, for small batches and contexts."""
    small: Any = {"n_ctx": 64, "n_batch": 8}
    plan = llmpy.plan_memory(stories, backend="gpu", **small)
    limit = (plan.total - plan.tokenizer) * tenths // 10
    with llmpy.load(stories, device_memory=limit, **small) as model:
        model.session().infer([5] * 60, max_tokens=3)
        assert devices[""].allocated <= limit
        assert "NumPy" in model.computed_by


def test_the_last_of_several_devices_is_filled_first(
    stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    plan = whole(stories)
    size = f"{(plan.total - plan.tokenizer) * 0.7 / 1e3:.3f} kB"
    places = whole(stories, device="a,b", device_memory=size).places
    assert [place.name for place in places] == ["NumPy a", "NumPy b"]
    places = whole(stories, device="a,b", device_memory=[plan.total, "9GB"]).places
    assert [(place.name, place.first) for place in places] == [("NumPy b", 0)]
    assert devices


def test_memory_for_no_layer_warns_and_the_cpu_runs_it(
    stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    with (
        pytest.warns(RuntimeWarning, match="not even the last layer fits"),
        llmpy.load(stories, n_ctx=N_CTX, device_memory="10 kB") as model,
    ):
        assert text(model)
    assert set(devices[""].ran) <= {"pack"}


def test_layers_that_have_no_room_are_refused_with_the_numbers(
    stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    sizes = r"\(weights .*, activations .*, 64 tokens .*\)"
    expected = (
        f"layers 1 to 4 on NumPy  need .* {sizes}, and may take 300.0 kB: without n_gpu_layers"
    )
    with pytest.raises(llmpy.OutOfMemory, match=expected) as caught:
        llmpy.load(stories, **SMALL, n_gpu_layers=4, device_memory="300 kB")
    assert caught.value.free == 300_000 < (caught.value.needed or 0)
    assert devices[""].ran == []
    assert not whole(stories, n_gpu_layers=4, device_memory="300 kB").fits


def test_a_context_that_was_not_asked_for_is_what_the_memory_leaves(
    stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    plan = whole(stories)
    limit = plan.total - plan.tokenizer + SLACK
    with llmpy.load(stories, n_batch=32, n_gpu_layers=N_LAYERS, device_memory=limit) as model:
        assert 128 <= model.n_ctx <= N_CTX
    assert devices


def test_a_second_text_beyond_the_memory_fails_alone(
    stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    plan = whole(stories)
    limit = plan.total - plan.tokenizer + SLACK
    options: Any = {**SMALL, "device_memory": limit, "prefix_cache_bytes": 0}
    with llmpy.load(stories, n_gpu_layers=N_LAYERS, **options) as model:
        first, second = model.session(), model.session()
        first.feed([5] * (N_CTX - 2))
        with pytest.raises(llmpy.OutOfMemory, match="cannot allocate memory"):
            second.feed([6] * (N_CTX - 2))
        assert first.infer("a", max_tokens=1).n_generated == 1
    assert devices[""].allocated < limit


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "layers": ({"n_gpu_layers": -1}, ValueError, "n_gpu_layers: expected a whole number of 0"),
    "fraction": ({"n_gpu_layers": 1.5}, TypeError, "n_gpu_layers: expected a whole number"),
    "device": ({"device": 1}, TypeError, "device: expected a string, found 1"),
    "unit": ({"device_memory": "6 apples"}, ValueError, "size such as '6GB', found '6 apples'"),
    "none": ({"device_memory": 0}, ValueError, "device_memory: expected a positive whole number"),
    "float": ({"device_memory": 6e9}, TypeError, "device_memory: expected"),
    "sizes": ({"device_memory": "1GB,2GB"}, ValueError, "one for each of 1 devices, found 2"),
    "cpu": ({"n_gpu_layers": 2, "backend": "cpu"}, ValueError, "'auto' or 'gpu', found 'cpu'"),
    "twice": ({"device": "a", "backend": "gpu:b"}, ValueError, "beside the backend 'gpu:b'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused(
    name: str, stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    options, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        llmpy.load(stories, **options)
    assert not any(device.ran for device in devices.values())


def test_the_command_line_takes_the_options(
    stories: Path, devices: dict[str, RecordingDevice]
) -> None:
    shared = ["-ngl", "2", "--device", "a", "--device-memory", "1GB", "-c", "128"]
    run = CliRunner().invoke(
        group, ["infer", "-m", str(stories), "-p", SENTENCE, "-n", "2", "--stats", *shared]
    )
    assert run.exit_code == 0, run.output
    assert "computed by cpu: layers 0 to 2; NumPy a: layers 3 to 4" in run.stderr
    assert devices["a"].ran
    shown = CliRunner().invoke(group, ["plan", str(stories), *shared])
    assert "NumPy a: layers 3 to 4, " in shown.output
    assert " of 1.0 GB" in shown.output
    found = json.loads(CliRunner().invoke(group, ["plan", str(stories), *shared, "--json"]).output)
    assert [place["first"] for place in found["places"]] == [0, 3]
    assert found["fits"]


def test_auto_leaves_to_the_cpu_what_the_gpu_has_no_room_for(
    stories: Path, devices: dict[str, RecordingDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = whole(stories)
    device = RecordingDevice(capacity=(plan.total - plan.tokenizer) * 8 // 10)
    device.name = "NumPy"
    monkeypatch.setattr(find, "auto_device", lambda cpu: find.Found(device, "it is fast"))  # noqa: ARG005
    with pytest.warns(RuntimeWarning, match="or a part of it: "):
        model = llmpy.load(stories, **SMALL)
    with model:
        assert text(model)
        assert re.match(r"cpu: layers 0 to \d; NumPy: layers \d to 4", model.computed_by)
    assert devices


def test_sessions_fork_shift_and_are_saved(
    stories: Path, devices: dict[str, RecordingDevice], tmp_path: Path
) -> None:
    options: Any = {"n_ctx": N_CTX, "kv_dtype": "f32"}
    found = []
    for shared in ({"backend": "cpu"}, {"n_gpu_layers": 3}):
        with llmpy.load(stories, **options, **shared) as model:
            session = model.session(sampler=llmpy.greedy(), overflow="shift")
            with pytest.warns(llmpy.ContextWarning):
                session.infer(SENTENCE, max_tokens=N_CTX + 20)
            fork = session.fork()
            fork.infer(" The", max_tokens=5)
            fork.save(tmp_path / "session")
            again = model.load_session(tmp_path / "session", sampler=llmpy.greedy())
            again.infer(" cat", max_tokens=5)
            vector = np.array(model.embed("a cat")).ravel()
            found.append((session.tokens, fork.tokens, again.tokens, vector))
    assert found[0][:3] == found[1][:3]
    np.testing.assert_allclose(found[1][3], found[0][3], atol=1e-4)
    assert devices
