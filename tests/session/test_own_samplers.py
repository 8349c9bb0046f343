"""Functions of the user's in a chain: what they see, what they cost, and what they may do wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import llmpy

PROMPT = "Once upon a time"


def test_a_function_anywhere_changes_nothing_else(stories: llmpy.Model) -> None:
    def look(logits: Any, _: object) -> Any:
        seen.append(int((logits > -np.inf).sum()))
        return logits

    seen: list[int] = []
    steps = llmpy.top_k(9), llmpy.min_p(0.02), llmpy.temperature(0.9)
    with stories.session(sampler=llmpy.chain(*steps), seed=1) as plain:
        plain.infer(PROMPT, max_tokens=8)
        for at in range(4):
            mixed = llmpy.chain(*steps[:at], look, *steps[at:])
            with stories.session(sampler=mixed, seed=1) as session:
                session.infer(PROMPT, max_tokens=8)
                assert session.tokens == plain.tokens
    assert seen[:8] == [stories.n_vocab] * 8
    assert seen[8:16] == [9] * 8
    assert max(seen[16:]) <= 9


def test_it_gets_the_row_itself(fast_stories: llmpy.Model) -> None:
    def forbid(logits: Any, session: Any) -> Any:
        logits[: session.last_tokens(1)[0]] = -np.inf
        return logits

    with fast_stories.session(sampler=llmpy.chain(forbid, "greedy")) as session:
        session.infer(PROMPT, max_tokens=5, logprobs=1)
        generated = session.tokens[-6:]
        assert generated == sorted(generated)


def test_log_probabilities_are_those_before_it(fast_stories: llmpy.Model) -> None:
    def forbid_all_but(logits: Any, _: object) -> Any:
        logits[np.arange(len(logits)) != 70] = -np.inf
        return logits

    with fast_stories.session(sampler=forbid_all_but) as session:
        pieces = [p for p in session.stream(PROMPT, max_tokens=2, logprobs=1) if p.logprobs]
        (rows,) = fast_stories.logits(session.tokens, len(session) - 3)
        for piece, row in zip(pieces, rows, strict=False):
            assert piece.token == 70
            assert piece.logprobs is not None
            exact = row[70] - np.log(np.exp(row.astype(np.float64)).sum())
            assert piece.logprobs.chosen == pytest.approx(exact, abs=1e-5)


def removes_all(logits: Any, _: object) -> Any:
    logits[:] = -np.inf
    return logits


def gives_nan(logits: Any, _: object) -> Any:
    logits[2] = np.nan
    return logits


def gives_nothing(logits: Any, _: object) -> None:
    logits[:] = 0


def fails(_: Any, __: object) -> Any:
    raise KeyError("mine")


WAYS: dict[str, Callable[[llmpy.Session], object]] = {
    "infer": lambda session: session.infer(" and", max_tokens=3),
    "stream": lambda session: list(session.stream(" and", max_tokens=3)),
    "next_token": lambda session: session.next_token(),
    "next_tokens": lambda session: llmpy.next_tokens([session]),
    "steps": lambda session: [one.sample() for one in session.steps(max_tokens=3)],
}


@pytest.mark.parametrize(
    ("step", "error", "text"),
    [
        (removes_all, llmpy.SamplerError, "removes_all returned logits: .* found only -inf"),
        (gives_nan, llmpy.SamplerError, "gives_nan returned logits: .* found nan at 2"),
        (gives_nothing, llmpy.SamplerError, "gives_nothing: expected float32 .* NoneType"),
        (lambda x, _: x[1:], llmpy.SamplerError, "expected float32 of shape"),
        (lambda x, _: x.astype(np.float64), llmpy.SamplerError, "found float64"),
        (fails, KeyError, "mine"),
    ],
)
@pytest.mark.parametrize("how", WAYS)
def test_what_goes_wrong_leaves_the_session_as_it_was(
    fast_stories: llmpy.Model, how: str, step: Any, error: type[Exception], text: str
) -> None:
    with fast_stories.session(sampler="top-k:k=5", seed=6) as session:
        session.infer(PROMPT, max_tokens=3)
        rng = session.transcript.sequence.rng
        assert rng is not None
        before, counter = session.tokens, rng.counter
        session.sampler = llmpy.chain("top-k:50", step, "temperature:0.7")
        with pytest.raises(error, match=text):
            WAYS[how](session)
        assert session.tokens == before
        assert rng.counter == counter
        session.sampler = "greedy"  # type: ignore[assignment]
        assert session.infer(" and", max_tokens=3).n_generated == 3


@pytest.mark.parametrize("text", ["logit-bias:1=-inf/top-k:1/logit-bias:{top}=-inf"])
def test_built_in_steps_that_remove_all_are_refused(fast_stories: llmpy.Model, text: str) -> None:
    with fast_stories.session(sampler="greedy") as session:
        session.feed(PROMPT)
        top = next(session.steps()).top(1)[0][0]
        before = session.tokens
        session.sampler = text.replace("{top}", str(top))  # type: ignore[assignment]
        with pytest.raises(llmpy.SamplerError, match="found only -inf"):
            session.infer(max_tokens=2)
        assert session.tokens == before
