"""The backend around the kernels: instruction sets, processors, unusual types, processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from llmpy.backends.cpu.backend import kept_bytes
from llmpy.dtypes import BY_NAME
from llmpy.errors import BackendError
from llmpy.format import TensorInfo
from llmpy.graph import Value, Weights
from llmpy.machine import cpus
from tests.ops.harness import LEVELS, Model, cpu_backend, random, stored
from tests.threads import finish


def product(x: Value, w: Weights) -> Value:
    return x.linear(w.a)


def test_the_environment_forces_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_backend()
    monkeypatch.setenv("LLMPY_CPU", "portable")
    assert cpu_backend().level == "portable"
    monkeypatch.setenv("LLMPY_CPU", "")
    assert cpu_backend().level in LEVELS


def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_backend()
    from llmpy.backends.cpu.backend import CpuBackend

    monkeypatch.setenv("LLMPY_CPU", "sse9")
    with pytest.raises(BackendError, match=r"expected one of portable, .*, found 'sse9'"):
        CpuBackend()


def test_a_level_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_backend()
    from llmpy.ffi import support

    class Old:
        def llmpy_level_runs_here(self, number: int) -> int:
            return int(number == 0)

        def llmpy_level_name(self, number: int) -> bytes | None:
            return [b"portable", b"avx2", b"avx512", None][number]

    monkeypatch.setattr(support, "library", Old)
    monkeypatch.delenv("LLMPY_CPU", raising=False)
    assert support.level_number() == 0
    with pytest.raises(BackendError, match="cannot run 'avx512'; it can run portable"):
        support.level_number("avx512")


def test_never_more_threads_than_processors() -> None:
    cpu_backend()
    from llmpy.backends.cpu.backend import CpuBackend

    assert CpuBackend(n_threads=10_000).n_threads == cpus.available_cpus()
    assert CpuBackend().n_threads == cpus.available_cpus()


@pytest.mark.parametrize("shape", [(32, 256), (3, 32, 256)])
def test_a_type_without_a_kernel_becomes_f16_with_one_warning(shape: tuple[int, ...]) -> None:
    engine = cpu_backend()
    values = np.zeros(shape, np.float32)
    data = stored("TQ2_0", values)
    use = frozenset({"moe" if len(shape) == 3 else "linear"})
    with pytest.warns(RuntimeWarning, match="no kernel for the type TQ2_0: its tensors become F16"):
        tensor = engine.upload("a", BY_NAME["TQ2_0"], shape, data, use)
    assert tensor.dtype.name == "F16"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.upload("b", BY_NAME["TQ2_0"], shape, data, use)


@pytest.mark.parametrize("dtype", ["TQ2_0", "Q4_0", "F32"])
def test_weights_are_counted_as_they_will_be_kept(dtype: str) -> None:
    data = stored(dtype, np.zeros((32, 256), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        tensor = cpu_backend().upload("a", BY_NAME[dtype], (32, 256), data, frozenset({"linear"}))
    stored_as = TensorInfo("a", BY_NAME[dtype], (32, 256), 0, data.nbytes)
    assert kept_bytes(stored_as, frozenset({"linear"})) == 32 * tensor.dtype.row_bytes(256)


def test_a_type_without_a_kernel_gives_the_numbers_it_means() -> None:
    values = random(1, 8, 256)
    with pytest.warns(RuntimeWarning, match="no kernel"):
        ours = Model(cpu_backend(), random(2, 4, 256), product, {"a.weight": ("TQ2_0", values)})
    from llmpy.backends.reference.backend import ReferenceBackend

    reference = Model(
        ReferenceBackend(), random(2, 4, 256), product, {"a.weight": ("TQ2_0", values)}
    )
    np.testing.assert_allclose(ours.rows(), reference.rows(), atol=5e-3)


def test_numbers_that_f16_cannot_hold_become_f32() -> None:
    engine = cpu_backend()
    data = np.array([[1e30, 1.0]], np.float64).view(np.uint8).reshape(-1)
    with pytest.warns(RuntimeWarning, match="become F32"):
        tensor = engine.upload("a", BY_NAME["F64"], (1, 2), data, frozenset({"linear"}))
    assert tensor.dtype.name == "F32"


def test_too_few_bytes_are_refused() -> None:
    with pytest.raises(BackendError, match="expected 64 bytes, found 60"):
        cpu_backend().upload(
            "a", BY_NAME["F32"], (4, 4), np.zeros(60, np.uint8), frozenset({"linear"})
        )


def test_unknown_types_are_refused() -> None:
    with pytest.raises(BackendError, match="cannot read the type I32"):
        cpu_backend().upload(
            "a", BY_NAME["I32"], (1, 1), np.zeros(4, np.uint8), frozenset({"linear"})
        )


def test_models_in_two_threads_share_the_processors() -> None:
    weights = {"a.weight": ("F32", random(2, 600, 600))}
    models = [Model(cpu_backend(None, 2), random(i, 40, 600), product, weights) for i in range(2)]
    expected = [m.rows() for m in models]
    wrong: list[int] = []

    def read(i: int) -> None:
        for _ in range(30):
            if not np.array_equal(models[i].rows(), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_can_run_the_model() -> None:
    cpu_backend(None, 2)
    program = """
import os, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from tests.ops.harness import Model, cpu_backend, random
weights = {"a.weight": ("F32", random(2, 600, 600))}
model = Model(cpu_backend(None, 2), random(1, 40, 600), lambda x, w: x.linear(w.a), weights)
expected = model.rows()
child = os.fork()
same = np.array_equal(model.rows(), expected)
if child == 0:
    os._exit(0 if same else 1)
print(same, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", program, str(root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.split() == ["True", "0"], result.stderr


def group(root: Path, name: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / name
    folder.mkdir(parents=True)
    for file, text in files.items():
        (folder / file.replace("_", ".", 1)).write_text(text)


def quota(root: Path, lines: str) -> float | None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    return cpus.cpu_quota(root)


def test_quota_of_control_groups_version_2(tmp_path: Path) -> None:
    group(tmp_path, "a/b", cpu_max="max 100000\n")
    (tmp_path / "sys/fs/cgroup/a/cpu.max").write_text("150000 100000\n")
    assert quota(tmp_path, "0::/a/b\n") == 1.5


def test_quota_of_control_groups_version_1(tmp_path: Path) -> None:
    group(tmp_path, "cpu,cpuacct/a", cpu_cfs_quota_us="50000", cpu_cfs_period_us="100000")
    assert quota(tmp_path, "5:memory:/a\n4:cpu,cpuacct:/a\n") == 0.5


def test_no_quota(tmp_path: Path) -> None:
    group(tmp_path, "a", cpu_max="max 100000\n")
    assert quota(tmp_path, "0::/a\n") is None
    assert cpus.cpu_quota(tmp_path / "nowhere") is None
