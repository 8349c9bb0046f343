"""The WebGPU device: types, equal bits however rows come, errors that do not end the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import llmpy
from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.tensors import TYPES
from llmpy.backends.reference.backend import ReferenceBackend
from llmpy.cli import group
from llmpy.graph import Value, Weights
from tests.arch import checkpoints
from tests.backends.gpu.devices import gpu_backend, gpu_device
from tests.backends.gpu.recording import RecordingDevice
from tests.ops.harness import Model, near, random
from tests.session.conftest import STORIES

ODD = {"F32", "F16", "BF16"}  # types whose rows may have any length
SENTENCE = "Once upon a time, there was a little girl named Lily."


def products(x: Value, w: Weights) -> Value:
    """Matmuls with a bias and without, of heads and of experts."""
    y = x + x.linear(w.a)
    z = y.concat(y).heads(2).linear_heads(w.h).flatten()
    return x.moe(z.linear(w.router).route(2), w.g, w.u, w.d, 2).linear(w.out)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_type_is_the_references_and_equal_however_rows_come(dtype: str) -> None:
    n = 100 if dtype in ODD else 256
    shapes = {
        "a": (n, n),
        "h": (2, 40, n),
        "out": (70, n),
        "g": (3, n, n),
        "u": (3, n, n),
        "d": (3, n, n),
    }
    weights = {
        f"{k}.weight": (dtype, random(i, *s) / 16) for i, (k, s) in enumerate(shapes.items())
    }
    weights |= {"a.bias": ("F32", random(8, n)), "router.weight": ("F32", random(9, 3, 80))}
    x = random(10, 40, n)
    ours = Model(gpu_backend(), x, products, weights)
    tokens = list(range(40))
    whole = ours.read(tokens)
    near(whole, Model(ReferenceBackend(), x, products, weights).read(tokens), 2e-5)
    for chunk in (1, 3, 9):
        np.testing.assert_array_equal(ours.read(tokens, chunk), whole)


def test_a_real_model_answers_on_the_command_line(smollm2: Path) -> None:
    gpu_device()
    options = ["infer", "-m", str(smollm2), "--backend", "gpu", "--temperature", "0", "-n", "2"]
    result = CliRunner().invoke(group, [*options, "-p", "The capital of France is"])
    assert result.exit_code == 0
    assert result.stdout.strip().endswith("Paris.")


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "mamba2", "gpt-oss"])
def test_tiny_models_say_on_the_command_line_what_the_cpu_says(name: str, tmp_path: Path) -> None:
    gpu_device()
    golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
    checkpoints.write(tmp_path, golden.about["config"], golden.weights(spec), spec.relative)
    shared = ["--temperature", "0", "-n", "8", "-c", "128", "--kv-dtype", "f32", "--json"]
    said = []
    for backend in ("gpu", "cpu"):
        given = ["-m", str(tmp_path), "--backend", backend, "-p", "Once upon a time"]
        result = CliRunner().invoke(group, ["infer", *given, *shared])
        assert result.exit_code == 0, result.output
        said.append(json.loads(result.stdout)["tokens"])
    assert said[0] == said[1]
    assert len(said[0]) == 8


def test_a_lost_device_is_an_error_and_the_next_load_works(
    shared_data: Callable[[str], Path],
) -> None:
    gpu_device()
    from llmpy.backends.gpu.wgpu_device import WgpuDevice, adapters

    path = shared_data(STORIES)
    device = WgpuDevice(adapters()[0])
    with llmpy.load(path, backend=GpuBackend(device)) as model:
        session = model.session(sampler=llmpy.greedy())
        session.infer(SENTENCE, max_tokens=2)
        device.close()
        with pytest.raises(llmpy.BackendError, match=r"was lost .*load the model again"):
            session.infer(" She", max_tokens=2)
    with llmpy.load(path, backend=gpu_backend()) as model:
        assert model.session(sampler=llmpy.greedy()).infer(SENTENCE, max_tokens=2)


FORKED = """
import os, sys
import llmpy
from llmpy.backends.gpu.find import device_names

model = llmpy.load(sys.argv[1], backend="gpu", n_ctx=128)
session = model.session(sampler=llmpy.greedy())
session.infer("Once", max_tokens=2)
child = os.fork()
if child == 0:
    refused = 0
    for call in (
        lambda: session.infer(" upon", max_tokens=2),
        lambda: model.session().infer("Once", max_tokens=2),
        lambda: llmpy.load(sys.argv[1], backend="gpu"),
    ):
        try:
            call()
        except llmpy.BackendError as error:
            refused += "forked from one that had opened the GPU" in str(error)
    session.close()
    with llmpy.load(sys.argv[1], backend="cpu") as other:
        refused += other.session().infer("Once", max_tokens=2).n_generated == 2
    model.close()
    os._exit(refused)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), session.infer(" upon", max_tokens=2).n_generated)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_told_and_the_first_one_goes_on(
    shared_data: Callable[[str], Path],
) -> None:
    gpu_device()
    arguments = [sys.executable, "-c", FORKED, str(shared_data(STORIES))]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.split() == ["4", "2"], done.stderr


@pytest.mark.parametrize("on", ["numpy", "adapter"])
def test_a_model_warms_up_before_it_has_pages(on: str, shared_data: Callable[[str], Path]) -> None:
    backend = GpuBackend(RecordingDevice()) if on == "numpy" else gpu_backend()
    with llmpy.load(shared_data(STORIES), backend=backend) as model:
        model.warm_up()
        session = model.session(sampler=llmpy.greedy())
        assert session.infer(SENTENCE, max_tokens=2).n_generated == 2
        model.warm_up()
        assert session.infer(" She", max_tokens=2).n_generated == 2


def test_a_buffer_beyond_the_largest_is_out_of_memory() -> None:
    with pytest.raises(llmpy.OutOfMemory, match="has at most"):
        gpu_device().buffer(1 << 50)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_generating_several_tokens_is_one_after_another(
    shared_data: Callable[[str], Path], temperature: float
) -> None:
    """A callback gets each token before the next is computed."""
    texts = []
    for callback in (None, lambda _: None):
        with llmpy.load(shared_data(STORIES), backend=gpu_backend()) as model:
            session = model.session(sampler=llmpy.temperature(temperature), seed=3)
            session.infer(SENTENCE, callback, max_tokens=50)
            texts.append(session.text)
    assert texts[0] == texts[1]
