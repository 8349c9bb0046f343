"""What a chain remembers of the tokens it drew is forked and rewound with the text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llmpy

PROMPT = "Once upon a time"
CHAINS = ["mirostat2:tau=2:eta=0.5", "mirostat1:tau=2:eta=0.5", "min-p:0.01/adaptive-p:0.4"]


@pytest.fixture(params=CHAINS)
def steering(request: pytest.FixtureRequest) -> str:
    """A chain that remembers."""
    chain: str = request.param
    return chain


def values_of(session: llmpy.Session) -> Any:
    state = session.transcript.sequence.state
    assert state is not None
    return state.values


def same(logits: Any, _: object) -> Any:
    return logits


def test_it_is_the_same_whoever_draws(stories: llmpy.Model, steering: str) -> None:
    natively = stories.session(sampler=steering, seed=4)
    natively.infer(PROMPT, max_tokens=12)
    in_python = stories.session(sampler=llmpy.chain(same, steering), seed=4)
    in_python.infer(PROMPT, max_tokens=12)
    one_by_one = stories.session(sampler=steering, seed=4)
    one_by_one.feed(PROMPT)
    for _ in range(12):
        llmpy.next_tokens([one_by_one])
    with natively, in_python, one_by_one:
        assert natively.tokens == in_python.tokens == one_by_one.tokens
        assert values_of(natively) == values_of(in_python) == values_of(one_by_one)


def test_it_changes_with_each_token(fast_stories: llmpy.Model, steering: str) -> None:
    with fast_stories.session(sampler=steering, seed=4) as session:
        session.feed(PROMPT)
        seen = {values_of(session)}
        for _ in range(5):
            session.next_token()
            seen.add(values_of(session))
        assert len(seen) == 6


def test_a_rewind_takes_it_back(fast_stories: llmpy.Model, steering: str) -> None:
    with fast_stories.session(sampler=steering, seed=4) as session:
        session.feed(PROMPT)
        values = [values_of(session)]
        for _ in range(6):
            session.next_token()
            values.append(values_of(session))
        session.rewind(len(session) - 2)
        assert values_of(session) == values[4]
        session.rewind(len(session) - 4)
        assert values_of(session) == values[0]


def test_what_is_fed_leaves_it_as_it_is(fast_stories: llmpy.Model, steering: str) -> None:
    with fast_stories.session(sampler=steering, seed=4) as session:
        session.infer(PROMPT, max_tokens=3)
        before = values_of(session)
        session.feed(" and then")
        assert values_of(session) == before
        session.rewind(len(session) - 1)
        assert values_of(session) == before


def test_a_fork_goes_on_with_it(fast_stories: llmpy.Model, steering: str) -> None:
    with fast_stories.session(sampler=steering, seed=4) as session:
        session.infer(PROMPT, max_tokens=5)
        with session.fork() as fork:
            assert values_of(fork) == values_of(session)
            assert [fork.next_token() for _ in range(5)] == [session.next_token() for _ in range(5)]
            assert values_of(fork) == values_of(session)
            fork.rewind(len(fork) - 3)
            assert values_of(fork) != values_of(session)


def test_a_mark_goes_back_to_it(fast_stories: llmpy.Model, steering: str) -> None:
    with fast_stories.session(sampler=steering, seed=4) as session:
        session.infer(PROMPT, max_tokens=5)
        before = values_of(session)
        with session.mark() as mark:
            session.rewind(2)
            session.infer(" dog", max_tokens=4)
            session.rewind_to(mark)
            assert values_of(session) == before


def test_another_chain_begins_anew(fast_stories: llmpy.Model, steering: str) -> None:
    with fast_stories.session(sampler=steering, seed=4) as session:
        first = values_of(session)
        session.infer(PROMPT, max_tokens=5)
        session.sampler = steering  # type: ignore[assignment]
        assert values_of(session) == first


def test_an_error_leaves_it_as_it_was(fast_stories: llmpy.Model, steering: str) -> None:
    broken = [False]

    def sometimes(logits: Any, _: object) -> Any:
        return logits * np.float32(np.nan) if broken[0] else logits

    with fast_stories.session(sampler=llmpy.chain(sometimes, steering), seed=4) as session:
        session.infer(PROMPT, max_tokens=5)
        before, values = session.tokens, values_of(session)
        broken[0] = True
        with pytest.raises(llmpy.SamplerError, match="sometimes returned logits"):
            session.infer(" dog", max_tokens=5)
        assert (session.tokens, values_of(session)) == (before, values)
        with pytest.raises(llmpy.SamplerError):
            session.next_token()
        assert (session.tokens, values_of(session)) == (before, values)
        broken[0] = False
        assert session.infer(" dog", max_tokens=5).n_generated == 5
