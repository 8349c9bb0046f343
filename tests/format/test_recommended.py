"""Recommendations of files: as their writers meant them, and never what makes a model unusable."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmpy
from llmpy.checkpoint.recommended import (
    CHECKPOINT_KEYS,
    GGUF_KEYS,
    KNOWN,
    recommended,
    recommended_sampling,
)
from llmpy.hub.catalogue import CATALOGUE

PATH = Path("folder") / "generation_config.json"


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("top_k", -1, {"top_k": 0}),
        ("top_k", 0, {"top_k": 0}),
        ("top_k", 40.0, {"top_k": 40}),
        ("temperature", -1, {"temperature": 0.0}),
        ("temperature", 0, {"temperature": 0.0}),
        ("temperature", np.float32(0.5), {"temperature": 0.5}),
        ("top_p", 1.5, {"top_p": 1.0}),
        ("top_p", 0, {"temperature": 0.0}),
        ("min_p", -0.5, {"min_p": 0.0}),
        ("repetition_penalty", 1.1, {"repeat_penalty": 1.1}),
        ("temperature", None, {}),
    ],
)
def test_values_are_what_their_writers_meant(key: str, value: Any, meant: dict[str, Any]) -> None:
    assert recommended(PATH, {key: value}, CHECKPOINT_KEYS) == meant


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("general.sampling.temp", math.nan),
        ("general.sampling.temp", math.inf),
        ("general.sampling.temp", "hot"),
        ("general.sampling.temp", True),
        ("general.sampling.top_k", 2.5),
        ("general.sampling.top_p", -0.1),
        ("general.sampling.min_p", 1.5),
        ("general.sampling.penalty_repeat", 0),
        ("general.sampling.penalty_repeat", [1.0]),
    ],
)
def test_what_means_nothing_is_ignored_and_named(key: str, value: Any) -> None:
    metadata = {key: value, "general.sampling.min_p": 0.25} | {key: value}
    with pytest.warns(RuntimeWarning, match=rf"generation_config\.json: {key}: expected .* found"):
        found = recommended(PATH, metadata, GGUF_KEYS)
    assert found == ({} if key.endswith("min_p") else {"min_p": 0.25})


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))


@given(metadata=st.fixed_dictionaries(dict.fromkeys(CHECKPOINT_KEYS, anything)))
def test_no_recommendation_makes_a_model_unusable(metadata: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameters = recommended(PATH, metadata, CHECKPOINT_KEYS)
    llmpy.default_chain(**parameters)


def test_makers_recommend_what_their_file_does_not_say(smollm2: Path, tmp_path: Path) -> None:
    makers = {"temperature": 0.2, "top_p": 0.9}
    assert recommended_sampling(smollm2, {}) == makers
    metadata = {"general.sampling.temp": 0.5}
    assert recommended_sampling(smollm2, metadata) == makers | {"temperature": 0.5}
    other = tmp_path / smollm2.name
    other.write_bytes(b"another file of that name")
    assert recommended_sampling(other, metadata) == {"temperature": 0.5}


def test_what_a_user_says_comes_before_the_makers(smollm2: Path) -> None:
    with llmpy.load(smollm2, n_ctx=64) as model:
        plain = llmpy.default_chain(temperature=0.2, top_p=0.9)
        assert str(model.session().sampler) == str(plain)
        asked = llmpy.default_chain(temperature=0.7, top_p=0.9)
        assert str(model.session(temperature=0.7).sampler) == str(asked)
        greedy = llmpy.greedy()
        assert str(model.session(sampler=greedy).sampler) == str(llmpy.chain(greedy))


def test_makers_are_known_of_files_of_the_catalogue_alone() -> None:
    files = {(name, entry.size) for entry in CATALOGUE for name in entry.files}
    assert {(name, size) for name, (size, _) in KNOWN.items()} <= files
    for _, parameters in KNOWN.values():
        llmpy.default_chain(**parameters)
