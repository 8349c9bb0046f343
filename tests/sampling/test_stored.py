"""Chains as data: what comes back is what was stored, and nothing else is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest

import llmpy
from llmpy.sampling import Chain, chain
from llmpy.sampling import stored as module
from llmpy.sampling.adaptive import AdaptiveP, Mirostat1, Mirostat2
from llmpy.sampling.penalties import Frequency, IgnoreEos, LogitBias, Presence, Repetition
from llmpy.sampling.repeats import Dry, SequenceRepetition
from llmpy.sampling.stored import chain_from_data, data_of_chain
from llmpy.sampling.temperatures import DynamicTemperature, Greedy, Temperature
from llmpy.sampling.texts import BannedStrings
from llmpy.sampling.truncation import (
    LocallyTypical,
    MinP,
    TailFree,
    TopA,
    TopK,
    TopNSigma,
    TopP,
    Xtc,
)

STEPS = [
    AdaptiveP(0.5), Mirostat1(4.0, mu=8.0), Mirostat2(), Frequency(0.25), IgnoreEos(),
    LogitBias({5: -1.5, 9: float("-inf")}), Presence(0.5, -1), Repetition(1.25),
    Dry(breakers=("a",)), SequenceRepetition(0.5, 0.25), DynamicTemperature(0.5, 1.5), Greedy(),
    Temperature(0.7), BannedStrings("one", "two"), LocallyTypical(0.9), MinP(0.05), TailFree(0.9),
    TopA(), TopK(40), TopNSigma(1.0), TopP(0.95, 2), Xtc(),
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_a_step_comes_back_as_it_was(step: Any) -> None:
    data = json.loads(json.dumps(data_of_chain(Chain((step,)))))
    assert chain_from_data(data).steps == (step,)


def test_every_step_is_tried() -> None:
    assert {type(step) for step in STEPS} == set(module._known().values())


def test_the_usual_chain_comes_back() -> None:
    usual = llmpy.default_chain(repeat_penalty=1.1, logit_bias={3: 2.0})
    assert chain_from_data(data_of_chain(usual)).steps == usual.steps


def test_a_step_of_ones_own_is_no_data() -> None:
    class Own(TopK):
        pass

    assert data_of_chain(chain(lambda logits, _: logits)) is None
    assert data_of_chain(chain(Own(4))) is None


@pytest.mark.parametrize(
    "data",
    [None, "x", [5], [{}], [{"step": "Own"}], [{"step": "_Mirostat"}], [{"step": ["TopK"]}],
     [{"step": "TopK", "k": "many"}], [{"step": "TopK"}], [{"step": "TopK", "k": 4, "more": 1}],
     [{"step": "LogitBias", "bias": 5}], [{"step": "BannedStrings", "strings": 5}]],
)  # fmt: skip
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(llmpy.SamplerError):
        chain_from_data(data)
