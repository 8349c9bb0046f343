"""/infill, and the suffix of completions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy.format import open_gguf, write_gguf
from tests.server.conftest import Running, serving

GAP = {"input_prefix": "Once upon", "input_suffix": " there was a cat"}
ASKED: dict[str, Any] = {"temperature": 0, "n_predict": 8}


@pytest.fixture(scope="module")
def path(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is told that some of its tokens stand around gaps."""
    found = tmp_path_factory.mktemp("infill") / "model.gguf"
    with open_gguf(stories) as file:
        metadata = dict(file.metadata)
        for i, part in enumerate(("pre", "suf", "mid")):
            metadata[f"tokenizer.ggml.fim_{part}_token_id"] = 300 + i
        tensors = [(n, i.dtype, i.shape, file.data(n)) for n, i in file.tensors.items()]
        write_gguf(found, metadata, tensors)
    return found


@pytest.fixture(scope="module")
def filler(path: Path) -> Iterator[Running]:
    with serving(f"m={path}") as running:
        yield running


def test_a_gap_is_filled_as_the_library_fills_it(filler: Running, path: Path) -> None:
    with llmpy.load(path) as model, model.session(sampler="greedy") as session:
        expected = session.infill(*GAP.values(), max_tokens=8)
    answer = filler.post("/infill", {**GAP, **ASKED}).json
    assert answer["content"] == expected
    assert (answer["stop_type"], answer["tokens_predicted"]) == ("limit", 8)
    events = filler.post("/infill", {**GAP, **ASKED, "stream": True}).events
    assert "".join(event["content"] for event in events) == expected
    asked = {"prompt": "Once upon", "suffix": GAP["input_suffix"], "max_tokens": 8}
    choice = filler.post("/v1/completions", {**asked, "temperature": 0}).json["choices"][0]
    assert choice["text"] == expected
    options = {"temperature": 0, "num_predict": 8}
    asked = {"model": "m", "prompt": "Once upon", "suffix": GAP["input_suffix"], "stream": False}
    assert filler.post("/api/generate", {**asked, "options": options}).json["response"] == expected


def test_a_model_that_fills_no_gaps_says_so(server: Running) -> None:
    answer = server.post("/infill", GAP)
    assert (answer.status, answer.json["error"]["code"]) == (400, "unsupported_model")
