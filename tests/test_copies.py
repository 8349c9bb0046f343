"""What can be copied or sent to another process, and what says how to do without."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy import errors
from llmpy.ffi import available

STORIES = "weights/stories260K/stories260K.gguf"
WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {n}": lambda thing, n=n: pickle.loads(pickle.dumps(thing, n))
        for n in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}
ERRORS = [
    errors.ModelFileError("a.gguf", "header", "GGUF", "others", offset=3, hint="Look."),
    errors.UnsupportedModelError(None, "general.architecture", "llama", "'x'"),
    errors.SnapshotError("s", "version", "1", "2"),
    errors.ModelNotFound("name", "name", "an installed model", "none"),
    errors.OutOfMemory("5 bytes are needed", needed=5, free=3),
    errors.ContextFull(10, 12),
    errors.ConstraintError("too large", "/properties/a"),
    errors.AnswerError("it was cut off", "[1,", "length"),
    *(
        kind("what happened")
        for name in errors.__all__
        for kind in (getattr(errors, name),)
        if "__init__" not in vars(kind) and not issubclass(kind, errors.ModelFileError)
    ),
]


@pytest.fixture(params=WAYS)
def copied(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """One of the ways in which Python copies objects."""
    return WAYS[request.param]


@pytest.fixture(scope="module")
def model(shared_data: Callable[[str], Path]) -> Iterator[llmpy.Model]:
    """A small model that runs here."""
    backend = "cpu" if available() else "reference"
    with llmpy.load(shared_data(STORIES), backend=backend) as loaded:
        yield loaded


def test_the_list_has_every_error() -> None:
    assert {type(error).__name__ for error in ERRORS} == set(errors.__all__)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_an_error_stays_what_it_is(copied: Callable[[Any], Any], error: Exception) -> None:
    again = copied(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert traceback.format_exception_only(again) == traceback.format_exception_only(error)


def test_an_error_keeps_its_notes(copied: Callable[[Any], Any]) -> None:
    error = errors.ContextFull(10, 12)
    error.add_note("while reading a story")
    assert copied(error).__notes__ == ["while reading a story"]


def test_the_error_of_another_process_is_raised_here(tmp_path: Path) -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(llmpy.ModelFileError, match="no such file") as caught,
    ):
        pool.submit(llmpy.load, tmp_path / "missing.gguf").result()
    assert caught.value.path == str(tmp_path / "missing.gguf")


def test_stop_is_always_the_same_object(copied: Callable[[Any], Any]) -> None:
    assert copied(llmpy.STOP) is llmpy.STOP


def test_a_model_says_how_another_process_gets_it(
    copied: Callable[[Any], Any], model: llmpy.Model
) -> None:
    with pytest.raises(TypeError) as caught:
        copied(model)
    assert f"llmpy.load({str(model.path)!r}, n_ctx={model.n_ctx})" in str(caught.value)


def test_a_session_says_how_it_is_copied(copied: Callable[[Any], Any], model: llmpy.Model) -> None:
    with model.session() as session, pytest.raises(TypeError, match=r"fork\(\)") as caught:
        copied(session)
    assert f"llmpy.load({str(model.path)!r})" in str(caught.value)


def test_an_open_file_says_how_another_process_opens_it(
    copied: Callable[[Any], Any], model: llmpy.Model
) -> None:
    with (
        llmpy.open_model(model.path) as file,
        pytest.raises(TypeError, match=r"llmpy\.open_model"),
    ):
        copied(file)


@pytest.mark.parametrize(
    ("make", "use"),
    [
        (lambda m: m.tokenizer, lambda t: t.encode("Once upon a time, there")),
        (lambda m: m.metadata, lambda metadata: metadata["tokenizer.ggml.tokens"]),
        (lambda _: llmpy.default_chain(logit_bias={3: 1.5}), lambda c: c.steps),
        (lambda _: llmpy.Rng(5, 7), lambda r: [r.uniform() for _ in range(3)]),
    ],
    ids=["tokenizer", "metadata", "chain", "rng"],
)
def test_what_belongs_to_no_process_can_be_copied(
    copied: Callable[[Any], Any],
    model: llmpy.Model,
    make: Callable[[llmpy.Model], Any],
    use: Callable[[Any], Any],
) -> None:
    again = copied(make(model))
    assert use(again) == use(make(model))
