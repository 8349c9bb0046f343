"""The open loop: logits of each next token, and whoever wants to chooses from them."""

from __future__ import annotations

import numpy as np
import pytest

import llmpy

PROMPT = "Once upon a time"


def test_sampled_steps_say_what_a_stream_says(stories: llmpy.Model) -> None:
    with stories.session(seed=3) as open_loop, stories.session(seed=3) as stream:
        text = "".join(
            step.text
            for step in open_loop.steps(PROMPT, max_tokens=20)
            if step.sample() is not None
        )
        pieces = [p for p in stream.stream(PROMPT, max_tokens=20) if p.kind == "generated"]
        assert open_loop.tokens == stream.tokens
        assert text == "".join(piece.text for piece in pieces)


def test_logits_are_those_of_the_model(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        step = next(session.steps(PROMPT))
        (rows,) = fast_stories.logits(session.tokens, len(session) - 1)
        assert step.logits.dtype == np.float32
        assert np.array_equal(step.logits, rows[0])


def test_changed_logits_are_what_is_drawn_from(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        for step in session.steps(PROMPT, max_tokens=3):
            step.logits[:] = -np.inf
            step.logits[70] = 0.0
            assert step.sample() == 70
        assert session.tokens[-3:] == [70, 70, 70]


def test_any_token_can_be_chosen(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        tokens = iter([300, 301])
        texts = [step.choose(next(tokens)) for step in session.steps(PROMPT, max_tokens=2)]
        assert session.tokens[-2:] == [300, 301]
        assert session.text.endswith("".join(texts))


def test_the_loop_ends_with_the_text(fast_stories: llmpy.Model) -> None:
    (end, *_) = fast_stories.tokenizer.end_ids
    with fast_stories.session() as session:
        for step in session.steps(PROMPT):
            step.choose(end)
        assert session.tokens[-1] == end
        assert session.tokens.count(end) == 1


def test_the_loop_ends_where_the_context_is_full(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        session.feed([300] * (session.n_ctx - 2))
        n = sum(step.choose(300) is not None for step in session.steps())
        assert n == 2
        assert len(session) == session.n_ctx


def test_a_loop_that_is_left_says_nothing_more(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        session.feed(PROMPT)
        before = session.tokens
        for _ in session.steps():
            break
        assert session.tokens == before
        assert session.infer(max_tokens=1).n_generated == 1


def test_a_step_without_a_choice_is_an_error(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session, pytest.raises(ValueError, match="found neither"):
        list(session.steps(PROMPT))


def test_a_step_has_one_token(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        step = next(steps := session.steps(PROMPT))
        token = step.sample()
        with pytest.raises(ValueError, match=f"this step has its token, {token}"):
            step.choose(5)
        steps.close()


@pytest.mark.parametrize(
    ("token", "error"), [(-1, ValueError), (1 << 40, ValueError), ("a", TypeError)]
)
def test_no_token_beyond_the_vocabulary_is_chosen(
    fast_stories: llmpy.Model, token: object, error: type[Exception]
) -> None:
    with fast_stories.session() as session:
        step = next(steps := session.steps(PROMPT))
        n = len(session)
        with pytest.raises(error, match="token"):
            step.choose(token)  # type: ignore[arg-type]
        assert len(session) == n
        steps.close()


def test_a_step_of_a_loop_that_has_ended_is_refused(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        step = next(session.steps(PROMPT))
        session.feed(" there")
        with pytest.raises(llmpy.SessionInUse):
            step.sample()


def test_logits_that_cannot_be_used_say_nothing(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(seed=1) as session:
        step = next(steps := session.steps(PROMPT))
        n, logits = len(session), step.logits.copy()
        step.logits[3] = np.nan
        with pytest.raises(llmpy.SamplerError, match="found nan at 3"):
            step.sample()
        assert len(session) == n
        step.logits[:] = logits
        step.sample()
        steps.close()
        with fast_stories.session(seed=1) as other:
            other.feed(PROMPT)
            assert other.next_token() == session.tokens[-1]


def test_the_likeliest_come_first(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(sampler=llmpy.greedy()) as session:
        for step in session.steps(PROMPT, max_tokens=3):
            top = step.top(4)
            assert [p for _, p in top] == sorted((p for _, p in top), reverse=True)
            assert top[0][0] == step.sample()
