"""The samplers beside those of llama.cpp, whose results tools/make_sampler_goldens.py keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from llmpy.sampling import Rng, chain
from llmpy.sampling.step import View

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "llama_cpp.npz"))
TEXTS = list(dict.fromkeys(GOLDEN["texts"].tolist()))
# llama.cpp keeps numbers of single precision; these are what remains of that.
TOLERANCE = 2e-5


def rows(text):
    return [i for i, one in enumerate(GOLDEN["texts"].tolist()) if one == text]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_left_and_how_likely_it_is(text):
    (step,) = chain(text).steps
    session = SimpleNamespace(tokens=GOLDEN["history"].tolist())
    for i in rows(text):
        logits = GOLDEN["logits"][GOLDEN["cases"][i]]
        state = step.initial_state()
        for found in GOLDEN["found"][i]:
            out = step(logits, View(session, Rng(0), state))
            assert np.array_equal(out > -np.inf, found > -np.inf)
            left = found > -np.inf
            assert np.allclose(softmax(out[left]), softmax(found[left]), atol=TOLERANCE)
            token = int(GOLDEN["drawn"][i])
            if step.draws:
                state = step.next_state(logits, out, token, state)
                session = SimpleNamespace(tokens=[*session.tokens, token])


def softmax(logits):
    weight = np.exp(logits.astype(np.float64) - logits.max())
    return weight / weight.sum()


def test_none_is_left_out():
    assert len(TEXTS) >= 28
    assert len(set(GOLDEN["cases"].tolist())) == 5
