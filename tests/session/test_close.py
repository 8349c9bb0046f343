"""Closing a model frees its memory at once, whoever still holds the model or its sessions."""

from __future__ import annotations

import gc
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llmpy
from llmpy.ffi import Memory
from tests.arch import checkpoints

STORIES = "weights/stories260K/stories260K.gguf"


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Without Python's cyclic garbage collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["stories", "falcon_h1"])
def path(
    request: pytest.FixtureRequest, shared_data: Callable[[str], Path], tmp_path: Path
) -> Path:
    """A model that no other test has open; the second has a recurrent state too."""
    if request.param == "stories":
        return Path(shutil.copy(shared_data(STORIES), tmp_path / "model.gguf"))
    golden = checkpoints.load_golden(request.param)
    spec = checkpoints.spec(request.param)
    checkpoints.write(tmp_path / "model", golden.about["config"], golden.weights(spec))
    return tmp_path / "model"


def n_native() -> int:
    """How many pieces of native memory there are."""
    return sum(isinstance(thing, Memory) for thing in gc.get_objects())


def used(path: Path) -> tuple[llmpy.Model, list[llmpy.Session]]:
    """A model that has done everything it can do, and sessions that hold pages of it."""
    model = llmpy.load(path, backend="cpu", n_ctx=256)
    model.embed([[5, 6, 7]])
    session = model.session(seed=1)
    session.infer([5] * 80, max_tokens=8)
    fork = session.fork()
    fork.infer([6], max_tokens=8)
    return model, [session, fork]


def test_no_native_memory_stays(path: Path) -> None:
    before = n_native()
    model, sessions = used(path)
    assert n_native() > before
    model.close()
    assert n_native() == before
    for session in sessions:
        session.close()
        with pytest.raises(llmpy.SessionClosed):
            session.next_token()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_file_is_mapped_no_more(path: Path) -> None:
    model, _ = used(path)
    assert str(path) in Path("/proc/self/maps").read_text()
    model.close()
    assert str(path) not in Path("/proc/self/maps").read_text()
