"""Random schemas on a model with random weights: each answer is valid, whatever is drawn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from random import Random

import jsonschema
import pytest

import llmpy
from tests.constraints.random_schemas import random_schema
from tools import random_gguf

N_DEFAULT = 150
N_FULL = 4000
SEEDS = 2
MOST_TOKENS = 200


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[llmpy.Model]:
    """A Llama of two layers, whose vocabulary has the bytes and some words."""
    path = tmp_path_factory.mktemp("random") / "tiny.gguf"
    random_gguf.make("tiny", path, dtype="F32", vocabulary=None, seed=1)
    with llmpy.load(path, n_threads=1) as model:
        yield model


def outcomes(model: llmpy.Model, numbers: range) -> Counter[str]:
    """What became of some schemas: "valid", "length", "refused" or "impossible"."""
    found: Counter[str] = Counter()
    for number in numbers:
        schema = random_schema(Random(number))
        for seed in range(SEEDS):
            with model.session(seed=seed) as session:
                try:
                    value = session.parse("x", schema, max_tokens=MOST_TOKENS)
                except llmpy.ConstraintError as error:
                    impossible = "no value is valid" in str(error)
                    found["impossible" if impossible else "refused"] += 1
                except llmpy.AnswerError as error:
                    found[error.finish_reason] += 1
                else:
                    jsonschema.Draft202012Validator(schema).validate(value)
                    found["valid"] += 1
    return found


def test_answers_are_valid(model: llmpy.Model) -> None:
    found = outcomes(model, range(N_DEFAULT))
    assert found.keys() <= {"valid", "length", "refused", "impossible"}
    assert found["valid"] > 0.5 * N_DEFAULT * SEEDS
    assert found["refused"] < 0.1 * N_DEFAULT * SEEDS


@pytest.mark.full
def test_thousands_of_answers_are_valid(model: llmpy.Model) -> None:
    found = outcomes(model, range(N_DEFAULT, N_DEFAULT + N_FULL))
    print(json.dumps(found))
    assert found["valid"] > 0.5 * N_FULL * SEEDS
