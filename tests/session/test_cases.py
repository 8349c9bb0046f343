"""Cases in JSON, of the kinds that llm-test has: what is said, how many tokens a text has, and that
a text that is deleted and fed again gives equal logits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from tests.conftest import real_model
from tests.session.test_edit import logits_of

CASES = Path(__file__).with_name("cases")
Find = Callable[[str], Path]


def inference(model: llmpy.Model, case: dict[str, Any], find: Find) -> None:
    session = model.session(sampler=llmpy.greedy())
    pieces = session.stream(case["input"], max_tokens=case["maximum_token_count"])
    if "output_file" in case:  # from the beginning of the text
        expected = find(case["output_file"]).read_text("utf-8")
        assert "".join(piece.text for piece in pieces) == expected
    else:
        text = "".join(piece.text for piece in pieces if piece.kind != "prompt")
        assert text == case["output"]


def tokens(model: llmpy.Model, case: dict[str, Any], _: Find) -> None:
    session = model.session()
    assert session.feed(case["input"]) == case["output"] == len(session)


def delete(model: llmpy.Model, case: dict[str, Any], _: Find) -> None:
    session = model.session()
    session.feed(case["input"])
    tokens, expected = session.tokens, logits_of(session)
    for n in case["delete"]:
        session.rewind(len(tokens) - n)
        session.feed(tokens[len(tokens) - n :])
        assert session.tokens == tokens
        np.testing.assert_array_equal(logits_of(session), expected)


KINDS = {"Inference": inference, "Tokens": tokens, "Delete": delete}


@pytest.mark.parametrize(
    ("name", "backend"), [("stories260K", "cpu"), ("stories260K", "reference"), ("smollm2", "cpu")]
)
def test_cases(name: str, backend: str, shared_data: Find) -> None:
    described = json.loads((CASES / f"{name}.json").read_text("utf-8"))
    name = described["model"]
    model_path = real_model(name) if "/" not in name else shared_data(name)
    assert described["cases"]
    with llmpy.load(model_path, backend=backend, n_ctx=512) as model:
        for case in described["cases"]:
            ((kind, values),) = case.items()
            KINDS[kind](model, values, shared_data)
