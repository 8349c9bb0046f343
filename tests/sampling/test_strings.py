"""Sampler strings: read, written, and what is said of wrong ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpy import sampling
from llmpy.errors import SamplerError
from llmpy.sampling import chain
from llmpy.sampling.strings import NAMES, parsed, printed


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("top-k:k=40/temperature:0.7", [sampling.top_k(40), sampling.temperature(0.7)]),
        ("  Top_K:40  TEMPERATURE:.7 ", [sampling.top_k(40), sampling.temperature(0.7)]),
        ("//top-p:p=0.9:min_keep=3//", [sampling.top_p(0.9, 3)]),
        ("top-p:min=3:0.9", [sampling.top_p(0.9, 3)]),
        ("repetition:pen=1.2:last=10", [sampling.repetition(1.2, 10)]),
        ("repetition : penalty = 1.2", None),
        ("freqpresence:freq=0.1:pres=0.2:last=30",
         [sampling.frequency(0.1, 30), sampling.presence(0.2, 30)]),
        ("frequency/presence:presence_penalty=1", None),
        ("seqrepetition:flat=1:min=3", [sampling.sequence_repetition(1.0, 0.0, 3)]),
        ("tail-free:z=0.95", [sampling.tail_free(0.95)]),
        ("locallytypical:.9/top-a/min-p:0.05",
         [sampling.locally_typical(0.9), sampling.top_a(), sampling.min_p(0.05)]),
        ("mirostat1:tau=4:eta=0.2:m=50", [sampling.mirostat1(4.0, 0.2, None, 50)]),
        ("temp:0.9/mirostat2:mu=3", [sampling.temperature(0.9), sampling.mirostat2(mu=3.0)]),
        ('logit-bias:15=-inf:" yes"=2', [sampling.logit_bias({15: -math.inf, " yes": 2.0})]),
        ('banned-strings:"a/b: c=d":"\\"x\\""', [sampling.banned_strings("a/b: c=d", '"x"')]),
        ('dry:mult=1:breakers=["\\n",7]', [sampling.dry(1.0, breakers=("\n", 7))]),
        ("", []),
    ],
)  # fmt: skip
def test_a_string_is_read(text, steps):
    if steps is None:
        with pytest.raises(SamplerError):
            parsed(text)
    else:
        assert list(parsed(text)) == steps
        assert list(parsed(printed(steps))) == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topk2:3", "no sampler is called 'topk2'; did you mean 'top-k'"),
        ("temprature:1", "did you mean 'temperature'"),
        ("zzz", "no sampler is called 'zzz'; There are repetition"),
        ("top-k:n=3", "top-k: no value is called 'n'; there are k, min_keep"),
        ("top-k:kk=3", "no value is called 'kk'; did you mean 'k'"),
        ("mirostat2:tua=3", "no value is called 'tua'; did you mean 'tau'"),
        ("sequence-repetition:m=3", "'m'; which may be min_length or max_merge"),
        ("top-k:1:2", "top-k: expected k once, found it twice"),
        ("top-p", "top-p: expected a value, as in top-p:p=..."),
        ("greedy:1", "greedy: expected no values, found one"),
        ("top-k:k=4.5", "top-k: k: expected a whole number, found '4.5'"),
        ("temperature:warm", "temperature: temperature: expected a number, found 'warm'"),
        ("top-p:2", "top_p: expected a number with 0 < top_p <= 1 .* found 2.0"),
        ("temperature:nan", "found nan"),
        ("logit-bias:yes=1", 'expected a text in double quotes, found \'yes\''),
        ("logit-bias:1", "logit-bias: expected ID=BIAS"),
        ('logit-bias:"yes=1', "expected a closing quote"),
        ("dry:breakers=3", "breakers: expected a list"),
        ("dry:breakers=" + "[" * 5000, "breakers: expected a list|at most"),
        ("x" * 200_000, "expected at most 100000 characters, found 200000"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(SamplerError, match=message):
        parsed(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top-k:40/mirostat2", "mirostat2 decides itself .* leave out top-k:k=40"),
        ("mirostat1/mirostat2", "mirostat1 .* expected it to be the last step, found mirostat2"),
        ("adaptive-p:0.5/temperature:1", "adaptive-p .* the last step, found temperature:1"),
    ],
)
def test_steps_that_exclude_each_other_are_named(text, message):
    with pytest.raises(SamplerError, match=message):
        chain(text)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_read(name):
    values = {
        "banned-strings": ':"a"',
        "dynamic-temperature": ":low=0.5:high=1",
        "adaptive-p": ":0.5",
    }
    needs = ("repetition", "frequency", "presence", "top-k", "top-p", "min-p", "temperature")
    needs += ("tail-free", "locally-typical", "top-n-sigma")
    (step,) = parsed(name + values.get(name, ":1" if name in needs else ""))
    assert step.name == name


@given(st.text(max_size=60) | st.text(alphabet='top-kmin:/=0.5" e\\', max_size=60))
@settings(max_examples=300)
def test_any_text_is_a_chain_or_our_error(text):
    try:
        steps = parsed(text)
    except SamplerError:
        return
    assert parsed(printed(steps)) == steps


@given(
    st.dictionaries(st.text(min_size=1, max_size=9) | st.integers(0, 99), st.floats(-9, 9)),
    st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=3),
)
@settings(max_examples=200)
def test_texts_are_written_so_that_they_are_read(bias, strings):
    steps = (sampling.logit_bias(bias), sampling.banned_strings(*strings))
    assert parsed(printed(steps)) == steps


def test_a_function_is_shown_by_its_name():
    assert str(chain(len, "top-k:3")) == "<len>/top-k:k=3"
