"""The memory of a device: planned before it is taken, given back, and refused where it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.self_check import check_device
from llmpy.errors import OutOfMemory
from llmpy.graph import Value, Weights
from tests.backends.gpu.devices import gpu_backend, gpu_device
from tests.backends.gpu.recording import RecordingDevice
from tests.ops.harness import Model, random
from tests.session.conftest import STORIES


def attention(x: Value, w: Weights) -> Value:
    return x.heads(2).attend(x.heads(2).cached(), x.heads(2).cached()).linear(w.out)


WEIGHTS = {"out.weight": ("F32", random(2, 300, 32))}


@pytest.fixture
def stories(shared_data: Callable[[str], Path]) -> Path:
    return shared_data(STORIES)


@pytest.mark.parametrize("on", ["numpy", "adapter"])
def test_the_plan_is_what_is_taken(on: str, stories: Path) -> None:
    backend = GpuBackend(RecordingDevice()) if on == "numpy" else gpu_backend()
    n_ctx = 512
    plan = llmpy.plan_memory(stories, n_ctx=n_ctx, backend=backend)
    before = backend.device.allocated
    with llmpy.load(stories, backend=backend, n_ctx=n_ctx) as model:
        session = model.session()
        session.infer([5] * (n_ctx - 1), max_tokens=1)
        taken = backend.device.allocated - before
    planned = plan.total - plan.tokenizer
    assert 0.95 * planned <= taken <= 1.05 * planned


def test_nothing_is_left_after_a_model(stories: Path) -> None:
    backend = gpu_backend()

    def use() -> int:
        with llmpy.load(stories, backend=backend) as model:
            model.session().infer("Once", max_tokens=3)
        return int(backend.device.allocated)

    assert len({use() for _ in range(5)}) == 1


@pytest.mark.full
def test_nothing_is_left_after_a_thousand_models(stories: Path) -> None:
    backend = gpu_backend()
    found, resident = [], []
    for _ in range(1000):
        with llmpy.load(stories, backend=backend) as model:
            model.session().infer("Once", max_tokens=2)
        found.append(backend.device.allocated)
        resident.append(resident_bytes())
    assert len(set(found[5:])) == 1
    assert resident[-1] <= resident[100] + (8 << 20)


def resident_bytes() -> int:
    """The memory of this process, 0 where the system has no such file."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


@pytest.mark.parametrize("more", [0, 50_000])  # for keys alone
def test_a_page_that_does_not_fit_is_refused_and_others_go_on(more: int) -> None:
    device = RecordingDevice()
    model = Model(GpuBackend(device), random(1, 40, 32), attention, WEIGHTS)
    first = model.state()
    before = model.step([(first, 0, list(range(10)))])
    second = model.state()
    model.step([(second, 0, [1] * 64)])  # the arena has room now
    device.capacity = device.allocated + more
    with pytest.raises(OutOfMemory, match=r"cannot allocate memory for .* pieces of the KV cache"):
        read_pages(model, second, 1, 30)
    after = model.step([(first, 10, list(range(5)))])
    device.capacity = 1 << 40
    again = Model(GpuBackend(RecordingDevice()), random(1, 40, 32), attention, WEIGHTS)
    expected = again.step([(again.state(), 0, [*range(10), *range(5)])])
    np.testing.assert_array_equal(np.concatenate([before, after]), expected)


def read_pages(model: Model, state: Any, first: int, end: int) -> None:
    for start in range(64 * first, 64 * end, 64):
        model.step([(state, start, [1] * 64)], [])


def test_a_slab_ends_where_a_device_can_bind_no_more() -> None:
    device = RecordingDevice(limit=64 * 32 * 4 * 10)  # ten pages of keys
    model = Model(GpuBackend(device), random(1, 40, 32), attention, WEIGHTS)
    state = model.state()
    model.step([(state, 0, [1] * 640)], [])
    with pytest.raises(OutOfMemory, match="at most 10 pieces of 8192 bytes"):
        model.step([(state, 640, [1])], [])


@pytest.mark.parametrize("on", ["numpy", "adapter"])
def test_tensors_are_cut_where_a_device_can_bind_no_more(
    on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = RecordingDevice() if on == "numpy" else gpu_device()
    weights = WEIGHTS | {
        "router.weight": ("F32", random(3, 5, 32)),
        **{f"{name}.weight": ("F32", random(4 + i, 5, 32, 32)) for i, name in enumerate("gud")},
    }

    def trace(x: Value, w: Weights) -> Value:
        y = x.moe(x.linear(w.router).route(2), w.g, w.u, w.d, 2)
        return attention(x + y, w)

    x = random(1, 400, 32)
    tokens = np.arange(400)[::7].tolist()
    whole = Model(GpuBackend(device), x, trace, weights).read(tokens)
    monkeypatch.setattr(device, "limit", 2 * 32 * 32 * 4)  # two tiles, two experts
    cut = Model(GpuBackend(device), x, trace, weights)
    assert cut.plan._most < 20
    np.testing.assert_array_equal(cut.read(tokens), whole)


def test_a_matrix_of_experts_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    device = RecordingDevice()
    monkeypatch.setattr(device, "limit", 32 * 16 * 4)
    weights: Any = {"heads.weight": ("F32", random(1, 2, 64, 16))}

    def trace(x: Value, w: Weights) -> Value:
        return x.heads(2).linear_heads(w.heads).flatten()

    with pytest.raises(llmpy.BackendError, match="larger than the 2048 bytes"):
        Model(GpuBackend(device), random(1, 4, 32), trace, weights)


def test_a_device_that_multiplies_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    device = RecordingDevice()
    check_device(device)
    run = device.run

    def wrong(program: Any, rows: Any) -> None:
        run(program, rows)
        if "all" in rows:
            arena = program[-1][2].view(np.float32)
            arena[:] *= 1 + 1e-3 * (rows["all"] > 1 or factor)

    monkeypatch.setattr(device, "run", wrong)
    factor = 1
    with pytest.raises(llmpy.BackendError, match="multiplies wrongly"):
        check_device(device)
    monkeypatch.setattr(device, "run", lambda program, rows: other(program, rows))

    def other(program: Any, rows: Any) -> None:
        run(program, rows)
        if rows.get("all") == 1:
            arena = program[-1][2].view(np.float32)
            arena[:] *= np.float32(1 + 2e-7)

    with pytest.raises(llmpy.BackendError, match="other numbers for one row"):
        check_device(device)
