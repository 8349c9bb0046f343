"""Many prompts in one loop: each gets the logits that it would get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import llmpy
from tests.threads import finish

TEXTS = ["Once upon a time", "Lily", "The dog ran to the big red", "One day", "He", "A cat " * 70]


def greedy(
    model: llmpy.Model, prompts: list[list[int]], n: int, n_parallel: int
) -> list[list[int]]:
    """The `n` most likely tokens after each prompt."""
    found: list[list[int]] = [[] for _ in prompts]
    for step in model.batch_steps(prompts, n_parallel=n_parallel):
        tokens = step.logits.argmax(1)
        for number, token in zip(step.numbers.tolist(), tokens.tolist(), strict=True):
            found[number].append(token)
        done = [len(found[number]) == n for number in step.numbers]
        step.choose(np.where(done, -1, tokens))
    return found


def alone(model: llmpy.Model, prompt: list[int], n: int) -> list[int]:
    with model.session() as session:
        for step in session.steps(prompt, max_tokens=n):
            step.choose(int(step.logits.argmax()))
        return session.tokens[-n:]


@pytest.fixture(scope="module")
def prompts(fast_stories: llmpy.Model) -> list[list[int]]:
    return [fast_stories.tokenizer.encode(text, bos=None) for text in TEXTS]


@pytest.mark.parametrize("n_parallel", [1, 4, 64])
def test_each_prompt_goes_on_as_alone(
    stories: llmpy.Model, prompts: list[list[int]], n_parallel: int
) -> None:
    expected = [alone(stories, prompt, 12) for prompt in prompts]
    assert greedy(stories, prompts, 12, n_parallel) == expected


def test_logits_are_the_same_bits_as_alone(
    fast_stories: llmpy.Model, prompts: list[list[int]]
) -> None:
    with fast_stories.session() as session:
        expected = next(session.steps(prompts[2])).logits.copy()
    steps = fast_stories.batch_steps(prompts)
    step = next(steps)
    (row,) = step.logits[step.numbers == 2]
    steps.close()
    assert np.array_equal(row, expected)


def test_prompts_longer_than_a_batch_are_read_in_parts(
    shared_data: Callable[[str], Path], prompts: list[list[int]]
) -> None:
    path = shared_data("weights/stories260K/stories260K.gguf")
    with llmpy.load(path, n_batch=16) as model:
        expected = [alone(model, prompt, 5) for prompt in prompts]
        assert greedy(model, prompts, 5, 64) == expected


def test_prompts_are_asked_for_when_there_is_room(
    fast_stories: llmpy.Model, prompts: list[list[int]]
) -> None:
    asked = []

    def source() -> Iterator[list[int]]:
        for i, prompt in enumerate(prompts):
            asked.append(i)
            yield prompt

    for i, step in enumerate(fast_stories.batch_steps(source(), n_parallel=2)):
        assert len(asked) == min(2 * i + 2, len(prompts))
        assert step.numbers.tolist() == asked[-2:]
        step.choose([-1, -1])


def test_pages_are_given_back(fast_stories: llmpy.Model, prompts: list[list[int]]) -> None:
    pool = fast_stories._engine.pool
    before = pool.in_use
    greedy(fast_stories, prompts, 3, 3)
    steps = fast_stories.batch_steps(prompts)
    next(steps)
    assert pool.in_use > before
    steps.close()
    assert pool.in_use == before


def test_sessions_go_on_between_the_steps(
    fast_stories: llmpy.Model, prompts: list[list[int]]
) -> None:
    expected = [alone(fast_stories, prompt, 8) for prompt in prompts]
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(alone(fast_stories, prompts[0], 8)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert greedy(fast_stories, prompts, 8, 4) == expected
    finish(*threads)
    assert found == [expected[0]] * 3


def test_a_full_context_is_an_error(shared_data: Callable[[str], Path]) -> None:
    with llmpy.load(shared_data("weights/stories260K/stories260K.gguf"), n_ctx=64) as model:
        with pytest.raises(llmpy.ContextFull):
            greedy(model, [[300] * 60], 10, 2)
        with pytest.raises(llmpy.ContextFull):
            greedy(model, [[300] * 65], 1, 2)
        assert len(greedy(model, [[300] * 60], 5, 2)[0]) == 5


def test_no_pages_are_taken_from_others(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("weights/stories260K/stories260K.gguf")
    with llmpy.load(path, n_ctx=128, max_total_tokens=256, prefix_cache_bytes=0) as model:
        with pytest.raises(llmpy.OutOfMemory, match="smaller n_parallel"):
            greedy(model, [[300] * 60] * 8, 2, 8)
        assert greedy(model, [[300] * 60] * 8, 2, 2) == [alone(model, [300] * 60, 2)] * 8


@pytest.mark.parametrize("tokens", [[1.0], [1, 1], [512], "a"])
def test_wrong_tokens_are_refused(fast_stories: llmpy.Model, tokens: object) -> None:
    steps = fast_stories.batch_steps([[1]])
    step = next(steps)
    with pytest.raises(ValueError, match="tokens: expected"):
        step.choose(tokens)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="found none"):
        next(steps)


@pytest.mark.parametrize("prompt", [[], [-1], [512], ["a"]])
def test_wrong_prompts_are_refused(fast_stories: llmpy.Model, prompt: list[int]) -> None:
    with pytest.raises((ValueError, TypeError)):
        next(fast_stories.batch_steps([prompt]))


def test_no_prompts_have_no_steps(fast_stories: llmpy.Model) -> None:
    assert list(fast_stories.batch_steps([])) == []
