"""The backend that docs/backends.md writes: its code, as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from tests.repository import sources
from tests.session.conftest import STORIES

PAGE = (sources.ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def page(shared_data: Callable[[str], Path]) -> dict[str, Any]:
    """What the page's code has defined when it has run, one block after the other."""
    names: dict[str, Any] = {"__name__": "page"}
    for code in CODE:
        exec(code.replace('"MODEL.gguf"', repr(str(shared_data(STORIES)))), names)
    return names


def test_the_page_has_code() -> None:
    assert len(CODE) == 2


def test_it_says_what_the_reference_says(page: dict[str, Any]) -> None:
    with (
        page["model"] as mine,
        llmpy.load(mine.path, backend="reference", kv_dtype="f32") as reference,
    ):
        tokens = mine.tokenizer.encode("Once upon a time there was a little girl named Lily.")
        found, expected = (
            np.concatenate([r.copy() for r in m.logits(tokens)]) for m in (mine, reference)
        )
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(np.abs(expected).max()))


def test_an_operation_that_it_lacks_is_named(page: dict[str, Any]) -> None:
    less = type("Less", (page["MyPlan"],), {"operations": {"embed": None}})
    with pytest.raises(llmpy.BackendError, match="that this backend lacks: add, attend, cached"):
        less(page["model"].graph, {}, 64)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("array:abacus", "expected one of numpy, torch, cupy, jax, mlx, found 'abacus'"),
        ("array:numpy:cuda", "numpy has no devices to choose from, found 'cuda'"),
        ("abacus", r"expected 'auto', 'cpu', 'gpu\[:DEVICE\]', 'reference' or 'array\["),
    ],
)
def test_a_name_that_means_nothing_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        llmpy.load(tmp_path / "x.gguf", backend=name)


def test_an_object_that_is_no_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="requirements, upload, prepare, kv_pool, compile"):
        llmpy.load(tmp_path / "x.gguf", backend=object())  # type: ignore[arg-type]


def test_a_namespace_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jax", None)
    with pytest.raises(llmpy.BackendError, match="the array backend on jax needs"):
        llmpy.load(tmp_path / "x.gguf", backend="array:jax")
