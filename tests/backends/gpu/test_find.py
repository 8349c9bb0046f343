"""Which device a name means, and when "auto" takes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

import llmpy
from llmpy import loading
from llmpy.backends import make_backend
from llmpy.backends.gpu import find
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.reference.backend import ReferenceBackend
from tests.backends.gpu.devices import gpu_device
from tests.backends.gpu.recording import RecordingDevice


class Adapter(NamedTuple):
    name: str
    software: bool


SOFT, HARD = Adapter("llvmpipe", True), Adapter("Radeon", False)


def picked(*adapters: Adapter, gpu: float = 1.0, cpu: float = 2.0, error: str = "") -> find.Found:
    def opened(i: int) -> Any:
        if error:
            raise llmpy.BackendError(error)
        device: Any = RecordingDevice()
        device.name = adapters[i].name
        return device

    def seconds(backend: Any) -> float:
        return gpu if isinstance(backend, GpuBackend) else cpu

    return find.picked(adapters, opened, seconds, ReferenceBackend)


def test_the_faster_device_of_hardware_is_taken() -> None:
    found = picked(SOFT, HARD)
    assert found.device is not None
    assert found.reason == "Radeon: a matmul of one row is 2.0 times as fast as on the CPU"


def test_a_software_adapter_is_never_taken() -> None:
    assert picked(SOFT) == (None, "no adapter of hardware was found: llvmpipe")


def test_a_slower_device_is_not_taken() -> None:
    found = picked(HARD, gpu=4.0)
    assert found.device is None
    assert "0.5 times as fast" in found.reason


def test_a_device_that_fails_its_trial_is_not_taken() -> None:
    assert picked(HARD, error="multiplies wrongly") == (None, "multiplies wrongly")


def test_a_gpu_is_looked_for_where_linux_has_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert not find._has_hardware(tmp_path)
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri" / "renderD128").touch()
    assert find._has_hardware(tmp_path)


def test_auto_takes_the_gpu_that_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    device = RecordingDevice()
    monkeypatch.setattr(find, "auto_device", lambda cpu: find.Found(device, "it is fast"))  # noqa: ARG005
    backend = make_backend("auto", None, 64)
    assert isinstance(backend, GpuBackend)
    assert (backend.device, backend.max_tokens) == (device, 64)


def test_a_model_that_does_not_fit_the_gpu_runs_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, shared_data: Any
) -> None:
    device = RecordingDevice(capacity=100_000)
    made = loading.make_backend

    def auto(backend: Any, *options: Any) -> Any:
        return GpuBackend(device) if backend == "auto" else made(backend, *options)

    monkeypatch.setattr(loading, "make_backend", auto)
    path = shared_data("weights/stories260K/stories260K.gguf")
    with (
        pytest.warns(RuntimeWarning, match="the CPU runs this model, or a part of it: .*"),
        llmpy.load(path) as model,
    ):
        assert model.session().infer("Once", max_tokens=2).n_generated == 2


def test_a_device_is_known_by_number_and_by_name() -> None:
    device = gpu_device()
    assert find.open_device("0") is find.open_device("0")
    assert find.open_device(device.name.split()[0].upper()).name == device.name


def test_a_name_that_no_device_has_is_refused() -> None:
    gpu_device()
    with pytest.raises(llmpy.BackendError, match=r"expected an adapter .* 'voodoo', found 0: "):
        find.open_device("voodoo")
