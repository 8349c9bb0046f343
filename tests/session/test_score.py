"""The log-probabilities of a given text."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import llmpy
from tests.threads import finish

TEXT = "Once upon a time, there was a little girl named Lily."


def test_a_score_is_that_of_the_logits(stories: llmpy.Model) -> None:
    score = stories.score(TEXT)
    tokens = stories.tokenizer.encode(TEXT, bos=None)
    assert score.tokens == tuple(tokens)
    rows = np.concatenate([part.copy() for part in stories.logits(tokens[:-1])]).astype(np.float64)
    expected = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    assert score.logprobs[0] is None
    found = [one.chosen for one in score.logprobs if one is not None]
    assert np.allclose(found, expected[range(len(found)), tokens[1:]], atol=1e-5)
    assert math.isclose(score.total, sum(found))
    assert math.isclose(score.perplexity, math.exp(-sum(found) / len(found)))


def test_what_was_generated_is_scored_as_it_was_reported(stories: llmpy.Model) -> None:
    with stories.session(seed=2) as session:
        session.feed(TEXT)
        n = len(session)
        pieces = list(session.stream(max_tokens=10, logprobs=3))
        score = stories.score(session.tokens[n:], after=session.tokens[:n], top=3)
        assert [p.logprobs for p in pieces if p.token is not None] == list(score.logprobs)


def test_a_continuation_is_scored_after_what_comes_before(fast_stories: llmpy.Model) -> None:
    whole = fast_stories.score(TEXT + " She was happy.")
    part = fast_stories.score(" She was happy.", after=TEXT)
    assert whole.tokens[-len(part.tokens) :] == part.tokens
    assert whole.logprobs[-len(part.tokens) :] == part.logprobs


def test_a_likely_text_scores_more(fast_stories: llmpy.Model) -> None:
    words = {
        word: fast_stories.score(f" {word}", after="Once upon a").mean for word in ("time", "dog")
    }
    assert words["time"] > words["dog"]


def test_long_texts_are_read_in_parts(shared_stories_small_batch: llmpy.Model) -> None:
    model = shared_stories_small_batch
    tokens = model.tokenizer.encode(TEXT * 4, bos=True)
    assert len(tokens) > 3 * model.n_batch
    score = model.score(tokens)
    with llmpy.load(model.path, n_threads=1, backend="cpu") as whole:
        assert whole.score(tokens) == score


@pytest.fixture
def shared_stories_small_batch(fast_stories: llmpy.Model):  # type: ignore[no-untyped-def]
    with llmpy.load(fast_stories.path, n_batch=8, backend="cpu", n_threads=1) as model:
        yield model


def test_scores_beside_sessions_are_the_same(fast_stories: llmpy.Model) -> None:
    alone, found = fast_stories.score(TEXT), []
    thread = threading.Thread(target=lambda: found.append(fast_stories.score(TEXT)))
    with fast_stories.session(seed=1) as session:
        thread.start()
        session.infer("Tom", max_tokens=50)
        finish(thread)
    assert found == [alone]


def test_one_token_has_no_score(fast_stories: llmpy.Model) -> None:
    score = fast_stories.score([5])
    assert score.logprobs == (None,)
    assert (score.total, score.mean) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "error"), [([], ValueError), ([10**6], ValueError), (3, TypeError)]
)
def test_what_is_no_text_is_refused(
    fast_stories: llmpy.Model, text: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        fast_stories.score(text)  # type: ignore[arg-type]


def test_a_text_longer_than_the_context_is_refused(fast_stories: llmpy.Model) -> None:
    with pytest.raises(llmpy.ContextFull):
        fast_stories.score([5] * (fast_stories.n_ctx + 2))
