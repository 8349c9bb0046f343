"""load(): what it reports, what it refuses, and what it leaves behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import llmpy
from llmpy.backends.cpu import backend as backend_module
from llmpy.format import write_gguf

Data = Callable[[str], Path]
STORIES = "weights/stories260K/stories260K.gguf"
BACKENDS = ["cpu", "reference"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_progress_is_metadata_then_each_tensor_then_done(shared_data: Data, backend: str) -> None:
    events: list[llmpy.LoadEvent] = []
    with llmpy.load(shared_data(STORIES), backend=backend, progress=events.append) as model:
        kinds = [event.kind for event in events]
        assert kinds == ["metadata", *["tensor"] * len(model.tensors), "done"]
        assert {event.name for event in events[1:-1]} == model.tensors.keys()
    done = [event.bytes_done for event in events]
    assert done == sorted(done)
    assert done[-1] == events[0].bytes_total
    assert [event.seconds for event in events] == sorted(event.seconds for event in events)


@pytest.mark.parametrize("kind", ["metadata", "tensor", "done"])
def test_an_exception_in_progress_cancels_the_load(shared_data: Data, kind: str) -> None:
    class Cancelled(Exception):
        pass

    def cancel(event: llmpy.LoadEvent) -> None:
        if event.kind == kind:
            raise Cancelled

    with pytest.raises(Cancelled):
        llmpy.load(shared_data(STORIES), backend="cpu", progress=cancel)
    gc.collect()
    assert not [t for t in threading.enumerate() if t.name == "llmpy-pack"]


@pytest.mark.parametrize("name", ["n_ctx", "n_threads", "n_batch"])
@pytest.mark.parametrize("number", [0, -1, 2**31])
def test_impossible_numbers_are_refused(shared_data: Data, name: str, number: int) -> None:
    options: dict[str, int] = {name: number}
    with pytest.raises(ValueError, match=f"{name}: expected a positive whole number"):
        llmpy.load(shared_data(STORIES), **options)  # type: ignore[arg-type]


def test_an_unknown_backend_is_refused(shared_data: Data) -> None:
    with pytest.raises(ValueError, match="found 'cuda'"):
        llmpy.load(shared_data(STORIES), backend="cuda")


def test_an_unknown_type_of_keys_and_values_is_refused(shared_data: Data) -> None:
    with pytest.raises(ValueError, match=r"expected one of auto, int14, .*, found 'q7'"):
        llmpy.load(shared_data(STORIES), kv_dtype="q7")


def test_a_context_beyond_memory_is_refused_with_numbers(
    shared_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "available_memory", lambda: 3 << 20)
    with pytest.raises(
        llmpy.OutOfMemory, match=r"context of 100000 tokens .* are free.* would fit"
    ):
        llmpy.load(shared_data(STORIES), n_ctx=100_000)


def test_without_a_wish_the_context_is_what_memory_holds(
    shared_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "available_memory", lambda: (2 << 20) + (1 << 18))
    with llmpy.load(shared_data(STORIES)) as model:
        assert 64 <= model.n_ctx < 2048
        assert model.n_ctx % 64 == 0


def test_a_vocabulary_alone_is_no_model(shared_data: Data) -> None:
    with pytest.raises(llmpy.ModelFileError, match="tensors: expected the weights of a model"):
        llmpy.load(shared_data("vocab/ggml-vocab-phi-3.gguf"))


def test_what_a_file_recommends_never_makes_it_unusable(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    strange = {"temp": float("nan"), "top_k": -1, "top_p": 1.5, "min_p": "x", "penalty_repeat": 0.0}
    with llmpy.open_gguf(shared_data(STORIES)) as file:
        keys = dict(file.metadata) | {f"general.sampling.{k}": v for k, v in strange.items()}
        tensors = [(n, i.dtype, i.shape, file.data(n)) for n, i in file.tensors.items()]
        write_gguf(tmp_path / "m.gguf", keys, tensors)
    with pytest.warns(RuntimeWarning) as caught:
        model = llmpy.load(tmp_path / "m.gguf", n_ctx=64)
    with model:
        assert model.recommended_sampling == {"top_k": 0, "top_p": 1.0}
        assert model.session(seed=1).infer("Once", max_tokens=3).n_generated == 3
    named = sorted(str(w.message).split(": ")[1] for w in caught)
    assert named == [f"general.sampling.{key}" for key in ("min_p", "penalty_repeat", "temp")]
