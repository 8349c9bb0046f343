"""Dispatches: counted once, recorded by native code, and by wgpu's methods where that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import llmpy
from llmpy import ffi
from llmpy.backends.gpu import wgpu_replay
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.device import KERNELS, ROWS, Step, n_items
from llmpy.backends.gpu.shaders import INVOCATIONS
from llmpy.backends.gpu.wgpu_replay import MOST, WIDEST, Dispatch, Native, Program, native
from tests.backends.gpu.devices import gpu_device
from tests.session.conftest import STORIES

SENTENCE = "Once upon a time, there was a little girl named Lily."


class Pass:
    """A compute pass that keeps what is recorded."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def set_pipeline(self, pipeline: Any) -> None:
        self.calls.append((pipeline,))

    def set_bind_group(self, index: int, group: Any) -> None:
        self.calls.append((index, group))

    def dispatch_workgroups(self, x: int, y: int, z: int) -> None:
        self.calls.append((x, y, z))


numbers = st.integers(1, 4)
steps = st.tuples(st.sampled_from(ROWS), st.integers(1, 3000), numbers, numbers)
rows = st.fixed_dictionaries({name: st.integers(0, 2000) for name in ROWS})


@given(st.lists(steps, max_size=5), st.lists(rows, min_size=1, max_size=3), st.booleans())
def test_a_step_has_a_workgroup_for_each_of_its_items(
    drawn: list[tuple[str, int, int, int]], batches: list[dict[str, int]], lanes: bool
) -> None:
    some = [Step("map", of, items, {}, per=per, many=many) for of, items, per, many in drawn]
    program = Program([Dispatch("p", "g", step, lanes) for step in some], None)
    for batch in batches:
        program.set_rows(batch)
        recorded = Pass()
        program.record(recorded, 0, len(program))
        expected: list[tuple[Any, ...]] = []
        for step in some:
            n = n_items(step, batch) if lanes else -(-n_items(step, batch) // INVOCATIONS)
            if n:
                expected += [("p",), (0, "g"), (min(n, WIDEST), -(-n // WIDEST), 1)]
        assert recorded.calls == expected


def test_more_workgroups_than_a_gpu_starts_are_refused() -> None:
    program = Program([Dispatch("p", "g", Step("map", "all", MOST, {}), 1)], None)
    program.set_rows({"all": 1})
    with pytest.raises(llmpy.BackendError, match=f"at most {MOST} workgroups, found {2 * MOST}"):
        program.set_rows({"all": 2})
    recorded = Pass()
    program.record(recorded, 0, 1)
    assert recorded.calls[-1] == (WIDEST, 65535, 1)


def logits(path: Path, device: Any) -> NDArray[np.float32]:
    """What a device makes of a long text in one step, then of a token in each."""
    with llmpy.load(path, backend=GpuBackend(device), n_ctx=512) as model:
        session = model.session(sampler=llmpy.greedy())
        session.infer(SENTENCE * 6, max_tokens=20)
        said = session.tokens
        return np.concatenate(
            [*model.logits(said), *model.logits(said[:1]), *model.logits(said[:2])]
        )


@pytest.fixture
def opened() -> Iterator[Any]:
    """A device that nobody else has."""
    gpu_device()
    from llmpy.backends.gpu.wgpu_device import WgpuDevice, adapters

    device = WgpuDevice(adapters()[0])
    yield device
    device.close()


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
def test_native_code_records_the_same_as_wgpu(
    opened: Any, shared_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = shared_data(STORIES), []
    record = ffi.library().llmpy_gpu_record

    def counted(*given: Any) -> None:
        calls.append(given)
        record(*given)

    monkeypatch.setattr(ffi.library(), "llmpy_gpu_record", counted)
    ours = logits(path, opened)
    assert len(calls) > 5
    calls.clear()
    monkeypatch.setattr(opened, "_native", None)
    np.testing.assert_array_equal(logits(path, opened), ours)
    assert calls == []


def test_a_device_that_waits_gets_the_first_quarter_of_a_program_first(opened: Any) -> None:
    header, arena = opened.buffer(4096), opened.buffer(4096)
    fields = dict.fromkeys(KERNELS["choose"].fields, 0)

    def submitted(n: int, rows: int = 1) -> list[tuple[int, int]]:
        program, found = opened.program([Step("choose", "all", 1, fields)] * n, header, arena), []
        record = program.record

        def recorded(work: Any, first: int, end: int) -> None:
            found.append((first, end))
            record(work, first, end)

        program.record = recorded
        opened.run(program, {"all": rows})
        return found

    opened.read(arena, 0, 4)
    assert submitted(100) == [(0, 25), (25, 100)]
    assert submitted(100) == [(0, 100)]
    opened.read(arena, 0, 4)
    assert submitted(3) == [(0, 3)]
    assert submitted(40, rows=100) == [(0, 16), (16, 32), (32, 40)]
    assert submitted(0) == [(0, 0)]


ALONE = """
import logging, sys
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
import llmpy

with llmpy.load(sys.argv[1], backend="gpu", n_ctx=128) as model:
    print(model.generate("Once upon a time", temperature=0.8, seed=3, max_tokens=20).tokens)
"""


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
def test_without_the_library_wgpu_records_and_the_same_is_said(
    shared_data: Callable[[str], Path],
) -> None:
    gpu_device()
    said = []
    for library in (ffi.library_path(), "none.so"):
        environment = {**os.environ, "LLMPY_LIBRARY": str(library)}
        arguments = [sys.executable, "-c", ALONE, str(shared_data(STORIES))]
        done = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines())
    assert "gpu: recorded by native code" in said[0]
    assert "gpu: recorded by wgpu: there is no compiled library" in said[1]
    assert said[0][-1] == said[1][-1]


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
@pytest.mark.parametrize(
    ("name", "value", "doubt"),
    [
        ("lib_version_info", (30, 0, 0, 0), "expected version 29, found"),
        ("version_info", (29, 9, 0, 0), "expected version 29, found"),
        ("lib", object(), "wgpu has changed: 'object' object has no attribute"),
    ],
)
def test_another_wgpu_native_is_doubted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, doubt: str
) -> None:
    package = pytest.importorskip("wgpu.backends.wgpu_native")
    assert wgpu_replay._doubt() == ""
    monkeypatch.setattr(package, name, value)
    assert doubt in wgpu_replay._doubt()


@pytest.mark.skipif(not ffi.available(), reason="no compiled library")
def test_a_function_of_another_type_is_doubted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("wgpu.backends.wgpu_native")
    name = "wgpuComputePassEncoderDispatchWorkgroups"
    monkeypatch.setitem(wgpu_replay._TYPES, name, "void(*)(void *, uint64_t)")
    native.cache_clear()
    with caplog.at_level("INFO", logger="llmpy"):
        assert native() is None
    native.cache_clear()
    assert f"recorded by wgpu: {name}: expected void(*)(void *, uint64_t), found" in caplog.text
    monkeypatch.undo()
    assert isinstance(native(), Native)
