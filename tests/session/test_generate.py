"""Several tokens in one native call: what is said, counted and remembered is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import llmpy
from tests.session.conftest import STORIES

CHAINS = [
    llmpy.greedy(),
    llmpy.default_chain(),
    llmpy.default_chain(repeat_penalty=1.3, last_n=20),
    llmpy.default_chain(frequency_penalty=0.4, last_n=-1),
]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("n", [0, 1, 2, 63, 64, 65, 200])
def test_nobody_looking_changes_nothing(stories: llmpy.Model, chain: llmpy.Chain, n: int) -> None:
    seen, unseen = (stories.session(sampler=chain, seed=5) for _ in range(2))
    pieces: list[llmpy.Piece] = []
    first = seen.infer("Once upon a time", pieces.append, max_tokens=n)
    second = unseen.infer("Once upon a time", max_tokens=n)
    assert unseen.tokens == seen.tokens
    assert unseen.seen == seen.seen
    counts = ("n_prompt", "n_generated", "finish_reason")
    assert [getattr(second, c) for c in counts] == [getattr(first, c) for c in counts]
    assert first.n_generated == n
    assert [unseen.next_token() for _ in range(5)] == [seen.next_token() for _ in range(5)]


def test_an_end_inside_is_the_last_token(fast_stories: llmpy.Model) -> None:
    end = min(fast_stories.tokenizer.end_ids)
    tokens: list[list[int]] = []
    for callback in (None, lambda _: None):
        session = fast_stories.session(seed=1, sampler=llmpy.chain(llmpy.logit_bias({end: 20.0})))
        stats = session.infer("Once", callback, max_tokens=150)
        assert stats.finish_reason == "end"
        assert session.tokens[-1] == end
        assert stats.n_generated == len(session) - stats.n_prompt
        tokens.append(session.tokens)
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) > 3


def test_a_full_context_ends_the_text(shared_data: Callable[[str], Path]) -> None:
    with llmpy.load(shared_data(STORIES), n_ctx=90) as model:
        session = model.session(seed=1)
        stats = session.infer("Once upon a time")
        assert (len(session), stats.finish_reason) == (90, "context")


def test_logits_that_cannot_be_used_are_explained(fast_stories: llmpy.Model) -> None:
    ids = range(fast_stories.n_vocab)
    nothing = llmpy.logit_bias(dict.fromkeys(ids, -np.inf))
    session = fast_stories.session(sampler=llmpy.chain(nothing))
    with pytest.raises(llmpy.SamplerError):
        session.infer("Once", max_tokens=3)
    assert len(session) == 0  # as before the call
    session.sampler = llmpy.greedy()
    assert session.infer("Once", max_tokens=3).n_generated == 3
