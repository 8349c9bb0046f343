"""A model whose layers lie on several backends is the model: contract, goldens, equal bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import llmpy
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.split.backend import SplitBackend
from llmpy.testing import check_backend
from tests.arch import checkpoints
from tests.arch.steps import load
from tests.arch.test_goldens import distance, near, tokens
from tests.backends.gpu.devices import gpu_device
from tests.backends.split.devices import MAX_TOKENS, host, split

MODELS = (
    "llama",
    "gemma3",
    "mamba2",
    "gpt-oss",
    "falcon_h1",
    "qwen3_next",
    "gemma4",
    "gpt2",
)


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("on", ["numpy", "adapter"])
def test_the_contract_is_kept(on: str, n_layers: int) -> None:
    assert check_backend(split(on, n_layers=n_layers)).missing == ()


def test_the_contract_is_kept_on_two_devices() -> None:
    assert check_backend(split("numpy", 2, n_layers=2)).missing == ()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The tiny model of a golden, as a checkpoint."""
    root = tmp_path_factory.mktemp("split")

    def find(name: str) -> Path:
        at: Path = root / name
        if not at.exists():
            golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
            weights = golden.weights(spec)
            checkpoints.write(at, golden.about["config"], weights, spec.relative)
        return at

    return find


@pytest.mark.parametrize("name", MODELS)
def test_a_split_model_gives_the_original_logits(name: str, folders: Callable[[str], Path]) -> None:
    golden = checkpoints.load_golden(name)
    for n_devices, n_layers in ((1, 1), (2, 2)):
        runner = load(folders(name), split("numpy", n_devices, n_layers=n_layers))
        read = tokens(runner)
        whole = runner.whole(read)
        assert distance(whole, golden.logits) < near(golden)
        np.testing.assert_array_equal(runner.read(read, [7, 1, 19, 13]), whole)


def test_layers_that_share_keys_stay_together(folders: Callable[[str], Path]) -> None:
    path = folders("gemma4-shared")
    assert load(path, split("numpy", n_layers=4)).whole([1, 2, 3]).shape[0] == 3
    expected = "layer 4: a layer from there on reads keys .*; expected 0, 4 to 6"
    with pytest.raises(llmpy.BackendError, match=expected):
        load(path, split("numpy", n_layers=2))


def test_two_devices_of_an_adapter_share_a_model(folders: Callable[[str], Path]) -> None:
    gpu_device()
    from llmpy.backends.gpu.wgpu_device import WgpuDevice, adapters

    devices = [WgpuDevice(adapters()[0]) for _ in range(2)]
    gpus = [GpuBackend(device, max_tokens=MAX_TOKENS) for device in devices]
    runner = load(folders("llama"), SplitBackend(host(), gpus))
    golden = checkpoints.load_golden("llama")
    whole = runner.whole(read := tokens(runner))
    assert distance(whole, golden.logits) < near(golden)
    np.testing.assert_array_equal(runner.read(read, [7, 1, 19, 13]), whole)
    assert all(device.allocated > 1000 for device in devices)
    runner.plan.close()
    for device in devices:
        device.close()
