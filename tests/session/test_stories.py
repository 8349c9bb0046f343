"""The trained model tells its known story, whatever the container and the backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import llmpy


@pytest.mark.parametrize("name", ["stories260K.gguf", "tinyllamas-stories-260k-f32.v1.gguf"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("kv_dtype", ["auto", "f32"])
def test_greedy_story_is_the_published_one(
    shared_data: Callable[[str], Path], name: str, backend: str, kv_dtype: str
) -> None:
    expected = shared_data("weights/stories260K/expected-greedy-200.txt").read_bytes()
    path = shared_data(f"weights/stories260K/{name}")
    with llmpy.load(path, backend=backend, kv_dtype=kv_dtype) as model:
        session = model.session(sampler=llmpy.greedy())
        pieces = list(session.stream("", max_tokens=200))
    assert "".join(p.text for p in pieces).encode() == expected
