"""The parser with a model of random weights: whatever it says can be read, and is kept right."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmpy
from llmpy.apps import dates
from llmpy.apps.dates import parsing
from tests.dates import test_handmade as handmade

TEXTS = [row[0] for row in handmade.rows()][::8]


def said(answers: list[dates.Answer]) -> list[tuple[str, str, float]]:
    return [(answer.text, answer.edtf, answer.confidence) for answer in answers]


def asked(monkeypatch: pytest.MonkeyPatch, model: llmpy.Model) -> list[list[int]]:
    """The prompts that the model is given from now on."""
    prompts: list[list[int]] = []
    steps = model.batch_steps

    def batch_steps(source: Any, **options: Any) -> Any:
        given_now = list(source)
        prompts.extend(given_now)
        return steps(given_now, **options)

    monkeypatch.setattr(model, "batch_steps", batch_steps)
    return prompts


def test_many_are_answered_as_each_alone(random_model: llmpy.Model, parser: dates.Parser) -> None:
    together = list(parser.parse_many(TEXTS, n_parallel=7))
    for text, answer in zip(TEXTS, together, strict=True):
        (alone,) = dates.Parser(random_model).parse_many([text])
        assert (answer.text, answer) == (text, alone)
        assert answer.confidence == pytest.approx(alone.confidence)


def test_confidence_is_the_probability_under_the_constraint(
    random_model: llmpy.Model, parser: dates.Parser
) -> None:
    """Multiplied up, token by token, from the logits of a session."""
    (answer,) = parser.parse_many(["1914"])
    table, tokenizer = parser._table, random_model.tokenizer
    expected, state = 1.0, np.zeros(1, np.intp)
    with random_model.session() as session:
        prompt = [1, *tokenizer.encode("1914"), 3]
        for step in session.steps(prompt):
            (row,) = table.rows(state)
            logits = np.where(row >= 0, step.logits[table.columns], -np.inf).astype(np.float64)
            best = int(logits.argmax())
            expected *= 1 / float(np.exp(logits - logits[best]).sum())
            step.choose(int(table.columns[best]))
            state = row[best : best + 1].astype(np.intp)
    assert 0 < answer.confidence == pytest.approx(expected)


@settings(max_examples=40)
@given(st.text(max_size=300))
def test_any_text_has_an_answer(random_model: llmpy.Model, text: str) -> None:
    (answer,) = dates.Parser(random_model).parse_many([text])
    assert all(dates.from_edtf(value.edtf) for value in answer)
    assert 0 <= answer.confidence <= 1


@pytest.mark.parametrize("text", ["\ud800", "a" * 100_000, "<sep></s><s>", "日" * 300, "\0", ""])
def test_hostile_texts_have_an_answer(parser: dates.Parser, text: str) -> None:
    (answer,) = parser.parse_many([text])
    assert answer.text == text


def test_words_that_look_like_control_tokens_are_text(
    random_model: llmpy.Model, parser: dates.Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = asked(monkeypatch, random_model)
    list(parser.parse_many(["<sep>1914</s>"]))
    (prompt,) = prompts
    assert prompt[0] == 1
    assert prompt.count(3) == 1
    assert 2 not in prompt


def test_equal_texts_are_answered_once(
    random_model: llmpy.Model, parser: dates.Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = asked(monkeypatch, random_model)
    answers = list(parser.parse_many(["1914", " 1914\n", "1918", "1914"]))
    answers += parser.parse_many(["1918", "1914"])
    assert len(prompts) == 2
    assert [answer.text for answer in answers] == [
        "1914",
        " 1914\n",
        "1918",
        "1914",
        "1918",
        "1914",
    ]
    assert len({answer.edtf for answer in answers if "1914" in answer.text}) == 1
    answers[0].append(dates.from_edtf("2000"))
    assert answers[3] == answers[5] != answers[0]


def test_memory_is_bounded(
    random_model: llmpy.Model, parser: dates.Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "WINDOW", 4)
    monkeypatch.setattr(parsing, "REMEMBERED", 6)
    prompts = asked(monkeypatch, random_model)
    answers = list(parser.parse_many(str(i % 10) for i in range(30)))
    assert len(answers) == 30
    assert len(parser._known) == 6
    assert len(prompts) == 30  # each was forgotten when it came again
    list(parser.parse_many(["9", "8"]))
    assert len(prompts) == 30


def test_texts_are_read_when_they_are_needed(
    parser: dates.Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "WINDOW", 4)
    read = []

    def endless() -> Iterator[str]:
        while True:
            read.append(str(len(read)))
            yield read[-1]

    answers = parser.parse_many(endless())
    assert [next(answers).text for _ in range(6)] == list("012345")
    assert len(read) == 8


def test_an_answer_without_end_is_not_certain(
    parser: dates.Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "MOST_WRITTEN", 6)
    answers = list(parser.parse_many(TEXTS))
    cut = [answer for answer in answers if answer.confidence == 0]
    assert cut
    assert not any(answer.certain for answer in cut)


def test_one_text_is_no_list_of_texts(parser: dates.Parser) -> None:
    with pytest.raises(TypeError, match=r"parse\(text\)"):
        next(parser.parse_many("1914"))
    with pytest.raises(TypeError, match="expected str, found int"):
        next(parser.parse_many([1914]))  # type: ignore[list-item]


def test_a_model_of_something_else_is_refused(shared_data: Any) -> None:
    with (
        llmpy.load(shared_data("weights/stories260K/stories260K.gguf")) as model,
        pytest.raises(ValueError, match="a model of dates"),
    ):
        dates.Parser(model)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  1914\t–\r\n1918 ", "1914 – 1918"),
        ("14  October,    1066", "14  October,  1066"),
        ("fe\u0301vrier 1848", "février 1848"),
        ("1" * 300, "1" * 200),
        ("a\ud800b", "a?b"),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert dates.normalise(text) == unicodedata.normalize("NFC", expected)


def test_values_that_end_before_they_begin_are_not_certain() -> None:
    backwards, forwards = dates.from_edtf("1918/1914"), dates.from_edtf("1914/1918")
    assert not backwards.certain
    assert forwards.certain
    assert not dates.Answer("", [forwards, backwards], 1.0).certain
    assert not dates.Answer("", [], 0.4).certain


def test_parse_and_aparse_use_the_parser_of_the_package(
    parser: dates.Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "default_parser", lambda: parser)
    answer = dates.parse("1914")
    assert said([answer]) == said(list(dates.parse_many(["1914"])))
    assert said([answer]) == said([asyncio.run(dates.aparse("1914"))])


def test_an_answer_for_json() -> None:
    value = dates.from_edtf("0079-08-24/..")
    found = dates.Answer("since 24 August 79", [value], 0.75).as_dict()
    start = {"type": "date", "edtf": "0079-08-24", "earliest": "0079-08-24", "latest": "0079-08-24"}
    assert found == {
        "text": "since 24 August 79",
        "edtf": "0079-08-24/..",
        "dates": [
            {"type": "range", "edtf": "0079-08-24/..", "earliest": "0079-08-24", "latest": None}
            | {"start": start, "end": "open"}
        ],
        "confidence": 0.75,
        "certain": True,
    }
