"""Marks and edits: afterwards a session is what a fresh one is that was fed the same tokens."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import llmpy
from tests.threads import in_thread

IDS = [5 + (37 * i) % 400 for i in range(200)]


def logits_of(session: llmpy.Session) -> np.ndarray:
    """The logits after the last token; the session stays as it is."""
    found: list[np.ndarray] = []

    def note(logits: np.ndarray, _session: llmpy.Session) -> np.ndarray:
        found.append(np.array(logits))
        return logits

    with session.fork(sampler=llmpy.chain(note, llmpy.greedy())) as fork:
        fork.next_token()
    return found[0]


def check_fresh(session: llmpy.Session, model: llmpy.Model, tokens: Sequence[int]) -> None:
    """The session holds these tokens, and its logits are those of a session that read only them."""
    assert session.tokens == list(tokens)
    with model.session() as fresh:
        fresh.feed(tokens)
        np.testing.assert_array_equal(logits_of(session), logits_of(fresh))


# Marks


def test_going_back_to_a_mark_reads_nothing_again(stories: llmpy.Model) -> None:
    session = stories.session()
    session.feed(IDS[:70])
    mark = session.mark()
    session.feed(IDS[100:150])
    session.rewind(10)
    session.feed(IDS[150:190])
    session.rewind_to(mark)
    assert (len(session), session.seen) == (70, 69)
    check_fresh(session, stories, IDS[:70])


def test_a_mark_may_be_gone_back_to_again(stories: llmpy.Model) -> None:
    session = stories.session()
    session.feed(IDS[:30])
    with session.mark() as mark:
        for start in (40, 80, 120):
            session.feed(IDS[start : start + 20])
            check_fresh(session, stories, IDS[:30] + IDS[start : start + 20])
            session.rewind_to(mark)
        assert (len(mark), mark.tokens) == (30, IDS[:30])


def test_a_mark_serves_the_forks_too(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    session.feed(IDS[:30])
    mark = session.mark()
    fork = session.fork()
    session.close()
    fork.rewind(5)
    fork.rewind_to(mark)
    assert fork.seen == 29
    check_fresh(fork, fast_stories, IDS[:30])


def test_a_mark_ends_an_open_stream_only_where_it_is_gone_back_to(
    fast_stories: llmpy.Model,
) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())
    stream = session.stream("Once upon", max_tokens=9)
    for _ in range(5):
        next(stream)
    mark = session.mark()
    next(stream)
    session.rewind_to(mark)
    assert session.tokens == mark.tokens
    with pytest.raises(llmpy.SessionInUse):
        next(stream)


def test_marks_that_cannot_be_gone_back_to(stories: llmpy.Model) -> None:
    session = stories.session()
    session.feed(IDS[:5])
    mark = session.mark()
    mark.close()
    with pytest.raises(llmpy.SessionClosed, match="this mark is closed"):
        session.rewind_to(mark)
    with llmpy.load(stories.path, backend="reference") as other:
        foreign = other.session()
        foreign.feed(IDS[:5])
        with pytest.raises(ValueError, match="of the same model"):
            session.rewind_to(foreign.mark())
    with pytest.raises(TypeError, match="mark: expected"):
        session.rewind_to(3)  # type: ignore[arg-type]
    check_fresh(session, stories, IDS[:5])


def test_marks_give_their_memory_back(fast_stories: llmpy.Model) -> None:
    before = fast_stories._engine.pool.in_use
    session = fast_stories.session()
    session.feed(IDS)
    mark = session.mark()
    session.rewind(0)
    assert fast_stories._engine.pool.in_use > before
    mark.close()
    del mark
    assert fast_stories._engine.pool.in_use == before


def test_the_end_of_the_text_is_marked_too(fast_stories: llmpy.Model) -> None:
    end = next(iter(fast_stories.tokenizer.end_ids))
    session = fast_stories.session(sampler=llmpy.chain(llmpy.logit_bias({end: 100.0})))
    session.feed("Once")
    assert session.next_token() == end
    mark = session.mark()
    session.feed([end])
    assert not session.ended
    session.rewind_to(mark)
    assert session.ended


# Edits


@pytest.mark.parametrize(
    ("at", "end", "new"),
    [
        (0, None, IDS[50:60]),
        (10, None, [*IDS[10:40], 7]),  # as they were, at first
        (64, 64, IDS[150:153]),
        (63, 70, []),
        (90, None, IDS[90:100]),  # nothing changes
        (20, 30, IDS[20:30]),
        (99, None, []),
        (100, 100, IDS[120:130]),
    ],
)
def test_an_edit_gives_what_a_fresh_session_has(
    stories: llmpy.Model, at: int, end: int | None, new: list[int]
) -> None:
    session = stories.session()
    session.feed(IDS[:100])
    expected = IDS[:at] + new + (IDS[:100][end:] if end is not None else [])
    same = 0
    while same < min(len(expected), 100) and expected[same] == IDS[same]:
        same += 1
    assert session.edit(at, new, end=end) == len(expected) - same
    check_fresh(session, stories, expected)


def test_an_edited_text_goes_on_where_it_was_cut(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    session.feed("Once upon a time there was a girl")
    ids = session.tokens
    at = next(
        n for n in range(len(ids)) if fast_stories.tokenizer.decode(ids[:n]).endswith("was a")
    )
    session.edit(at, " boy named Tim")
    assert session.text == "Once upon a time there was a boy named Tim"


def test_pieces_of_what_comes_after_an_edit_are_whole(fast_stories: llmpy.Model) -> None:
    tokenizer = fast_stories.tokenizer
    ids = tokenizer.encode("caf" + "\N{GRINNING FACE}", bos=True)
    session = fast_stories.session()
    session.feed(ids[:-1])  # ends within a character
    events = session.stream(ids[-1:], max_tokens=0)
    assert "".join(piece.text for piece in events) == "\N{GRINNING FACE}"


@pytest.mark.parametrize(("at", "end"), [(-1, None), (5, 4), (11, None), (0, 11)])
def test_edits_out_of_range_change_nothing(
    fast_stories: llmpy.Model, at: int, end: int | None
) -> None:
    session = fast_stories.session()
    session.feed(IDS[:10])
    with pytest.raises(ValueError, match="expected"):
        session.edit(at, [5], end=end)
    assert session.tokens == IDS[:10]


def test_an_edit_that_does_not_fit_changes_nothing(stories: llmpy.Model) -> None:
    session = stories.session()
    session.feed(IDS[:10])
    with pytest.raises(llmpy.ContextFull):
        session.edit(5, [7] * stories.n_ctx)
    check_fresh(session, stories, IDS[:10])


def test_a_cancelled_edit_changes_nothing(
    fast_stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = fast_stories.session()
    session.feed(IDS[:100])
    plan, run = fast_stories._engine.plan, fast_stories._engine.plan.run

    def cancelling(*arguments: Any) -> Any:
        session.cancel()
        return run(*arguments)

    monkeypatch.setattr(plan, "run", cancelling)
    monkeypatch.setattr(fast_stories._engine, "_n_prefill", 16)
    error = in_thread(lambda: session.edit(3, IDS[60:190]))
    monkeypatch.undo()
    assert isinstance(error, llmpy.Cancelled)
    assert session.seen == 99
    check_fresh(session, fast_stories, IDS[:100])


def test_an_edit_that_fails_changes_nothing(
    stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = stories.session()
    session.feed(IDS[:100])

    def fail(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stories._engine.plan, "run", fail, raising=False)
        with pytest.raises(KeyboardInterrupt):
            session.edit(3, IDS[60:190])
    check_fresh(session, stories, IDS[:100])


def test_edit_for_asyncio(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    session.feed(IDS[:100])
    assert asyncio.run(session.aedit(50, IDS[:10])) == 10
    check_fresh(session, fast_stories, IDS[:50] + IDS[:10])


def test_a_cancelled_task_leaves_the_text_as_it_was(
    fast_stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = fast_stories.session()
    session.feed(IDS[:100])
    started = threading.Event()
    run = fast_stories._engine.plan.run

    def slow(*arguments: Any) -> Any:
        started.set()
        time.sleep(0.01)
        return run(*arguments)

    async def main() -> None:
        task = asyncio.create_task(session.aedit(0, IDS[60:190]))
        while not started.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    monkeypatch.setattr(fast_stories._engine.plan, "run", slow)
    monkeypatch.setattr(fast_stories._engine, "_n_prefill", 16)
    asyncio.run(main())
    monkeypatch.undo()
    check_fresh(session, fast_stories, IDS[:100])
