"""Checkpoints of every architecture, through our converter, against the original implementation.

For each golden that there is: an architecture joins by its file, its model and its golden alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from llmpy import ffi
from llmpy.graph import show
from tests.arch import checkpoints
from tests.arch.steps import Logits, Runner, load, make_backend
from tests.snapshots.rewrite import PROGRAMS as SHOWN
from tests.snapshots.rewrite import program
from tools.measure_models import features

NEAR = 2e-4  # of the largest logit: what is promised; float32 gives about 1e-6
SNAPSHOTS = Path(__file__).parents[1] / "snapshots" / "checkpoints"
PROGRAMS = Path(__file__).parents[1] / "snapshots" / "programs"
PEER = 5e-4  # llama.cpp looks GELU up in a table of float16

names = pytest.mark.parametrize("name", checkpoints.goldens())
# Of all kinds of layers; .ci/full has the others too.
ON_GPU = (
    "llama", "qwen3", "gemma3", "mamba2", "gpt-oss", "deepseek-v3", "falcon_mamba", "qwen3_next",
    "bert",
)  # fmt: skip


def on_backends(models: Iterable[str]) -> pytest.MarkDecorator:
    """Each model on each backend; most of those on a GPU take minutes together."""
    pairs = [
        pytest.param(name, backend, marks=pytest.mark.full)
        if backend == "gpu" and name not in ON_GPU
        else (name, backend)
        for name in models
        for backend in ("reference", "cpu", "array", "gpu")
    ]
    return pytest.mark.parametrize(("name", "backend"), pairs)


everywhere = on_backends(checkpoints.goldens())
causal = on_backends(n for n in checkpoints.goldens() if checkpoints.spec(n).causal)
Load = Callable[[str, str], Runner]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """`loaded(name, backend)`, each loaded once, from a folder written once."""
    folder = tmp_path_factory.mktemp("checkpoints")
    made: dict[tuple[str, str], Runner] = {}

    def find(name: str, backend: str) -> Runner:
        at: Path = folder / name
        if not at.exists():
            golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
            weights = golden.weights(spec)
            checkpoints.write(at, golden.about["config"], weights, spec.relative)
        if (name, backend) not in made:
            made[name, backend] = load(at, make_backend(backend))
        return made[name, backend]

    return find


def tokens(runner: Runner) -> list[int]:
    embedding = next(n for n in runner.graph.nodes if n.op == "embed").weights[0]
    n_vocab = runner.graph.shapes[embedding][0]
    return list(checkpoints.prompt(n_vocab))


def distance(a: Logits, b: Logits) -> float:
    assert a.shape == b.shape
    assert np.isfinite(a).all()
    return float(np.abs(a - b).max() / np.abs(b).max())


def near(golden: checkpoints.Golden) -> float:
    """How near we must be to what transformers made, or where it cannot, to llama.cpp's."""
    return PEER if "original" in golden.about else NEAR


@names
def test_the_weights_are_those_of_the_golden(name: str) -> None:
    golden = checkpoints.load_golden(name)
    weights = golden.weights(checkpoints.spec(name))
    assert checkpoints.fingerprint(weights) == golden.about["fingerprint"], "make it anew"


@everywhere
def test_a_whole_prompt_gives_the_original_logits(name: str, backend: str, loaded: Load) -> None:
    runner = loaded(name, backend)
    golden = checkpoints.load_golden(name)
    assert distance(runner.whole(tokens(runner)), golden.logits) < near(golden)


@causal
def test_token_by_token_gives_the_original_logits(name: str, backend: str, loaded: Load) -> None:
    runner = loaded(name, backend)
    read = tokens(runner)
    logits = runner.read(read, [1] * len(read))
    golden = checkpoints.load_golden(name)
    assert distance(logits, golden.logits) < near(golden)


@causal
def test_any_chunks_give_the_same_bits(name: str, backend: str, loaded: Load) -> None:
    runner = loaded(name, backend)
    read = tokens(runner)
    whole = runner.whole(read)
    for chunks in ([1] * len(read), [7, 1, 19, 13], [39, 1]):
        np.testing.assert_array_equal(runner.read(read, chunks), whole)


@names
def test_cpu_equals_reference(name: str, loaded: Load) -> None:
    cpu, reference = (loaded(name, backend) for backend in ("cpu", "reference"))
    read = tokens(cpu)
    assert distance(cpu.whole(read), reference.whole(read)) < NEAR


def test_the_models_on_a_gpu_are_there() -> None:
    assert set(ON_GPU) <= set(checkpoints.goldens())


@names
def test_llama_cpp_agrees_on_our_files(name: str) -> None:
    peer = checkpoints.load_golden(name).about.get("peer")
    if not checkpoints.spec(name).peer:
        assert peer is not None, "make the golden with --peer-python"
        assert peer.get("unknown") or peer["difference"] < PEER


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@names
def test_the_golden_keeps_a_measurement(name: str, backend: str) -> None:
    golden = checkpoints.load_golden(name)
    measured = golden.about.get("measured", {})
    assert measured.get(backend, np.inf) < near(golden), "run tools/measure_models.py"


@names
def test_the_golden_names_the_features_of_the_graph(name: str, loaded: Load) -> None:
    measured = checkpoints.load_golden(name).about["measured"]
    assert measured["features"] == features(loaded(name, "reference").graph)


def test_each_model_has_its_golden() -> None:
    assert checkpoints.goldens() == checkpoints.names()


@names
def test_the_graph_is_the_one_in_the_snapshot(name: str, loaded: Load) -> None:
    snapshot = SNAPSHOTS / f"{name}.txt"
    assert show(loaded(name, "reference").graph) + "\n" == snapshot.read_text("utf-8"), (
        "if the change is meant, run: python tests/snapshots/rewrite.py"
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.txt")))
def test_the_native_program_is_the_one_in_the_snapshot(name: str, tmp_path: Path) -> None:
    if not ffi.available():
        pytest.skip("no compiled library")
    golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
    checkpoints.write(tmp_path, golden.about["config"], golden.weights(spec), spec.relative)
    assert program(tmp_path) + "\n" == (PROGRAMS / f"{name}.txt").read_text("utf-8"), (
        "if the change is meant, run: python tests/snapshots/rewrite.py"
    )


def test_no_snapshot_lies_there_without_its_golden() -> None:
    assert {p.stem for p in PROGRAMS.glob("*.txt")} == set(SHOWN)
    assert {p.stem for p in SNAPSHOTS.glob("*.txt")} == set(checkpoints.goldens())
