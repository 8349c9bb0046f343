"""Prompts continued in one call."""

from __future__ import annotations

import pytest

import llmpy


def test_a_completion_is_what_a_session_says(fast_stories: llmpy.Model) -> None:
    found = fast_stories.generate("Once upon a time", max_tokens=20, seed=3)
    with fast_stories.session(seed=3) as session:
        pieces = list(session.stream("Once upon a time", max_tokens=20))
    generated = [piece for piece in pieces if piece.kind != "prompt"]
    assert found.text == str(found) == "".join(piece.text for piece in generated)
    assert list(found.tokens) == [piece.token for piece in generated if piece.token is not None]
    assert found.finish_reason == found.stats.finish_reason == "length"
    assert found.stats.n_generated == 20


def test_a_list_is_answered_in_one_batch_each_as_it_would_be_alone(
    fast_stories: llmpy.Model,
) -> None:
    prompts = ["Once", "A dog and a cat", "Lily saw", "The sun", ""]
    found = fast_stories.generate(prompts, max_tokens=15, seed=7, n_parallel=3)
    alone = [fast_stories.generate(p, max_tokens=15, seed=7 + i) for i, p in enumerate(prompts)]
    assert [c.text for c in found] == [c.text for c in alone]


def test_token_ids_are_one_prompt_and_lists_of_them_are_several(fast_stories: llmpy.Model) -> None:
    ids = fast_stories.tokenizer.encode("Once upon", bos=True)
    one = fast_stories.generate(ids, max_tokens=5, seed=1)
    two = fast_stories.generate([ids, ids], max_tokens=5, seed=1)
    assert isinstance(one, llmpy.Completion)
    assert len(two) == 2
    assert two[0].text == one.text


def test_an_empty_list_has_no_completions(fast_stories: llmpy.Model) -> None:
    assert fast_stories.generate([]) == []


def test_stop_logprobs_and_sampler_are_those_of_a_session(fast_stories: llmpy.Model) -> None:
    found = fast_stories.generate(
        "Once upon a time", stop=".", logprobs=2, sampler=llmpy.greedy(), max_tokens=60
    )
    assert found.finish_reason == "stop"
    assert "." not in found.text
    assert len(found.logprobs) == len(found.tokens)


def test_an_error_of_one_prompt_ends_all(fast_stories: llmpy.Model) -> None:
    with pytest.raises(llmpy.ContextFull):
        fast_stories.generate(["Once", [5] * 10_000], max_tokens=5)


@pytest.mark.parametrize("prompt", [7, None, b"Once", object()])
def test_what_is_no_prompt_is_refused(fast_stories: llmpy.Model, prompt: object) -> None:
    with pytest.raises(TypeError, match="expected a text"):
        fast_stories.generate(prompt)  # type: ignore[call-overload]


def test_stops_that_can_be_read_once_stop_every_prompt(fast_stories: llmpy.Model) -> None:
    greedy = llmpy.greedy()
    found = fast_stories.generate(["Once"] * 3, max_tokens=9, sampler=greedy, stop=iter(["time"]))
    assert [c.finish_reason for c in found] == ["stop"] * 3


def test_seeds_begin_again_after_the_last(fast_stories: llmpy.Model) -> None:
    found = fast_stories.generate(["Once", "Once"], max_tokens=5, seed=2**64 - 1)
    assert found[1].text == fast_stories.generate("Once", max_tokens=5, seed=0).text
