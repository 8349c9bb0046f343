"""Shared fixtures: where the real test data lies.

Small files with a licence that allows it are in tests/data, whose PROVENANCE.tsv says where each
comes from. The rest is looked for in ../shared/data or where LLMPY_TEST_DATA says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tools import fetch_models

COMMITTED = Path(__file__).with_name("data")
BESIDE = Path(__file__).parents[1].parent / "shared" / "data"
DATA = Path(os.environ.get("LLMPY_TEST_DATA", BESIDE))

# The same examples in every run. How long one takes says nothing on a busy machine or an emulator.
hypothesis.settings.register_profile("llmpy", deadline=None, derandomize=True)
hypothesis.settings.load_profile("llmpy")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With LLMPY_CPU, leave out the tests of other backends, and those that name a level.

    They compute the same whatever it says.
    """
    if not os.environ.get("LLMPY_CPU"):
        return
    from tests.ops.harness import LEVELS

    elsewhere = {"reference", "array", "gpu", *LEVELS}
    left_out = [item for item in items if elsewhere & set(_parameters(item))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not elsewhere & set(_parameters(item))]


def _parameters(item: pytest.Item) -> Iterator[str]:
    """The words among the parameters of a test."""
    if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        for value in item.callspec.params.values():
            if isinstance(value, str):
                yield from value.split()


@pytest.fixture(scope="session", autouse=True)
def no_installed_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests see none of the models that the user has; the folder for models is empty at first."""
    folder = tmp_path_factory.mktemp("installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMPY_MODELS", str(folder / "models"))
        patch.setenv("OLLAMA_MODELS", str(folder / "ollama"))
        patch.delenv("LLMPY_ALLOW_LICENSES", raising=False)
        yield folder


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of any program, whatever other tests have installed in this session."""
    monkeypatch.setenv("LLMPY_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    monkeypatch.setattr("llmpy.hub.neighbours._home", lambda: tmp_path)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a file of the test data by its name, or of a folder beside the repository.

    Skips where it is absent.
    """

    def find(name: str) -> Path:
        committed = COMMITTED / name
        path = committed if committed.is_file() else DATA / name
        if not path.exists():
            pytest.skip(f"test data not found: {path} (set LLMPY_TEST_DATA)")
        return path

    return find


def real_model(name: str) -> Path:
    """Path of a real model of tools/fetch_models.py; skips where it was not fetched."""
    path = fetch_models.path_of(name)
    if not path.exists():
        pytest.skip(f"model not found: {path} (run python tools/fetch_models.py {name})")
    return path


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, Q4_1: a Llama with a ChatML template."""
    return real_model("smollm2")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2: a folder of Hugging Face with an encoder."""
    return real_model("minilm")
