"""The sampler and the random numbers of a session, changed while it goes on."""

from __future__ import annotations

import numpy as np

import llmpy


def next_tokens_of(session: llmpy.Session, n: int = 12) -> list[int]:
    return [session.next_token() for _ in range(n)]


def test_another_sampler_draws_the_next_tokens(stories: llmpy.Model) -> None:
    with stories.session(seed=1) as changed, stories.session(sampler=llmpy.greedy()) as greedy:
        changed.feed("Once upon a time")
        greedy.feed("Once upon a time")
        changed.sampler = llmpy.greedy()
        assert next_tokens_of(changed) == next_tokens_of(greedy)


def test_a_sampler_may_be_any_function(stories: llmpy.Model) -> None:
    with stories.session(seed=1) as session:
        session.feed("Once")
        session.sampler = lambda logits, _: np.where(np.arange(len(logits)) == 7, 99.0, logits)
        assert next_tokens_of(session, 2) == [7, 7]


def test_a_seed_begins_its_random_numbers_again(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(seed=5) as session:
        session.feed("Once upon a time")
        start, first = len(session), next_tokens_of(session)
        session.rewind(start)
        assert next_tokens_of(session) != first
        session.rewind(start)
        session.reseed(5)
        assert next_tokens_of(session) == first
