"""Prompts that are read while they are being typed give what they give when they come at once."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llmpy
from tests.session.test_recurrent import IDS
from tests.session.test_recurrent import model as recurrent  # noqa: F401 - a fixture
from tests.threads import finish

TEXT = "Once upon a time there was a girl. She had a big red ball and a dog"


def typed(draft: llmpy.Draft, *texts: str) -> None:
    for text in texts:
        draft.update(text)
        assert draft.wait(60)


def prefixes(text: str) -> list[str]:
    return [text[:i] for i in range(len(text) + 1)]


def tokens_at_once(model: llmpy.Model, text: str, before: str = "", n: int = 8) -> list[int]:
    session = model.session(sampler=llmpy.greedy())
    if before:
        session.feed(before)
    return [p.token for p in session.stream(text, max_tokens=n) if p.token is not None]


def tokens(events: Any) -> list[int]:
    return [piece.token for piece in events if piece.token is not None]


@pytest.mark.parametrize("before", ["", "Lily"])
def test_a_typed_prompt_says_what_the_whole_one_says(stories: llmpy.Model, before: str) -> None:
    session = stories.session(sampler=llmpy.greedy())
    if before:
        session.feed(before)
    draft = session.draft()
    typed(draft, *prefixes(TEXT))
    certain = TEXT[: stories.tokenizer.stable(TEXT)]
    certain_ids = stories.tokenizer.encode(certain, bos=not before, start=not before)
    assert draft.n_read == len(session) + len(certain_ids) - 1
    assert tokens(draft.commit(max_tokens=8)) == tokens_at_once(stories, TEXT, before)


def test_what_is_read_is_never_read_again(
    fast_stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    plan, run = fast_stories._engine.plan, fast_stories._engine.plan.run

    def noted(batch: Any, states: Any) -> Any:
        read.extend(zip(batch.positions.tolist(), batch.tokens.tolist(), strict=True))
        return run(batch, states)

    monkeypatch.setattr(plan, "run", noted)
    session = fast_stories.session(sampler=llmpy.greedy())
    draft = session.draft()
    typed(draft, *prefixes(TEXT))
    assert draft.infer(max_tokens=0).n_prompt == len(session)
    assert read == list(enumerate(session.tokens))[:-1]


def test_a_change_rereads_only_what_comes_after_it(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())
    draft = session.draft()
    typed(draft, TEXT)
    n = draft.n_read
    changed = TEXT.replace("red", "blue")
    typed(draft, TEXT[: TEXT.index("red") + 2])
    assert 0 < draft.n_read < n
    typed(draft, changed)
    assert tokens(draft.commit(max_tokens=8)) == tokens_at_once(fast_stories, changed)


def test_the_text_of_the_commit_counts(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())
    draft = session.draft()
    typed(draft, TEXT)
    assert tokens(draft.commit("Tim and", max_tokens=8)) == tokens_at_once(fast_stories, "Tim and")


def test_update_returns_at_once(fast_stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    going = threading.Event()
    run = fast_stories._engine.plan.run

    def waiting(*arguments: Any) -> Any:
        assert going.wait(60)
        return run(*arguments)

    monkeypatch.setattr(fast_stories._engine.plan, "run", waiting)
    draft = fast_stories.session().draft()
    for text in prefixes(TEXT):
        draft.update(text)  # while the first step waits
    assert not draft.wait(0)
    going.set()
    draft.close()


def test_a_commit_waits_for_no_more_than_the_step_that_runs(
    fast_stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    started = threading.Event()
    run = fast_stories._engine.plan.run

    def slow(batch: Any, states: Any) -> Any:
        sizes.append(len(batch.tokens))
        started.set()
        time.sleep(0.05)
        return run(batch, states)

    monkeypatch.setattr(fast_stories._engine.plan, "run", slow)
    monkeypatch.setattr(fast_stories._engine, "_n_prefill", 8)
    session = fast_stories.session(sampler=llmpy.greedy())
    draft = session.draft()
    draft.update(" ".join([TEXT] * 20))
    assert started.wait(60)
    list(draft.commit("Tim", max_tokens=1))
    assert len(sizes) <= 4


def test_a_draft_that_is_given_up_leaves_the_session_as_it_was(stories: llmpy.Model) -> None:
    gc.collect()
    in_use = stories._engine.pool.in_use
    session = stories.session(sampler=llmpy.greedy())
    session.feed("Lily")
    held = stories._engine.pool.in_use
    with session.draft() as draft:
        typed(draft, TEXT * 5)
        assert draft.n_read > len(session)
    assert stories._engine.pool.in_use == held
    assert tokens(session.stream(" and Tim", max_tokens=5)) == tokens_at_once(
        stories, " and Tim", "Lily", 5
    )
    session.close()
    assert stories._engine.pool.in_use == in_use
    for use in (lambda: draft.update("a"), draft.commit, draft.close):
        with pytest.raises(llmpy.SessionClosed, match="committed or closed"):
            use()


def test_the_session_may_be_used_meanwhile(stories: llmpy.Model) -> None:
    session = stories.session(sampler=llmpy.greedy())
    draft = session.draft()
    draft.update(TEXT)
    session.feed("Lily and Tim")  # the draft belongs to an empty session
    draft.update(TEXT + " and a")
    assert tokens(draft.commit(max_tokens=8)) == tokens_at_once(
        stories, TEXT + " and a", "Lily and Tim"
    )


def test_committing_gives_the_memory_of_the_draft_back(fast_stories: llmpy.Model) -> None:
    gc.collect()  # sessions of other tests give theirs back when they are collected
    in_use = fast_stories._engine.pool.in_use
    session = fast_stories.session(sampler=llmpy.greedy())
    draft = session.draft()
    typed(draft, " ".join([TEXT] * 9))
    list(draft.commit(max_tokens=4))
    n_pages = -(-(len(session) - 1) // 64)
    assert fast_stories._engine.pool.in_use - in_use <= n_pages + 1
    session.close()
    assert fast_stories._engine.pool.in_use == in_use


def test_a_text_that_does_not_fit_is_refused_by_the_commit(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    draft = session.draft()
    typed(draft, " ".join([TEXT] * 200))
    with pytest.raises(llmpy.ContextFull):
        draft.commit()
    assert len(session) == 0


def test_a_draft_of_a_closed_model(shared_data: Callable[[str], Path]) -> None:
    model = llmpy.load(shared_data("weights/stories260K/stories260K.gguf"), backend="cpu")
    session = model.session()
    draft = session.draft()
    typed(draft, TEXT)
    model.close()
    typed(draft, TEXT + " and more of it")
    with pytest.raises(llmpy.SessionClosed):
        draft.commit()


@pytest.mark.parametrize("text", [3, None, b"a"])
def test_a_wrong_text_is_refused_at_once(fast_stories: llmpy.Model, text: Any) -> None:
    with (
        fast_stories.session().draft() as draft,
        pytest.raises(TypeError, match="text: expected a string"),
    ):
        draft.update(text)


def test_text_that_cannot_be_encoded_fails_at_the_commit(fast_stories: llmpy.Model) -> None:
    draft = fast_stories.session().draft()
    typed(draft, "a b \ud800 c d")
    with pytest.raises(llmpy.TokenizerError):
        draft.commit()


def test_control_tokens_count_only_with_special(fast_stories: llmpy.Model) -> None:
    for special in (False, True):
        session = fast_stories.session(sampler=llmpy.greedy())
        text = "Tim<s> and a girl"
        draft = session.draft(special=special)
        typed(draft, *prefixes(text))
        list(draft.commit(max_tokens=0))
        assert (1 in session.tokens[1:]) == special


def test_callback_and_asyncio_forms(fast_stories: llmpy.Model) -> None:
    expected = tokens_at_once(fast_stories, TEXT)

    def draft() -> llmpy.Draft:
        made = fast_stories.session(sampler=llmpy.greedy()).draft()
        typed(made, *prefixes(TEXT)[::5])
        return made

    async def main() -> None:
        found = [piece async for piece in draft().acommit(TEXT, max_tokens=8)]
        assert tokens(found) == expected
        called: list[llmpy.Piece] = []
        stats = await draft().ainfer(called.append, TEXT, max_tokens=8)
        assert tokens(called) == expected
        assert stats.n_generated == 8

    asyncio.run(main())
    called: list[llmpy.Piece] = []
    assert draft().infer(called.append, TEXT, max_tokens=8).n_generated == 8
    assert tokens(called) == expected


def test_recurrent_models_read_ahead_too(recurrent: llmpy.Model) -> None:  # noqa: F811
    session = recurrent.session(sampler=llmpy.greedy())
    session.feed(IDS[:40])
    ahead = session.draft()

    def continuation(read: list[int]) -> tuple[int, list[int]]:
        return min(40, len(read)), IDS[40:70]

    ahead._reader.submit(continuation)
    assert ahead.wait(60)
    ahead._hand_over()
    stream = session.stream(IDS[40:80], max_tokens=5)
    found = tokens(stream)
    fresh = recurrent.session(sampler=llmpy.greedy())
    fresh.feed(IDS[:40])
    assert found == tokens(fresh.stream(IDS[40:80], max_tokens=5))


def test_drafts_of_many_threads(fast_stories: llmpy.Model) -> None:
    texts = [f"Once there was a boy named {name} who had a cat" for name in ("Tim", "Tom", "Bob")]
    expected = [tokens_at_once(fast_stories, text) for text in texts]
    found: dict[int, list[int]] = {}

    def type_one(i: int) -> None:
        session = fast_stories.session(sampler=llmpy.greedy())
        draft = session.draft()
        for text in prefixes(texts[i % 3]):
            draft.update(text)
        found[i] = tokens(draft.commit(max_tokens=8))

    threads = [threading.Thread(target=type_one, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert [found[i] for i in range(12)] == [expected[i % 3] for i in range(12)]
